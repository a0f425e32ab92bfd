from datetime import UTC, datetime

import pytest

from humansync import answers, errors

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
#: a clock of the API that is ten minutes ahead of ours
AHEAD = "Tue, 24 Nov 2026 03:10:00 GMT"


@pytest.mark.section9(1, 47)
@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (None, None),
        ("", None),
        ("garbage", None),
        ("<https://api/x?offset=50>", None),
        ('<https://api/x?offset=50>; rel="next", <https://api/x?offset=200>; rel="last"', True),
        ('<https://api/x?offset=0>; rel="first", <https://api/x?offset=50>; rel="next"', True),
        ('<https://api/x?offset=150>; rel="prev", <https://api/x?offset=0>; rel="first"', False),
        ("<https://api/x?offset=50>; rel=next", True),
        ('<https://api/x?offset=50>; title="a, b"; rel="NEXT last"', True),
        ('<https://api/x;rel="next">; rel="prev"', False),  # an address may hold anything
        ('https://api/x?offset=200; rel="last"', False),  # the docs' own example lacks brackets and `next`
    ],
)
def test_link_tells_whether_a_page_follows(link: str | None, expected: bool | None) -> None:
    assert answers.has_next(link) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8490", 8490),
        (" 0 ", 0),
        ("7\x1f", 7),  # blank to Python's patterns, not to its `int`
        (None, None),
        ("", None),
        ("-1", None),
        ("many", None),
        ("1.5", None),
        ("9" * 40, None),
    ],
)
def test_a_count_is_a_number_or_nothing(text: str | None, expected: int | None) -> None:
    assert answers.count(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tue, 24 Nov 2026 03:00:00 GMT", NOW),
        ("Tue, 24 Nov 2026 05:00:00 +0200", NOW),
        ("Tue, 24 Nov 2026 03:00:00 -0000", NOW),
        (None, None),
        ("", None),
        ("now", None),
        ("Tue, 99 Nov 2026 03:00:00 GMT", None),
    ],
)
def test_a_date_is_an_instant_or_nothing(text: str | None, expected: datetime | None) -> None:
    assert answers.http_date(text) == expected


@pytest.mark.section9(36)
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "999999"}, answers.RETRY_AFTER_MAX_S),
        ({"Retry-After": "Tue, 24 Nov 2026 03:00:30 GMT"}, 30.0),
        ({"Retry-After": "Tue, 24 Nov 2026 03:10:30 GMT", "Date": AHEAD}, 30.0),  # by the API's own clock
        ({"Retry-After": "Tue, 24 Nov 2026 02:00:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 24 Nov 2027 03:00:00 GMT"}, answers.RETRY_AFTER_MAX_S),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
    ],
)
def test_retry_after_comes_in_seconds_or_as_a_date(headers: dict[str, str], expected: float | None) -> None:
    assert answers.retry_after(headers, NOW) == expected


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (204, errors.Unavailable),
        (206, errors.Unavailable),
        (304, errors.BadRequest),
        (400, errors.BadRequest),
        (401, errors.Unauthorized),
        (403, errors.NotOffered),
        (404, errors.NotOffered),
        (408, errors.Unavailable),
        (409, errors.BadRequest),
        (413, errors.BadRequest),
        (425, errors.Unavailable),
        (429, errors.Throttled),
        (500, errors.Unavailable),
        (502, errors.Unavailable),
        (503, errors.Unavailable),
        (504, errors.Unavailable),
        (599, errors.Unavailable),
    ],
)
def test_a_status_is_cut_by_what_happens_next(status: int, error: type[errors.ApiError]) -> None:
    refusal = answers.refusal(status, {}, NOW)
    assert type(refusal) is error
    assert refusal.status == status


def test_503_that_names_a_wait_throttles() -> None:
    refusal = answers.refusal(503, {"Retry-After": "20"}, NOW)
    assert isinstance(refusal, errors.Throttled)
    assert refusal.after_s == 20


def test_records_survive_what_strict_json_forbids() -> None:
    body = b'\xef\xbb\xbf[{"a": "\\ud800"}, {"b": NaN}, {"c": 1e999}, {"d": "\xff"}]'
    decoded = answers.records(body, {})
    assert decoded is not None
    assert [list(record) for record in decoded if isinstance(record, dict)] == [["a"], ["b"], ["c"], ["d"]]


@pytest.mark.parametrize(
    ("odd", "value"),
    [
        (b"9" * 4300, int("9" * 4300)),
        (b"9" * 5000, "9" * 5000),  # more digits than Python reads
        (b"-" + b"9" * 5000, "-" + "9" * 5000),
        (b'"two\nlines\tand a \x00"', "two\nlines\tand a \x00"),  # to be escaped, by the letter of JSON
    ],
)
def test_a_page_is_not_lost_for_one_odd_value(odd: bytes, value: object) -> None:
    assert answers.records(b'[{"id": "a"}, {"odd": ' + odd + b"}]", {}) == [{"id": "a"}, {"odd": value}]


@pytest.mark.section9(38)
@pytest.mark.parametrize("body", [b"{}", b"null", b" { } "])
def test_nothing_in_place_of_a_list_is_no_record(body: bytes) -> None:
    assert answers.records(body, {}) is None


@pytest.mark.section9(37, 39)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[{",
        b'[{"id": "1"}',
        b"<html>secret</html>",
        b'{"error": "secret"}',
        b'"secret"',
        b"17",
        b"true",
        b"[" * 100_000,
        b"[" + b"9" * 10_000 + b"x]",
    ],
)
def test_what_is_no_list_is_asked_for_again_and_never_quoted(body: bytes) -> None:
    with pytest.raises(errors.Unavailable) as caught:
        answers.records(body, {"Content-Type": "text/html; charset=secret"})
    assert "secret" not in str(caught.value)
    assert f"{len(body)} bytes" in str(caught.value)


@pytest.mark.section9(47)
def test_facts_say_nothing_a_server_could_smuggle_in() -> None:
    assert answers.facts({"Content-Type": "text/html; patient=7", "Content-Length": "12"}) == "text/html, 12 bytes"
    assert answers.facts({"Content-Type": "patient 7"}) == "no content type, unknown bytes"
