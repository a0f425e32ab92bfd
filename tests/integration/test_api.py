"""Every row of the error table, against a small server that misbehaves on demand."""

import gzip
import json
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from humansync import errors
from humansync.api import Api, Page
from humansync.kinds import KINDS

CLIENT_ID, APP_KEY = "c11ent0000", "s3cret0000"
SINCE, BEFORE = datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 1, 31, 13, tzinfo=UTC)
RECORDS = [{"id": "5c1ab100b3d4e90012ab3802", "value": 79.5}]
BODY = json.dumps(RECORDS).encode()

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Gives one answer to every request and remembers what it was asked."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.connections = 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients go away in mid-answer, that is what is tested."""

    @property
    def url(self) -> str:
        """Base address, as in `HUMANAPI_BASE_URL`."""
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    """Hands a request to its server's answer."""

    protocol_version = "HTTP/1.1"
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        self.server.answer(self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def date_time_string(self, _timestamp: float | None = None) -> str:
        return "Sat, 31 Jan 2026 13:05:00 GMT"


@pytest.fixture
def serve() -> Iterator[Callable[[Answer], Server]]:
    """Give a function that starts a server with one answer."""
    with ExitStack() as stack:

        def start(answer: Answer) -> Server:
            server = stack.enter_context(Server(answer))
            stack.callback(server.shutdown)
            return server

        yield start


def answer(body: bytes = BODY, *, status: int = 200, **headers: str) -> Answer:
    """Return an answer with this body; header names are written with underscores."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Type": "application/json", "Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return write


def raw(*parts: bytes, reset: bool = False) -> Answer:
    """Return an answer that writes these bytes and closes the connection, with a reset if asked."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        for part in parts:
            handler.wfile.write(part)
        handler.wfile.flush()
        if reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
        handler.close_connection = True

    return write


def drip(head: bytes, body: bytes, pause_s: float) -> Answer:
    """Return an answer whose body comes byte by byte."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        try:
            for byte in body:
                handler.wfile.write(bytes([byte]))
                time.sleep(pause_s)
        except OSError:
            handler.close_connection = True

    return write


def api(server: Server, **limits: float) -> Api:
    return Api(base_url=server.url, client_id=CLIENT_ID, app_key=APP_KEY, **limits)  # type: ignore[arg-type] # one int


def fetch(server: Server, **limits: float) -> Page:
    return api(server, **limits).fetch(KINDS["weights"], since=SINCE, before=BEFORE, limit=500, offset=0)


# --- what is asked -----------------------------------------------------------------------------


@pytest.mark.section9(9, 12, 46)
def test_asks_for_one_page_in_the_documented_form(serve: Callable[[Answer], Server]) -> None:
    server = serve(answer())
    page = api(server).fetch(KINDS["heart_rate_summaries"], since=SINCE, before=BEFORE, limit=50, offset=100)
    (path, headers) = server.asked[0]
    assert urlsplit(path).path == f"/v1/apps/{CLIENT_ID}/users/heart_rate/summaries"
    assert parse_qs(urlsplit(path).query, strict_parsing=True) == {
        "updated_since": ["20260131T120000Z"],
        "updated_before": ["20260131T130000Z"],
        "limit": ["50"],
        "offset": ["100"],
    }
    assert headers["Authorization"] == "Basic czNjcmV0MDAwMDo="  # base64("s3cret0000:")
    assert headers["Accept"] == "application/json"
    assert "gzip" in headers["Accept-Encoding"]
    assert headers["User-Agent"].startswith("humansync/")
    assert (page.records, page.size_bytes) == (RECORDS, len(BODY))
    assert page.api_time == datetime(2026, 1, 31, 13, 5, tzinfo=UTC)
    assert page.elapsed_s > 0


@pytest.mark.section9(8)
def test_bounds_widen_to_whole_seconds_in_utc(serve: Callable[[Answer], Server]) -> None:
    server = serve(answer())
    east = timezone(timedelta(hours=2))
    api(server).fetch(
        KINDS["weights"],
        since=datetime(2026, 1, 31, 14, 0, 0, 999_000, tzinfo=east),
        before=datetime(2026, 1, 31, 14, 0, 1, 1_000, tzinfo=east),
        limit=1,
        offset=0,
    )
    assert "updated_since=20260131T120000Z&updated_before=20260131T120002Z" in server.asked[0][0]


@pytest.mark.section9(6, 10)
@pytest.mark.parametrize(
    ("since", "before", "limit", "offset"),
    [
        (SINCE, SINCE + timedelta(days=31, seconds=1), 500, 0),
        (SINCE, SINCE, 500, 0),
        (BEFORE, SINCE, 500, 0),
        (SINCE, BEFORE, 501, 0),
        (SINCE, BEFORE, 0, 0),
        (SINCE, BEFORE, 500, -1),
        (SINCE.replace(tzinfo=None), BEFORE.replace(tzinfo=None), 500, 0),
    ],
)
def test_what_the_api_would_cut_silently_is_not_sent(
    serve: Callable[[Answer], Server], since: datetime, before: datetime, limit: int, offset: int
) -> None:
    server = serve(answer())
    with pytest.raises(ValueError, match=r"a query covers|a page has|aware instants"):
        api(server).fetch(KINDS["weights"], since=since, before=before, limit=limit, offset=offset)
    assert server.asked == []


def test_a_client_id_cannot_lead_elsewhere(serve: Callable[[Answer], Server]) -> None:
    server = serve(answer())
    odd = Api(base_url=server.url, client_id="../x?y", app_key=APP_KEY)
    odd.fetch(KINDS["weights"], since=SINCE, before=BEFORE, limit=1, offset=0)
    assert server.asked[0][0].startswith("/v1/apps/..%2Fx%3Fy/users/weights?")


def test_connections_are_kept_after_answers_and_after_errors(serve: Callable[[Answer], Server]) -> None:
    server = serve(answer())
    client = api(server)
    for status in (200, 500, 200, 429, 200):
        server.answer = answer(status=status)
        try:
            client.fetch(KINDS["weights"], since=SINCE, before=BEFORE, limit=1, offset=0)
        except errors.ApiError as error:
            assert error.status == status  # noqa: PT017 -- 200 raises nothing
    assert (len(server.asked), server.connections) == (5, 1)
    client.close()


def test_threads_share_one_client(serve: Callable[[Answer], Server]) -> None:
    server = serve(answer())
    client = api(server)
    pages: list[Page] = []

    def work() -> None:
        pages.extend(client.fetch(KINDS["weights"], since=SINCE, before=BEFORE, limit=1, offset=0) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [page.records for page in pages] == [RECORDS] * 80


def test_cookies_are_neither_kept_nor_sent(serve: Callable[[Answer], Server]) -> None:
    server = serve(answer(Set_Cookie="session=1"))
    client = api(server)
    for _ in range(2):
        client.fetch(KINDS["weights"], since=SINCE, before=BEFORE, limit=1, offset=0)
    assert "Cookie" not in server.asked[1][1]


# --- pages -------------------------------------------------------------------------------------


@pytest.mark.section9(1)
@pytest.mark.parametrize(
    ("headers", "total", "has_next"),
    [
        ({}, None, None),
        ({"X_Total_Count": "8490", "Link": '<https://x?offset=500>; rel="next"'}, 8490, True),
        ({"X_Total_Count": "8490"}, 8490, None),
        ({"Link": '<https://x>; rel="prev", <https://x>; rel="first"'}, None, False),
        ({"X_Total_Count": "lots", "Link": "nonsense"}, None, None),
    ],
)
def test_hints_of_paging_are_read_where_present(
    serve: Callable[[Answer], Server], headers: dict[str, str], total: int | None, has_next: bool | None
) -> None:
    page = fetch(serve(answer(BODY, status=200, **headers)))
    assert (page.total, page.has_next) == (total, has_next)


@pytest.mark.parametrize("date", ["", "yesterday", "Sat, 99 Jan 2026 13:05:00 GMT"])
def test_a_clock_that_cannot_be_read_is_no_clock(serve: Callable[[Answer], Server], date: str) -> None:
    head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 2\r\n\r\n".encode()
    assert fetch(serve(raw(head, b"[]"))).api_time is None


@pytest.mark.section9(41)
def test_gzip_is_taken_as_well_as_plain(serve: Callable[[Answer], Server]) -> None:
    page = fetch(serve(answer(gzip.compress(BODY), Content_Encoding="gzip")))
    assert (page.records, page.size_bytes) == (RECORDS, len(BODY))


@pytest.mark.section9(47)
def test_headers_that_cannot_be_read_are_not_logged_with_the_address(
    serve: Callable[[Answer], Server], caplog: pytest.LogCaptureFixture
) -> None:
    """Switch off the loop over urllib3's loggers in `humansync.api`: the address and the headers stand in the log."""
    with caplog.at_level(logging.DEBUG):
        fetch(serve(raw(b"HTTP/1.1 200 OK\r\nno colon\r\nLink: <https://x?token=patient>\r\n\r\n", BODY)))
    assert [record.message for record in caplog.records if CLIENT_ID in record.message + str(record.exc_text)] == []
    assert "patient" not in caplog.text


def test_a_body_without_a_length_ends_with_the_connection(serve: Callable[[Answer], Server]) -> None:
    assert fetch(serve(raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", BODY))).records == RECORDS


def test_chunks_make_a_body(serve: Callable[[Answer], Server]) -> None:
    half = len(BODY) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[:half], BODY[half:]))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert fetch(serve(raw(head, chunks, b"0\r\n\r\n"))).records == RECORDS


@pytest.mark.section9(38)
@pytest.mark.parametrize("body", [b"{}", b"null"])
def test_nothing_in_place_of_a_list_is_an_empty_page_and_a_warning(
    serve: Callable[[Answer], Server], body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "humansync.api"):
        assert fetch(serve(answer(body))).records == []
    assert [record.message for record in caplog.records] == ["an empty object or null in place of a list"]


def test_an_empty_list_is_an_empty_page(serve: Callable[[Answer], Server], caplog: pytest.LogCaptureFixture) -> None:
    assert fetch(serve(answer(b"[]"))).records == []
    assert caplog.records == []


# --- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, errors.BadRequest),
        (401, errors.Unauthorized),
        (403, errors.NotOffered),
        (404, errors.NotOffered),
        (422, errors.BadRequest),
        (429, errors.Throttled),
        (500, errors.Unavailable),
        (502, errors.Unavailable),
        (503, errors.Unavailable),
        (504, errors.Unavailable),
    ],
)
def test_a_status_is_one_of_our_errors(
    serve: Callable[[Answer], Server], status: int, error: type[errors.ApiError]
) -> None:
    server = serve(answer(b'{"message": "patient 7"}', status=status))
    with pytest.raises(errors.ApiError) as caught:
        fetch(server)
    assert type(caught.value) is error
    assert caught.value.status == status
    assert str(status) in str(caught.value)
    assert_harmless(caught.value)


@pytest.mark.section9(36)
@pytest.mark.parametrize(
    ("status", "wait", "after_s"),
    [
        (429, "7", 7.0),
        (503, "7", 7.0),
        (429, "Sat, 31 Jan 2026 13:05:30 GMT", 30.0),  # the server's own clock says 13:05:00
        (503, "Sat, 31 Jan 2026 13:05:30 GMT", 30.0),
        (429, "soon", None),
        (429, "99999999", 3600.0),
    ],
)
def test_a_wait_is_as_long_as_asked_for(
    serve: Callable[[Answer], Server], status: int, wait: str, after_s: float | None
) -> None:
    with pytest.raises(errors.Throttled) as caught:
        fetch(serve(answer(b"", status=status, Retry_After=wait)))
    assert caught.value.after_s == after_s


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIPPED = gzip.compress(BODY)


@pytest.mark.section9(37, 39)
@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (raw(), "no answer from the API: RemoteDisconnected"),
        (raw(reset=True), "no answer from the API: ConnectionResetError"),
        (raw(b"nonsense\r\n\r\n"), "no answer from the API: BadStatusLine"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Le"), "without JSON"),
        (raw(HEAD % 5000, BODY), "broke off: IncompleteRead"),
        (raw(HEAD % 5000, BODY, reset=True), "broke off: ConnectionResetError"),
        (raw(CHUNKED, b"40\r\n[{"), "broke off: IncompleteRead"),
        (raw(CHUNKED, b"zz\r\n[{"), "broke off: "),
        (raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", BODY[:-1]), "without JSON"),
        (answer(GZIPPED[:-20], Content_Encoding="gzip"), "without JSON"),
        (answer(b"no gzip at all", Content_Encoding="gzip"), "broke off: error"),
        (answer(b"<html>Bad gateway</html>", Content_Type="text/html"), "without JSON (text/html, 24 bytes)"),
        (answer(b'{"error": "patient 7"}'), "an object in place of a list"),
        (answer(b'"patient 7"'), "a single value in place of a list"),
        (answer(b""), "without JSON"),
        (answer(status=206), "answered 206"),
    ],
)
def test_what_is_no_whole_page_is_asked_for_again(serve: Callable[[Answer], Server], reply: Answer, said: str) -> None:
    with pytest.raises(errors.Unavailable) as caught:
        fetch(serve(reply))
    assert said in str(caught.value)
    assert_harmless(caught.value)


def test_nobody_there_is_said_without_an_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    client = Api(base_url=f"http://127.0.0.1:{port}/v1", client_id=CLIENT_ID, app_key=APP_KEY)
    with pytest.raises(errors.Unavailable, match="ConnectionRefusedError") as caught:
        client.fetch(KINDS["weights"], since=SINCE, before=BEFORE, limit=1, offset=0)
    assert_harmless(caught.value)


def test_silence_times_out(serve: Callable[[Answer], Server]) -> None:
    with pytest.raises(errors.Unavailable, match="timed out") as caught:
        fetch(serve(lambda _: time.sleep(2)), read_timeout_s=0.05)
    assert_harmless(caught.value)


def test_a_body_that_stalls_times_out(serve: Callable[[Answer], Server]) -> None:
    with pytest.raises(errors.Unavailable, match="broke off: timed out"):
        fetch(serve(drip(HEAD % 100, b"[ ", 1.0)), read_timeout_s=0.05)


@pytest.mark.section9(40)
def test_a_body_that_takes_too_long_is_asked_for_in_smaller_pages(serve: Callable[[Answer], Server]) -> None:
    began = time.monotonic()
    with pytest.raises(errors.TooLarge, match="took more than"):
        fetch(serve(drip(HEAD % 10_000, b" " * 10_000, 0.02)), total_timeout_s=0.2)
    assert time.monotonic() - began < 60


def test_a_body_that_never_pauses_has_to_end_too(serve: Callable[[Answer], Server]) -> None:
    """Switch off the look at the deadline in `_mind` and this fails: here is no socket whose timeout could be set."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 102\r\n\r\n"
    with pytest.raises(errors.TooLarge, match="took more than"):
        fetch(serve(drip(head, b"[" + b" " * 100 + b"]", 0.02)), total_timeout_s=0.2)


def test_no_read_waits_beyond_the_deadline(serve: Callable[[Answer], Server]) -> None:
    began = time.monotonic()
    with pytest.raises(errors.TooLarge, match="took more than"):
        fetch(serve(drip(HEAD % 100, b"[ ", 30.0)), read_timeout_s=60, total_timeout_s=0.2)
    assert time.monotonic() - began < 20


@pytest.mark.section9(40)
@pytest.mark.parametrize(
    "reply",
    [
        answer(b" " * 100_001),
        raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b" " * 100_001),
        raw(HEAD % 10**12, b"["),
        answer(gzip.compress(b" " * 10_000_000), Content_Encoding="gzip"),  # 10 kB that would be 10 MB
    ],
)
def test_a_body_over_the_limit_is_not_read(serve: Callable[[Answer], Server], reply: Answer) -> None:
    with pytest.raises(errors.TooLarge, match="more than 100000 bytes"):
        fetch(serve(reply), max_body_bytes=100_000)


def test_a_body_at_the_limit_is(serve: Callable[[Answer], Server]) -> None:
    assert fetch(serve(answer(b"[]" + b" " * 98)), max_body_bytes=100).records == []


def test_the_body_of_an_error_is_not_waited_for(serve: Callable[[Answer], Server]) -> None:
    began = time.monotonic()
    head = b"HTTP/1.1 503 Busy\r\nContent-Length: 60000\r\nRetry-After: 3\r\n\r\n"
    with pytest.raises(errors.Throttled):
        fetch(serve(drip(head, b" " * 60_000, 0.05)))
    assert time.monotonic() - began < 30


# --- redirects ---------------------------------------------------------------------------------


@pytest.mark.section9(42)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_follows_no_redirect_to_another_host(serve: Callable[[Answer], Server], status: int) -> None:
    elsewhere = serve(answer())
    for target in (
        elsewhere.url,  # another port is another host
        elsewhere.url.replace("http://", "//"),
        f"http://localhost:{elsewhere.server_port}/v1",
        f"https://127.0.0.1:{elsewhere.server_port}/v1",
        "file:///etc/passwd",
        f"\\\\localhost:{elsewhere.server_port}",
        "http://[",
        "",
    ):
        server = serve(answer(b"", status=status, Location=target))
        with pytest.raises(errors.BadRequest, match="to another host, which the key must not follow") as caught:
            fetch(server)
        assert caught.value.status == status
        assert_harmless(caught.value)
        assert len(server.asked) == 1  # nor is a page of that address asked of ours
    assert elsewhere.asked == []


@pytest.mark.section9(42)
def test_the_key_follows_a_redirect_within_the_host(serve: Callable[[Answer], Server]) -> None:
    def moved(handler: BaseHTTPRequestHandler) -> None:
        there = handler.path.startswith("/v2/")
        (answer() if there else answer(b"", status=308, Location=handler.path.replace("/v1/", "/v2/")))(handler)

    server = serve(moved)
    assert fetch(server).records == RECORDS
    assert [headers["Authorization"] for _, headers in server.asked] == ["Basic czNjcmV0MDAwMDo="] * 2


@pytest.mark.section9(42)
def test_redirects_come_to_an_end(serve: Callable[[Answer], Server]) -> None:
    server = serve(answer(b"", status=302, Location="/v1/again"))
    with pytest.raises(errors.BadRequest, match="more than 3 times"):
        fetch(server)
    assert len(server.asked) == 4


def assert_harmless(error: BaseException | None) -> None:
    """Neither the error nor what a traceback would show of it holds a key, an address or a piece of a body."""
    while error is not None:
        for secret in (CLIENT_ID, APP_KEY, "czNjcmV0", "patient", "http:", "127.0.0.1"):
            assert secret not in f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
