"""The edge to the Human API: one page by HTTP, or one of our errors.

What is documented, what is inferred and what nobody knows of batch answers stands in
`docs/human-api.md`; section 9 there is the list of what this module must survive. No message and no
log line carries an address, a key or a piece of a body.
"""

import contextlib
import logging
from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from time import monotonic
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from urllib3 import HTTPConnectionPool
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as TransportTimeout
from urllib3.response import BaseHTTPResponse
from urllib3.util import Retry, Timeout, parse_url

from humansync import __version__, answers
from humansync.connections import open_pool
from humansync.errors import ApiError, BadRequest, ConfigError, TooLarge, Unavailable
from humansync.kinds import Kind
from humansync.received import as_received
from humansync.records import Batch
from humansync.windows import SECOND, floor_second

#: Most records a page may be asked for.
LIMIT_MAX = 500
#: Longest span one query may cover.
SPAN_MAX = timedelta(days=31)
#: 300 records fit; larger bodies take a few more turns of the loop.
_CHUNK_BYTES = 128 * 1024
#: An error's body up to this size is read so that its connection can serve the next request.
_DRAIN_MAX_BYTES = 64 * 1024
#: One for each thread that sends; none is opened before it is needed.
_CONNECTIONS_MAX = 256
_REDIRECTS_MAX = 3
#: Retries are decided where attempts are counted, in the ledger; redirects here.
_ONCE = Retry(False, redirect=False)

_REDIRECTS = (
    HTTPStatus.MOVED_PERMANENTLY,
    HTTPStatus.FOUND,
    HTTPStatus.SEE_OTHER,
    HTTPStatus.TEMPORARY_REDIRECT,
    HTTPStatus.PERMANENT_REDIRECT,
)

_log = logging.getLogger(__name__)

# They tell of each request by its address, and of headers that cannot be read by all that came with them.
for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).disabled = True


@dataclass(frozen=True, slots=True)
class Page:
    """One answer, whole."""

    #: as decoded; not looked at yet, and empty where `batch` is given
    records: list[object]
    #: X-Total-Count; None where absent or no number
    total: int | None
    #: whether Link names a next page; None without a usable Link
    has_next: bool | None
    #: the API's clock, from Date; None where absent or unreadable
    api_time: datetime | None
    #: length of the body, decompressed
    size_bytes: int
    #: from sending to the last byte
    elapsed_s: float
    #: an empty object or null stood in place of the list
    hollow: bool = False
    #: the JSON text
    body: bytes = b""
    #: the page as its text, where that was asked for and can be
    batch: Batch | None = None


class Api:
    """A client for the batch queries of one app. Threads may share it; processes must not."""

    def __init__(
        self,
        *,
        base_url: str,
        client_id: str,
        app_key: str,
        connect_timeout_s: float = 10,
        read_timeout_s: float = 60,
        total_timeout_s: float = 120,
        max_body_bytes: int = 64 * 1024 * 1024,
        user_agent: str = f"humansync/{__version__}",
    ) -> None:
        users = f"{base_url.rstrip('/')}/apps/{quote(client_id, safe='')}/users/"
        self._root = urlsplit(users)
        self._origin = _origin(self._root)
        self._connect_timeout_s = connect_timeout_s
        self._read_timeout_s = read_timeout_s
        self._total_timeout_s = total_timeout_s
        self._max_body_bytes = max_body_bytes
        # The key is the user name and the password is empty: the colon is part of what is encoded.
        token = b64encode(f"{app_key}:".encode()).decode()
        self._headers = {
            "Authorization": f"Basic {token}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": user_agent,
        }
        self._pool: HTTPConnectionPool | None = None
        try:
            self._pool, self._prefix = open_pool(users, _CONNECTIONS_MAX)
        except ConfigError as error:
            # Said with each request: so it stands in the ledger, and whoever looks at the status reads it.
            self._fault = str(error)

    def fetch(
        self, kind: Kind, *, since: datetime, before: datetime, limit: int, offset: int, as_text: bool = False
    ) -> Page:
        """Return the page of records updated in `[since, before)`; an ApiError where there is none.

        as_text: records as documented need not be decoded (`Page.batch`).
        ValueError, and no request, for what the API would cut silently: a span over 31 days, a limit over 500.
        """
        query = _query(since, before, limit, offset)
        began = monotonic()
        deadline = began + self._total_timeout_s
        response = self._send(f"{self._root.path}{kind.path}?{query}", deadline)
        headers = response.headers
        if response.status != HTTPStatus.OK:
            self._discard(response, deadline)
            raise answers.refusal(response.status, headers, datetime.now(UTC))
        body = self._body(response, deadline, self._max_body_bytes)
        elapsed_s = monotonic() - began
        batch = as_received(kind, body) if as_text else None
        records = [] if batch is not None else answers.records(body, headers)
        if records is None:
            _log.warning(answers.HOLLOW, extra={"kind": kind.name})
        return Page(
            records=records or [],
            total=answers.count(headers.get("X-Total-Count")),
            has_next=answers.has_next(headers.get("Link")),
            api_time=answers.http_date(headers.get("Date")),
            size_bytes=len(body),
            elapsed_s=elapsed_s,
            hollow=records is None,
            body=body,
            batch=batch,
        )

    def close(self) -> None:
        """Close every idle connection."""
        if self._pool is not None:
            self._pool.close()

    def _send(self, target: str, deadline: float, redirects_left: int = _REDIRECTS_MAX) -> BaseHTTPResponse:
        """Return the answer, its body unread; redirects within the same origin are followed.

        target: path and query.
        """
        if self._pool is None:
            raise Unavailable(f"no answer from the API: {self._fault}")
        read_timeout_s = max(0.001, min(self._read_timeout_s, deadline - monotonic()))
        try:
            response = self._pool.urlopen(
                "GET",
                self._prefix + target,
                headers=self._headers,
                timeout=Timeout(connect=self._connect_timeout_s, read=read_timeout_s),
                retries=_ONCE,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
            )
        except (HTTPError, OSError) as error:
            # The cause's own text holds the address, and the address holds the client id.
            raise _broken("no answer from the API", error) from None
        if response.status not in _REDIRECTS:
            return response
        self._discard(response, deadline)
        if not redirects_left:
            raise BadRequest(f"the API redirects more than {_REDIRECTS_MAX} times", status=response.status)
        return self._send(self._redirected(target, response), deadline, redirects_left - 1)

    def _redirected(self, target: str, response: BaseHTTPResponse) -> str:
        """Return the target that a redirect leads to; BadRequest where the key must not follow."""
        location = response.headers.get("Location", "")
        with contextlib.suppress(ValueError):  # no address
            address = urljoin(f"{self._root.scheme}://{self._root.netloc}{target}", location)
            if location and "\\" not in location and _origin(urlsplit(address)) == self._origin:
                return parse_url(address).request_uri
        raise BadRequest(
            f"the API redirects ({response.status}) to another host, which the key must not follow: "
            "check HUMANAPI_BASE_URL",
            status=response.status,
        )

    def _body(self, response: BaseHTTPResponse, deadline: float, cap: int) -> bytes:
        """Return the whole body, decompressed; the connection goes back to the pool, or is closed on any error."""
        try:
            body = self._read(response, deadline, cap)
        except (HTTPError, OSError) as error:
            response.close()
            if monotonic() >= deadline:
                raise self._too_slow(response.status) from None
            raise _broken("the API's answer broke off", error, response.status) from None
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return body

    def _read(self, response: BaseHTTPResponse, deadline: float, cap: int) -> bytes:
        """Return the whole body, decompressed; TooLarge when it is over its cap or deadline."""
        status, headers = response.status, response.headers
        if "Content-Encoding" not in headers and (answers.count(headers.get("Content-Length")) or 0) > cap:
            raise _too_large(cap, status)
        parts: list[bytes] = []
        size = 0
        while True:
            self._mind(response, deadline)
            part = response.read1(_CHUNK_BYTES, decode_content=True)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
            if size > cap:
                raise _too_large(cap, status)

    def _mind(self, response: BaseHTTPResponse, deadline: float) -> None:
        """Raise TooLarge after the deadline; near it, let no read wait beyond it."""
        left_s = deadline - monotonic()
        if left_s <= 0:
            raise self._too_slow(response.status)
        if left_s < self._read_timeout_s:
            sock = getattr(response.connection, "sock", None)
            if sock is not None:
                sock.settimeout(left_s)

    def _too_slow(self, status: int) -> TooLarge:
        return TooLarge(f"the API's answer took more than {self._total_timeout_s:g} s", status=status)

    def _discard(self, response: BaseHTTPResponse, deadline: float) -> None:
        """Be done with a body nobody wants: read it if it is short, for the connection's sake."""
        length = answers.count(response.headers.get("Content-Length"))
        if length is None or length > _DRAIN_MAX_BYTES:
            response.close()
            return
        try:
            self._body(response, min(deadline, monotonic() + 1), _DRAIN_MAX_BYTES)
        except ApiError:
            # Its connection is closed; the status is known, and that is all the body was read for.
            _log.debug("the body of an error answer was not readable", extra={"status": response.status})


def _query(since: datetime, before: datetime, limit: int, offset: int) -> str:
    """Return the query, dates in the one documented form: any other may be ignored, which means "last 24 hours"."""
    if since.tzinfo is None or before.tzinfo is None:
        raise ValueError("a window's bounds are aware instants")
    since = floor_second(since)
    if before > floor_second(before):
        before = floor_second(before) + SECOND
    if not timedelta(0) < before - since <= SPAN_MAX:
        raise ValueError(f"a query covers more than nothing and at most {SPAN_MAX.days} days")
    if not 1 <= limit <= LIMIT_MAX or offset < 0:
        raise ValueError(f"a page has 1 to {LIMIT_MAX} records and no negative offset")
    return f"updated_since={_compact(since)}&updated_before={_compact(before)}&limit={limit}&offset={offset}"


def _compact(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _origin(address: SplitResult) -> tuple[str, str | None, int]:
    default = 443 if address.scheme == "https" else 80
    return address.scheme, address.hostname, address.port or default


def _too_large(cap: int, status: int) -> TooLarge:
    return TooLarge(f"the API's answer has more than {cap} bytes", status=status)


def _broken(what: str, error: BaseException, status: int | None = None) -> Unavailable:
    """Return the error of a connection that failed, named after what failed at the bottom of it."""
    while inner := _inner(error):
        error = inner
    slow = isinstance(error, TransportTimeout | TimeoutError)
    return Unavailable(f"{what}: {'timed out' if slow else type(error).__name__}", status=status, timed_out=slow)


def _inner(error: BaseException) -> BaseException | None:
    """Return what an error wraps; None at the bottom."""
    wrapped: list[object] = [getattr(error, "reason", None), *error.args, error.__cause__]
    return next((inner for inner in wrapped if isinstance(inner, BaseException) and inner is not error), None)
