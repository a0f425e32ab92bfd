"""Instants as people write them: a day, an ISO 8601 instant, or a span back from now. Pure."""

import re
from datetime import UTC, date, datetime, timedelta

from humansync.windows import parse_instant

#: What `parse_time` takes, for messages and help texts.
FORMS = "a day (2026-01-31), an instant (2026-01-31T12:00:00Z) or a span back from now (2w, 30d, 12h, 45m, 90s)"

#: No API kept records before; and the dates of a query have four digits for the year.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_SPAN = re.compile(r"([0-9]{1,9})([wdhms])")
_DIGITS = re.compile(r"[0-9]{10}")
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def parse_time(text: str, now: datetime) -> datetime:
    """Return the aware UTC instant that `text` names, seen from `now`; ValueError where it names none.

    A day is its first instant in UTC. An instant without an offset is refused: nobody can know what it means.
    """
    text = text.strip()
    try:
        instant = _instant(text, now)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text[:40]!r} is not {FORMS}") from error
    if instant < _EARLIEST:
        raise ValueError(f"{text[:40]!r} lies before 1970: what is meant is {FORMS}")
    return instant


def _instant(text: str, now: datetime) -> datetime:
    if _SPAN.fullmatch(text.lower()):
        return now.astimezone(UTC) - parse_span(text)
    if "t" in text.lower() or ":" in text:
        return parse_instant(text)
    if _DIGITS.fullmatch(text):
        raise ValueError("Python takes the first eight of ten digits for a day")
    day = date.fromisoformat(text)
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def parse_span(text: str) -> timedelta:
    """Return the length of a span such as `30d`; ValueError where it is none."""
    match = _SPAN.fullmatch(text.strip().lower())
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a span such as 2w, 30d, 12h, 45m or 90s")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def span_seconds(text: str, now: datetime) -> float:
    """Return how many seconds before `now` the instant lies that `text` names; ValueError as `parse_time`."""
    return (now - parse_time(text, now)).total_seconds()
