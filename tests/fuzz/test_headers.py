"""Status lines and headers, whatever they say: a page, or an error of the API that tells no secret."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import strategies as st

from humansync import answers
from humansync.api import Api, Page
from humansync.errors import ApiError, BadRequest, Throttled
from humansync.kinds import KINDS
from tests.fuzz.counting import fuzzed
from tests.fuzz.raw_server import RawServer, http

CLIENT_ID, APP_KEY = "c11ent0000c11ent0000", "s3cret0000s3cret0000"
#: The key as it is sent.
ENCODED = "czNjcmV0MDAwMHMzY3JldDAwMDA6"
#: What stands in bodies and addresses of the server's and must not turn up anywhere.
PATIENT = "patient-7f3a"
SINCE, BEFORE = datetime(2026, 1, 31, 12, tzinfo=UTC), datetime(2026, 1, 31, 13, tzinfo=UTC)
BODY = b'[{"id": "5c1ab100b3d4e90012ab3802", "note": "' + PATIENT.encode() + b'"}]'

#: urllib3 leaves the connection of an answer that it cannot read to the garbage collector, which complains at its leisure.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

#: Everything that a line of a header can carry: latin-1 without line ends.
_LINE = st.text(st.characters(max_codepoint=0xFF, exclude_characters="\r\n"), max_size=40)
_NUMBERS = (
    st.integers(-(10**6), 10**30).map(str) | st.floats().map(str) | st.sampled_from(["0", "7", "1e9", "٣", "1_0"])
)
_DATES = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(lambda at: format_datetime(at, usegmt=True)),
    st.tuples(
        st.sampled_from(["Sat, ", "", "Xxx, "]),
        st.integers(-1, 10**6).map(str),
        st.sampled_from([" Jan ", " Foo ", "-Jan-", " 13 "]),
        st.integers(-1, 10**12).map(str),
        st.sampled_from([" 13:05:00 ", " 99:99:99 ", " 13.05 ", " ", " 13:05:00.5 "]),
        st.sampled_from(["GMT", "+9999999999", "-0000", "+2400", "EST", "Z", ""]),
    ).map("".join),
)
_LINKS = st.lists(
    st.sampled_from(
        [
            '<https://x?access_token=patient-7f3a>; rel="next"',
            "<",
            ">",
            ";",
            "rel=",
            '"',
            ",",
            "next",
            " rel=next",
            "prev",
        ]
    ),
    max_size=8,
).map("".join)
_ADDRESSES = st.one_of(
    st.sampled_from(
        ["", "/v1/again", "//", "http://[", "http://127.0.0.1:1/patient-7f3a", "https:///", "\\\\x", "?a b"]
    ),
    st.text(st.sampled_from("/:@[]%?#.\\ a0é\x7f\x00"), max_size=12),
)
_CODINGS = st.sampled_from(["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity", "x-gzip, deflate", "chunked"])
_VALUES = {
    "Date": _DATES,
    "Link": _LINKS,
    "X-Total-Count": _NUMBERS,
    "Retry-After": _NUMBERS | _DATES,
    "Content-Length": _NUMBERS,
    "Content-Type": st.sampled_from(["application/json", "text/html; charset=patient-7f3a", "/", "patient-7f3a"]),
    "Content-Encoding": _CODINGS,
    "Transfer-Encoding": st.sampled_from(["chunked", "gzip, chunked", "identity"]),
    "Location": _ADDRESSES,
    "Connection": st.sampled_from(["close", "keep-alive", "upgrade"]),
    "Set-Cookie": st.just("session=patient-7f3a"),
}
_HEADER = st.one_of(
    *(st.tuples(st.just(name), values | _LINE) for name, values in _VALUES.items()),
    st.tuples(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12), _LINE),
)
_STATUS = st.one_of(
    st.just("200 OK"),
    st.sampled_from([200, 301, 302, 307, 401, 403, 404, 429, 503]).map(lambda code: f"{code} x"),
    st.integers(200, 999).map(lambda code: f"{code} patient-7f3a"),
    _LINE,
)


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


def fetched(server: RawServer) -> Page | ApiError:
    """Return what the client makes of the server's answer; anything but a page and an error of the API is raised."""
    client = Api(
        base_url=server.url,
        client_id=CLIENT_ID,
        app_key=APP_KEY,
        read_timeout_s=5,
        total_timeout_s=5,
        max_body_bytes=10_000,
    )
    try:
        return client.fetch(KINDS["weights"], since=SINCE, before=BEFORE, limit=500, offset=0)
    except ApiError as error:
        return error
    finally:
        client.close()


def told(error: BaseException | None) -> str:
    """Return all that a traceback would show of an error."""
    text = ""
    while error is not None:
        text += f"{error} {error!r} "
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return text


def assert_harmless(text: str) -> None:
    for secret in (CLIENT_ID, APP_KEY, ENCODED, PATIENT, "127.0.0.1"):
        assert secret not in text


@pytest.mark.section9(41, 47)
@fuzzed("headers", share=2, status=_STATUS, headers=st.lists(_HEADER, max_size=5), length=st.booleans())
def test_any_status_and_headers_make_a_page_or_an_error_without_a_secret(
    server: RawServer,
    caplog: pytest.LogCaptureFixture,
    status: str,
    headers: list[tuple[str, str]],
    length: bool,
) -> None:
    caplog.clear()
    server.asked.clear()
    server.answer = http(BODY, *headers, status=status, length=length)
    with caplog.at_level(logging.WARNING):
        outcome = fetched(server)
    assert len(server.asked) <= 4  # three redirects
    if isinstance(outcome, Page):
        assert len(outcome.records) == 1
    else:
        assert_harmless(told(outcome))
    assert_harmless("\n".join(f"{record.getMessage()} {record.exc_text}" for record in caplog.records))


@fuzzed(
    "headers",
    share=0.5,
    answer=st.binary(max_size=200) | st.binary(max_size=60).map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest),
)
def test_any_bytes_for_an_answer_make_a_page_or_an_error_without_a_secret(server: RawServer, answer: bytes) -> None:
    server.answer = answer
    outcome = fetched(server)
    if isinstance(outcome, ApiError):
        assert_harmless(told(outcome))


@pytest.mark.section9(42)
@fuzzed("headers", share=0.5, location=_ADDRESSES | _LINE, status=st.sampled_from([301, 302, 303, 307, 308]))
def test_the_key_goes_to_no_address_but_the_apis_own(server: RawServer, location: str, status: int) -> None:
    with RawServer() as elsewhere:
        server.asked.clear()
        server.answer = http(
            b"", ("Location", location.replace("127.0.0.1:1", f"127.0.0.1:{elsewhere.port}")), status=f"{status} x"
        )
        outcome = fetched(server)
        assert isinstance(outcome, ApiError)
        assert_harmless(told(outcome))
        assert elsewhere.asked == []
        assert not isinstance(outcome, BadRequest) or "redirects" in str(outcome)


@pytest.mark.section9(36)
@fuzzed("headers", share=2, text=_DATES | _NUMBERS | _LINE, date=_DATES | _LINE)
def test_any_wait_is_within_an_hour_or_none(text: str, date: str) -> None:
    refusal = answers.refusal(429, {"Retry-After": text, "Date": date}, BEFORE)
    assert isinstance(refusal, Throttled)
    assert refusal.after_s is None or 0 <= refusal.after_s <= answers.RETRY_AFTER_MAX_S


@fuzzed("headers", share=2, text=_NUMBERS | _DATES | _LINKS | _LINE | st.text(max_size=20))
def test_any_text_in_a_header_is_read_or_is_nothing(text: str) -> None:
    total, at = answers.count(text), answers.http_date(text)
    assert total is None or total >= 0
    assert at is None or at.tzinfo is UTC
    assert answers.has_next(text) in {None, True, False}
    assert PATIENT not in answers.facts({"Content-Type": f"{text}; {PATIENT}"})
