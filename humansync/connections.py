"""The connections to the API's host: kept open, with the proxy and the certificates that the environment names.

The variables are those that curl and Python's HTTP clients go by: `https_proxy`, `http_proxy`, `all_proxy` and
`no_proxy`, in either case, and `REQUESTS_CA_BUNDLE` or `CURL_CA_BUNDLE`, a file or a folder of certificates.
"""

import os
import ssl
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
from urllib3 import HTTPConnectionPool, PoolManager, ProxyManager
from urllib3.exceptions import LocationValueError, ProxySchemeUnknown
from urllib3.util import parse_url

from humansync.errors import ConfigError

#: This machine, which no proxy is asked for: the simulator beside us.
_OURSELVES = ("localhost", "127.0.0.1", "::1")


def open_pool(address: str, size: int) -> tuple[HTTPConnectionPool, str]:
    """Return the connections to an address's host, and what stands before the path of each request's target.

    size: how many are kept. Nothing is connected to yet; looked up once, not per request. That an HTTP proxy is given
    whole addresses in place of paths is what the second value is for. Raises ConfigError for what cannot be used.
    """
    parts = urlsplit(address)
    proxy = _proxy(parts)
    options: dict[str, Any] = {"maxsize": size}
    if parts.scheme == "https" or (proxy and proxy.lower().startswith("https:")):
        options["ssl_context"] = _certificates()
    try:
        pool = (_through(proxy, options) if proxy else PoolManager(**options)).connection_from_url(address)
    except ProxySchemeUnknown:
        raise ConfigError(
            "the proxy of the environment is not supported: give an http:// or https:// address"
        ) from None
    except LocationValueError:
        raise ConfigError("HUMANAPI_BASE_URL, or the proxy of the environment, is no address") from None
    return pool, f"{parts.scheme}://{parts.netloc}" if proxy and parts.scheme == "http" else ""


def _proxy(address: SplitResult) -> str | None:
    known = getproxies()
    proxy = known.get(address.scheme) or known.get("all")
    hosts = address.netloc.rpartition("@")[2], address.hostname or ""  # with the port, and of IPv6 without brackets
    if not proxy or address.hostname in _OURSELVES or any(proxy_bypass(host) for host in hosts):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _through(proxy: str, options: dict[str, Any]) -> ProxyManager:
    found = parse_url(proxy)
    if not found.host:
        raise LocationValueError("no host")
    auth = found.auth if found.auth is None or ":" in found.auth else f"{found.auth}:"
    headers = {"Proxy-Authorization": f"Basic {b64encode(unquote_to_bytes(auth)).decode()}"} if auth else None
    return ProxyManager(proxy, proxy_headers=headers, proxy_ssl_context=options.get("ssl_context"), **options)


def _certificates() -> ssl.SSLContext:
    """Return what servers are checked with, read once: each connection of its own reads a hundred certificates."""
    named = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()
    try:
        if Path(named).is_dir():
            return ssl.create_default_context(capath=named)
        return ssl.create_default_context(cafile=named)
    except OSError:  # an SSLError is one
        raise ConfigError("REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names no file or folder of certificates") from None
