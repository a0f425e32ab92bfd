"""What is owed, and is nobody's any more: gather, decide, apply. No Celery, no environment, no globals.

Each function returns what must follow; the caller puts that on a queue. What a window's steps do is in `reading.py`.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from humansync import api_clock, errors, lateness, plan
from humansync.kinds import KINDS
from humansync.ledger import KindState, Purpose, State, Walk, WindowRow
from humansync.parts import Parts, Shared
from humansync.store import Store
from humansync.windows import Window, format_instant

log = logging.getLogger(__name__)

#: A planner pass takes milliseconds; its lock outlives a pause, not a death for long.
LOCK_S = 20
#: How often, and how far apart, a process looks whether another has found the API's clock.
CLOCK_LOOKS = 20
CLOCK_LOOK_S = 0.1
#: A window that nobody touched for this long may have lost its message.
IDLE_S = 10.0
#: At most this many lost windows are put back on the queue in one sweep.
SWEEP_ROWS = 500
#: Less new time than this makes no pass of its own ...
STEP_S = 5.0
#: ... unless a user asked for one.
STEP_FORCED_S = 1.0


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A step that must follow: the first page of an owed window, or the next page of a walking one."""

    window_id: int
    epoch: int
    kind: str
    window: Window
    first: bool
    live: bool
    delay_s: float = 0.0
    #: the whole row, where nothing has happened to it yet: its message can say it all
    untouched: WindowRow | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did: counts for the result, and what follows."""

    what: str
    follow_ups: tuple[FollowUp, ...] = ()
    received: int = 0
    #: rows that were news, as `Store.commit` counts them
    changed: int = 0
    rejected: int = 0
    #: some part of the window is now done
    finished: bool = False

    def counts(self) -> dict[str, int | str]:
        """Return the task's result: counts only, nothing of anybody's health."""
        return {"outcome": self.what, "received": self.received, "changed": self.changed, "rejected": self.rejected}


# --- planning ----------------------------------------------------------------------------------


def plan_kind(
    parts: Parts,
    kind: str,
    bounds: tuple[datetime, datetime | None] | None = None,
    *,
    step_s: float = STEP_S,
    forced: bool = False,
) -> Outcome:
    """Add what a kind owes to the ledger: from its cursor to now, or a backfill of `bounds`.

    bounds: since and before, before None for now. forced: a user asks, so parked windows are tried
    at once too. Two callers at once make one pass.
    """
    # The lock only saves work: the kind's row in the ledger is locked in the transaction. What a user
    # asks for must not be dropped because a tick is being served, so it takes no lock.
    if bounds is None and not forced and not _locked(parts, kind):
        return Outcome("another planner is at work")
    try:
        spent = _find_clock(parts, kind)
        again = [follow_up(parts, row) for row in parts.store.unpark(kind)] if forced else []
        return Outcome("planned", (*again, *_plan(parts, kind, bounds, step_s, spent)))
    finally:
        try:
            parts.shared.unlock(kind, parts.owner)
        except errors.StateUnavailable:
            log.debug("lock left to lapse", extra={"kind": kind})


def _find_clock(parts: Parts, kind: str) -> int:
    """Ask the API for its time before the very first plan; return the requests spent.

    One process asks, the others wait for its answer for a moment: after that the local clock will
    do, because a window's end is checked against the clock of its own answer.
    """
    for attempt in range(CLOCK_LOOKS):
        now = parts.api_now()
        if parts.clock_known:
            return 0
        if _locked(parts, "clock"):
            break
        if attempt + 1 < CLOCK_LOOKS:
            parts.clock.sleep(CLOCK_LOOK_S)
    else:
        return 0
    try:
        parts.learn_clock(api_clock.ask(parts.api, kind, now))
    except errors.ApiError as error:
        log.info("the API's clock is not known yet", extra={"kind": kind, "error": str(error)})
    return 1


def _locked(parts: Parts, name: str) -> bool:
    """Take a lock; while Redis is away, do without: locks only save work."""
    try:
        return parts.shared.lock(name, parts.owner, LOCK_S)
    except errors.StateUnavailable as error:
        log.warning("going on without a lock", extra={"lock": name, "error": str(error)})
        return True


def _plan(
    parts: Parts,
    kind: str,
    bounds: tuple[datetime, datetime | None] | None,
    step_s: float,
    spent: int,
) -> list[FollowUp]:
    now, api_now = parts.clock.now(), parts.api_now()
    reached: list[datetime | None] = []
    planned_at: list[datetime | None] = []

    def decide(
        state: KindState, coverage: list[Window], active: list[tuple[Window, Purpose]], density: float | None
    ) -> plan.Planned:
        del density  # a window known to be dense is cut when its turn comes
        reached.append(plan.cursor(state, coverage))
        planned_at.append(state.planned_at)
        if bounds is None:
            busy = [window for window, purpose in active if purpose is Purpose.LIVE]
            planned = plan.live(state, coverage, busy, parts.policy, api_now, step_s=step_s)
        else:
            busy = [window for window, purpose in active if purpose is Purpose.BACKFILL]
            end = min(bounds[1] or api_now, plan.horizon(parts.policy, api_now))
            if state.paused or bounds[0] >= end:
                planned = plan.Planned()
            else:
                planned = plan.backfill(Window.around(bounds[0], end), busy, parts.policy, api_now)
        return replace(planned, changes={**planned.changes, "planned_at": now}, requests=spent)

    rows = parts.store.plan(kind, decide, now)
    _catch_up(parts, kind, reached[-1])
    _watch_lateness(parts, kind, planned_at[-1], now)
    log.info("planned", extra={"kind": kind, "windows": len(rows)})
    # The first window of a kind tells how dense the others are: they follow when it is done.
    first = rows[:1] if parts.density(kind, anew=True) is None else rows
    return [follow_up(parts, row) for row in first]


def _catch_up(parts: Parts, kind: str, reached: datetime | None) -> None:
    """Move a cursor whose last move got lost: windows that begin behind it leave it alone for good."""
    try:
        if reached is not None:
            parts.shared.move_cursor(kind, reached)
    except errors.StateUnavailable as error:
        log.debug("cursor left to the next pass", extra={"kind": kind, "error": str(error)})


def _watch_lateness(parts: Parts, kind: str, since: datetime | None, now: datetime) -> None:
    """Warn once of records that came nearly later, or later, than the overlap reaches back."""
    known = lateness.summary(parts.store.late().get(kind, ()), now)
    if known is None or (since is not None and known.latest_at <= since):
        return
    if known.near(parts.policy.overlap_s):
        facts = {"kind": kind, "late_s": round(known.recent_s), "overlap_s": parts.policy.overlap_s}
        log.warning("records come about as late as HUMANSYNC_OVERLAP_S reaches back, or later", extra=facts)


def follow_up(parts: Parts, row: WindowRow, delay_s: float = 0.0) -> FollowUp:
    """Return the step that brings a window on."""
    first = row.state is not State.WALKING
    live = plan.is_live(row.window, row.purpose, parts.api_now())
    new = Walk(sized=row.walk.sized)
    untouched = replace(row, state=State.OWED, walk=new, attempts=0, not_before=None, last_error=None) == row
    # A second look reads by what is known of the kind now: that of a second ago may have been forgotten since.
    untouched = untouched and row.purpose is not Purpose.SWEEP
    return FollowUp(row.id, row.epoch, row.kind, row.window, first, live, delay_s, row if untouched else None)


# --- housekeeping ------------------------------------------------------------------------------


def sweep(parts: Parts) -> Outcome:
    """Find ledger work that no message and no worker carries, and return it to be issued again."""
    now = parts.clock.now()
    rows = parts.store.owed(now, now - timedelta(seconds=IDLE_S), SWEEP_ROWS)
    if not rows:
        return Outcome("nothing lost")
    lost = parts.shared.unissued([row.id for row in rows])
    again = [row for row in rows if row.id in lost]
    if again:
        parts.store.touch([row.id for row in again], now)
        log.warning("issued again", extra={"windows": len(again)})
    return Outcome("issued again", tuple(follow_up(parts, row) for row in again))


def rebuild_cursors(parts: Parts) -> None:
    """Write the cursors that Redis lacks, and set back those that are ahead of the ledger: it came from a backup."""
    # Redis first: the ledger grows meanwhile, and no cursor may look as if it were ahead.
    known = {name: parts.shared.cursor(name) for name in KINDS}
    for name, state in parts.store.kinds().items():
        reached, cursor = plan.cursor(state, parts.store.coverage(name)), known[name]
        if reached is None and cursor is not None and state.start is not None and cursor > state.start:
            reached = state.start  # all is owed again, and a late commit moved it after the reset
        if reached is None or reached == cursor:
            continue
        if cursor is not None and reached < cursor:
            log.warning("cursor set back to where the ledger is", extra={"kind": name, "cursor": str(cursor)})
            # Should a commit have moved it just now, it is too low until the next pass.
            parts.shared.set_cursor(name, reached)
        elif cursor is None:
            parts.shared.move_cursor(name, reached)


def reset(store: Store, shared: Shared, kind: str, to: datetime) -> None:
    """Set a kind's cursor back, never forward: what lies after `to` is owed again. Raises StateUnavailable."""
    # Redis first: where it is away nothing has changed, and a cursor too low is mended by the next pass.
    known = shared.cursor(kind)
    if known is not None and to < known:
        shared.set_cursor(kind, to)
    store.reset(kind, to)


def describe(window: Window) -> tuple[str, str]:
    """Return a window's bounds as task arguments."""
    return format_instant(window.since), format_instant(window.before)
