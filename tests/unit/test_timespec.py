from datetime import UTC, datetime, timedelta

import pytest

from humansync.timespec import parse_span, parse_time, span_seconds

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31T12:00:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        ("2026-01-31T12:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("30d", datetime(2026, 1, 30, 12, tzinfo=UTC)),  # 28 days of February and 2 of January
        ("2w", datetime(2026, 2, 15, 12, tzinfo=UTC)),
        ("12h", datetime(2026, 3, 1, 0, tzinfo=UTC)),
        ("45m", datetime(2026, 3, 1, 11, 15, tzinfo=UTC)),
        ("90S", datetime(2026, 3, 1, 11, 58, 30, tzinfo=UTC)),
        (" 0s ", NOW),
    ],
)
def test_names_an_instant(text: str, instant: datetime) -> None:
    assert parse_time(text, NOW) == instant
    assert parse_time(text, NOW).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "30", "30 d", "-3d", "1.5h", "2026-13-01", "2026-01-31T12:00:00", "2026-01-31 25:00Z",
        "999999999w", "0001-01-01T00:00:00+10:00", "2026-01-31Z", "2026013112",
    ],
)  # fmt: skip
def test_refuses_what_names_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a day"):
        parse_time(text, NOW)


@pytest.mark.parametrize("text", ["0001-01-01", "1969-12-31T23:59:59Z", "30000d"])
def test_refuses_what_no_api_can_have(text: str) -> None:
    with pytest.raises(ValueError, match="lies before 1970"):
        parse_time(text, NOW)


def test_a_span_is_a_length() -> None:
    assert parse_span("2w") == timedelta(days=14)
    with pytest.raises(ValueError, match="is not a span"):
        parse_span("2026-01-31")


def test_counts_seconds_back_from_now() -> None:
    assert span_seconds("12h", NOW) == 12 * 3600
    assert span_seconds("2026-03-01", NOW) == 12 * 3600
