"""Secrets out of texts that people will read. Pure."""

import re

_MASK = "***"
#: `user:password@` of an address; the user stays, it helps to find the fault.
_USERINFO = re.compile(r"(?<=://)([^/@\s:]*):\S*@")
#: Passwords in the query of an address, as `unix://…?password=` has them.
_QUERY = re.compile(r"(?i)([?&](?:password|sslpassword|ssl_password)=)[^&\s]*")
_AUTHORIZATION = re.compile(r"(?i)\b(basic|bearer)(\s+)[A-Za-z0-9+/=._~-]{8,}")


def redact_url(address: str) -> str:
    """Return an address without its passwords."""
    return _QUERY.sub(rf"\1{_MASK}", _USERINFO.sub(rf"\1:{_MASK}@", address))


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return a text without the given secrets, without passwords of addresses and without HTTP credentials."""
    for secret in secrets:
        text = text.replace(secret, _MASK)
    return _AUTHORIZATION.sub(rf"\1\2{_MASK}", redact_url(text))
