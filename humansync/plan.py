"""Which windows are owed, and why? Pure: coverage + policy + the API's now -> windows.

Owed work follows from what is covered, never from ticks: a missed, doubled or late tick changes
nothing, and so does a second scheduler.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from humansync.kinds import KINDS, Read
from humansync.ledger import KindState, Purpose
from humansync.timespec import parse_time
from humansync.windows import Window, floor_second, gaps, merge, prefix_end, split_by_width

#: The API refuses more than 31 days a query; a day is kept in reserve.
WINDOW_MAX = timedelta(days=30)
#: A kind that the API does not offer is asked again this often: it may have been switched on.
DISABLED_RETRY = timedelta(days=1)
#: Recent days are read again once a day ...
SWEEP_EVERY = timedelta(days=1)
#: ... this far back, for records that appeared late.
SWEEP_SPAN = timedelta(days=3)
#: Windows that end within this of now are live work; older ones wait behind them.
LIVE_SPAN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that planning follows."""

    settle_s: float
    overlap_s: float
    #: how far back a kind with no cursor begins: an instant, or a span back from now
    since: str


@dataclass(frozen=True, slots=True)
class Planned:
    """Windows to add to the ledger, in the order of their urgency, and columns of `sync_kinds` to set."""

    windows: list[tuple[Window, Purpose]] = field(default_factory=list)
    changes: dict[str, object] = field(default_factory=dict)
    #: requests spent on planning, charged to the first window
    requests: int = 0


def horizon(policy: Policy, api_now: datetime) -> datetime:
    """Return the latest instant a window may end at: the API's now less the settle delay."""
    return floor_second(api_now - timedelta(seconds=policy.settle_s))


def live(
    state: KindState,
    coverage: Sequence[Window],
    active: Sequence[Window],
    policy: Policy,
    api_now: datetime,
    *,
    step_s: float,
) -> Planned:
    """Return what a kind owes from its cursor to now, the overlap behind it included.

    coverage: live windows done. active: live windows owed, walking or parked. step_s: less new
    time than this is left to the next pass, so that a crowd of calls makes one pass.
    """
    if state.paused:
        return Planned()
    changes: dict[str, object] = {}
    if state.disabled is not None:
        if state.disabled_at is not None and api_now - state.disabled_at < DISABLED_RETRY:
            return Planned(changes=changes)
        changes |= {"disabled": None, "disabled_at": None}
    end = horizon(policy, api_now)
    second_look = _second_look(state, api_now)
    changes |= second_look
    if KINDS[state.kind].read is Read.WHOLE:
        return Planned(_whole(coverage, active, end, step_s), changes)
    start = state.start
    # A start far in the API's future was found by a clock that ran ahead, of the host or of the API.
    if start is None or (start > api_now + LIVE_SPAN and not coverage and not active):
        start = floor_second(parse_time(policy.since, api_now))
        changes["start"] = start
    if start >= end:
        return Planned(changes=changes)
    windows = _owed(start, end, [*coverage, *active], policy.overlap_s, step_s)
    planned = [(window, Purpose.LIVE) for window in windows]
    if "page_cap" in second_look:
        span = Window(max(start, end - SWEEP_SPAN), end)
        planned += [(again, Purpose.SWEEP) for window in merge(coverage) if (again := _common(window, span))]
    return Planned(planned, changes)


def _second_look(state: KindState, api_now: datetime) -> dict[str, object]:
    """Return what is to be set because recent days are due to be read again, or because a day begins to count.

    What was learned of the server's pages goes then, and is learned anew of what is read again: the server may have
    changed, and a page that is shorter than those of yesterday may be a full one of today.
    """
    if state.swept_at is None or state.swept_at > api_now:
        return {"swept_at": api_now}
    if api_now - state.swept_at >= SWEEP_EVERY:
        return {"swept_at": api_now, "page_cap": None, "largest_page": 0}
    return {}


def _owed(start: datetime, end: datetime, busy: Sequence[Window], overlap_s: float, step_s: float) -> list[Window]:
    """Return the gaps of `[start, end)`, newest first, each reaching back by the overlap.

    Not only the one that ends now: a window that was cut short, for it ended too near the API's present, leaves a gap
    behind what was read at that time. What came late there is found from here, or by the daily second look: so it is
    where the next window was planned before that one was cut.
    """
    frontier = max([window.before for window in busy if window.before > start], default=start)
    missing = gaps(Window(start, end), busy)
    if frontier > start and missing and missing[-1].since == frontier and missing[-1].seconds < step_s:
        missing.pop()
    overlap = timedelta(seconds=overlap_s)
    owed = [Window(max(start, floor_second(gap.since - overlap)), gap.before) for gap in missing]
    return [part for gap in reversed(owed) for part in reversed(split_by_width(gap, WINDOW_MAX.total_seconds()))]


def _whole(
    coverage: Sequence[Window], active: Sequence[Window], end: datetime, step_s: float
) -> list[tuple[Window, Purpose]]:
    """Return the one pass over a collection without times, unless one is under way or just over."""
    latest = max((window.before for window in coverage), default=None)
    if active or (latest is not None and (end - latest).total_seconds() < step_s):
        return []
    return [(Window(end - WINDOW_MAX, end), Purpose.LIVE)]


def _common(a: Window, b: Window) -> Window | None:
    since, before = max(a.since, b.since), min(a.before, b.before)
    return Window(since, before) if since < before else None


def backfill(bounds: Window, active: Sequence[Window], policy: Policy, api_now: datetime) -> Planned:
    """Return the windows of a range asked for by hand, less what is under way for the same purpose."""
    end = min(bounds.before, horizon(policy, api_now))
    if bounds.since >= end:
        return Planned()
    parts = [
        (part, Purpose.BACKFILL)
        for gap in gaps(Window(bounds.since, end), active)
        for part in split_by_width(gap, WINDOW_MAX.total_seconds())
    ]
    return Planned(parts)


def cursor(state: KindState, coverage: Sequence[Window]) -> datetime | None:
    """Return the instant up to which a kind is complete; None before its first window is done."""
    if KINDS[state.kind].read is Read.WHOLE:
        return state.whole_read_at
    return prefix_end(coverage, state.start) if state.start else None


def is_live(window: Window, purpose: Purpose, api_now: datetime) -> bool:
    """Whether a window's data are new enough to go before history."""
    return purpose is Purpose.LIVE and api_now - window.before <= LIVE_SPAN
