"""Instants as the API writes them, held as whole milliseconds since 1970. Pure.

Integers sort, hash and compare fastest, and the API's own resolution is the millisecond.
"""

import re
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_COMPACT = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


def to_ms(instant: datetime) -> int:
    """Return an aware datetime as milliseconds since 1970, rounded down."""
    return (instant - _EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    """Return milliseconds since 1970 as an aware UTC datetime."""
    return _EPOCH + _MILLISECOND * ms


def day_ms(day: date) -> int:
    """Return the midnight (UTC) that begins a day."""
    return (day - _EPOCH.date()).days * DAY_MS


@lru_cache(maxsize=4096)
def day_text(day_number: int) -> str:
    """Return `YYYY-MM-DD` of a day counted from 1970."""
    return (_EPOCH + timedelta(days=day_number)).date().isoformat()


@lru_cache(maxsize=8192)
def _minute_text(minute_number: int) -> str:
    day, minute = divmod(minute_number, 24 * 60)
    return f"{day_text(day)}T{minute // 60:02d}:{minute % 60:02d}:"


def iso(ms: int) -> str:
    """Return an instant as in the API's bodies: `2018-12-19T12:20:16.418Z`."""
    minute, rest = divmod(ms, MINUTE_MS)
    return f"{_minute_text(minute)}{rest // SECOND_MS:02d}.{rest % SECOND_MS:03d}Z"


def parse_iso(text: object) -> int | None:
    """Return the instant of an ISO 8601 text with an offset; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return to_ms(instant) if instant.tzinfo else None


def parse_compact(text: str) -> int | None:
    """Return the instant of a query parameter, `20140110T000000Z` and nothing else; None otherwise."""
    if not _COMPACT.fullmatch(text):
        return None
    try:
        return to_ms(datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC))
    except ValueError:
        return None


@lru_cache(maxsize=16)
def _http_date(second: int) -> str:
    return format_datetime(_EPOCH + timedelta(seconds=second), usegmt=True)


def http_date(ms: int) -> str:
    """Return an instant as in HTTP headers: `Wed, 19 Dec 2018 12:20:16 GMT`."""
    return _http_date(ms // SECOND_MS)
