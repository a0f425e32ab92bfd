"""Half-open UTC windows on the API's `updatedAt`: align, split, merge, gaps. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

SECOND = timedelta(seconds=1)


def floor_second(instant: datetime) -> datetime:
    """Return the whole second at or before an aware instant."""
    return instant.replace(microsecond=0)


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """`[since, before)`: aware UTC instants on whole seconds, never empty."""

    since: datetime
    before: datetime

    def __post_init__(self) -> None:
        for instant in (self.since, self.before):
            if instant.utcoffset() != timedelta(0):
                raise ValueError("a window's bounds are aware UTC instants")
            if instant.microsecond:
                raise ValueError("a window's bounds are whole seconds")
        if self.since >= self.before:
            raise ValueError("a window is not empty")

    @classmethod
    def parse(cls, since: str, before: str) -> "Window":
        """Return the window of two ISO 8601 instants; ValueError if they make none."""
        return cls(parse_instant(since), parse_instant(before))

    @classmethod
    def around(cls, since: datetime, before: datetime) -> "Window":
        """Return the smallest window that holds all instants from `since` to `before`; ValueError where there are none."""
        return cls(floor_second(since), floor_second(before + SECOND - timedelta(microseconds=1)))

    @property
    def seconds(self) -> int:
        """Width in whole seconds, at least 1."""
        return int((self.before - self.since).total_seconds())

    def __str__(self) -> str:
        return f"[{format_instant(self.since)}, {format_instant(self.before)})"


def parse_instant(text: str) -> datetime:
    """Return the aware UTC instant of an ISO 8601 text with an offset; ValueError otherwise."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset")
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} lies beyond the calendar") from error


def format_instant(instant: datetime) -> str:
    """Return ISO 8601 with `Z`, to the second where there is no fraction."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def merge(windows: Iterable[Window]) -> list[Window]:
    """Return the same instants as sorted, disjoint, non-touching windows."""
    merged: list[Window] = []
    for window in sorted(windows):
        if merged and window.since <= merged[-1].before:
            if window.before > merged[-1].before:
                merged[-1] = Window(merged[-1].since, window.before)
        else:
            merged.append(window)
    return merged


def gaps(wanted: Window, covered: Iterable[Window]) -> list[Window]:
    """Return what of `wanted` no covered window holds: sorted, disjoint."""
    missing: list[Window] = []
    reached = wanted.since
    for window in merge(covered):
        if window.since >= wanted.before:
            break
        if window.since > reached:
            missing.append(Window(reached, window.since))
        reached = max(reached, window.before)
    if reached < wanted.before:
        missing.append(Window(reached, wanted.before))
    return missing


def split(window: Window, parts: int) -> list[Window]:
    """Return at most `parts` adjoining windows of nearly equal whole-second width, oldest first."""
    parts = max(1, min(parts, window.seconds))
    edges = [window.since + SECOND * (window.seconds * i // parts) for i in range(parts + 1)]
    return [Window(a, b) for a, b in pairwise(edges)]


def split_by_width(window: Window, width_s: float) -> list[Window]:
    """Return adjoining windows of nearly equal width, none wider than `width_s` (at least a second)."""
    width = max(1, int(width_s))
    return split(window, -(-window.seconds // width))


def prefix_end(coverage: Iterable[Window], start: datetime) -> datetime | None:
    """Return the end of the gapless coverage that begins at `start`; None where nothing covers it."""
    for window in merge(coverage):
        if window.since <= start < window.before:
            return window.before
    return None
