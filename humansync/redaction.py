"""Secrets out of texts that people will read. Pure."""

import re

_MASK = "***"
#: `user:password@` of an address within a text; the user stays, it helps to find the fault.
_USERINFO = re.compile(r"(?<=://)([^/@\s:]*):\S*@")
#: The same of an address by itself: no blank ends it, and a slash may stand anywhere.
_WHOLE_USERINFO = re.compile(r"(?s)(?<=://)([^@:]*):.*@")
#: Passwords in the query of an address, as `unix://…?password=` has them.
_QUERY = re.compile(r"(?i)([?&](?:password|sslpassword|ssl_password)=)[^&\s]*")
_AUTHORIZATION = re.compile(r"(?i)\b(basic|bearer)(\s+)[A-Za-z0-9+/=._~-]{8,}")


def redact_url(address: str) -> str:
    """Return an address without its passwords."""
    return _QUERY.sub(rf"\1{_MASK}", _WHOLE_USERINFO.sub(rf"\1:{_MASK}@", address))


def one_line(text: str) -> str:
    """Return a text with all escaped that a terminal would not print: line ends, control codes, half characters."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return a text without the given secrets, without passwords of addresses and without HTTP credentials."""
    for secret in secrets:
        text = text.replace(secret, _MASK)
    text = _QUERY.sub(rf"\1{_MASK}", _USERINFO.sub(rf"\1:{_MASK}@", text))
    return _AUTHORIZATION.sub(rf"\1\2{_MASK}", text)
