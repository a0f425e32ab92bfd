"""What the API shows against what is stored: which records are missing, stale or extra? Pure.

Instants of versions are texts here, `YYYY-MM-DD HH:MM:SS.ffffff` in UTC as the database's cells have them:
they sort by time, and a cell that somebody has spoilt is still a text.
"""

from collections.abc import Iterable, Mapping
from datetime import MAXYEAR, UTC, datetime
from enum import StrEnum
from typing import NamedTuple

from humansync.windows import SECOND, Window, floor_second

#: A repair that would delete more than this share of what is stored in the range is not believed ...
DELETED_SHARE = 0.2
#: ... unless it is so few rows.
DELETED_FEW = 10


class Stored(NamedTuple):
    """What the database has in place of a record of the API, where that is not the same."""

    present: bool
    #: `updated_at` as the cell has it; None where the record is absent or its kind has no times
    updated: str | None


class Fault(StrEnum):
    """How a stored record differs from the API's."""

    MISSING = "missing"  #: it is not there
    OLDER = "older"  #: an earlier version is there
    ALTERED = "altered"  #: the same version, other content
    AHEAD = "ahead"  #: a version later than the API's: newer, or invented; only another read can tell


def fault(upstream: str | None, stored: Stored) -> Fault:
    """Return what is wrong with a stored record that differs from the API's version of it."""
    if not stored.present:
        return Fault.MISSING
    if upstream is None or stored.updated == upstream:
        return Fault.ALTERED
    if stored.updated is None or instant(stored.updated) is None:
        return Fault.ALTERED
    return Fault.OLDER if stored.updated < upstream else Fault.AHEAD


def instant(text: str) -> datetime | None:
    """Return the instant of a cell; None where it holds none."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None


def second_of(text: str) -> Window | None:
    """Return the second that a version's instant lies in; None where the cell holds no instant."""
    found = instant(text)
    if found is None or found.year == MAXYEAR:  # a window ends after its beginning
        return None
    return Window(floor_second(found), floor_second(found) + SECOND)


def still(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Return what two looks agree on: identity -> stored version."""
    return {identity: version for identity, version in second.items() if first.get(identity) == version}


class Deletion(NamedTuple):
    """Which extra rows may go, and why the others stay."""

    doomed: dict[str, str]
    kept: dict[str, str]
    why: str


def deletable(extra: Mapping[str, str], *, stored: int, shown_from: str | None) -> Deletion:
    """Decide which extra rows the API's silence is proof against.

    stored: rows in the range. shown_from: the oldest version that the API has shown. What is older than all
    it shows may be beyond what it serves at all: its silence there proves nothing. And a range that seems to
    have lost a large part of its rows is not believed.
    """
    if len(extra) > max(DELETED_FEW, DELETED_SHARE * stored):
        return Deletion({}, dict(extra), "too many records would be deleted at once")
    doomed = {each: version for each, version in extra.items() if shown_from is not None and version >= shown_from}
    kept = {each: version for each, version in extra.items() if each not in doomed}
    return Deletion(doomed, kept, "the API shows nothing as old: it may not serve that far back" if kept else "")


def newest(bounds: Iterable[Window]) -> list[Window]:
    """Return windows newest first."""
    return sorted(bounds, reverse=True)
