"""One address of Redis, two libraries: each spells unix sockets and TLS in its own way. Pure."""

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

_SOCKETS = ("unix", "redis+socket")


def for_client(address: str) -> str:
    """Return the address as redis-py takes it: `unix:///path?db=0` for a socket."""
    parts = urlsplit(address)
    if parts.scheme not in _SOCKETS:
        return address
    query = dict(parse_qsl(parts.query))
    query["db"] = query.pop("virtual_host", query.pop("db", "0"))
    return f"unix://{_user(parts.netloc)}{parts.path}?{urlencode(query)}"


def for_broker(address: str) -> str:
    """Return the address as Kombu takes it: `redis+socket:///path?virtual_host=0` for a socket.

    Kombu does not check certificates unless told to: here it is told, where the address is silent.
    """
    parts = urlsplit(address)
    query = dict(parse_qsl(parts.query))
    if parts.scheme in _SOCKETS:
        query["virtual_host"] = query.pop("db", query.pop("virtual_host", "0"))
        # Kombu reads the user from before the path, and has no word for it in the query.
        user, password = query.pop("username", ""), query.pop("password", "")
        netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else _user(parts.netloc)
        return f"redis+socket://{netloc}{parts.path}?{urlencode(query)}"
    if parts.scheme == "rediss" and "ssl_cert_reqs" not in query:
        query["ssl_cert_reqs"] = "required"
        return parts._replace(query=urlencode(query)).geturl()
    return address


def _user(netloc: str) -> str:
    """Return `user:password@` of an address; a socket has no host."""
    user, at, _ = netloc.rpartition("@")
    return f"{user}{at}"
