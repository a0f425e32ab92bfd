"""The shell around the decisions: gather, decide, apply. No Celery, no environment, no globals.

Each function does one step of the work of one window and returns what must follow; the caller
puts that on a queue. Any step may be lost, doubled, reordered or woken late: the ledger row's epoch
is checked in the transaction that would change something.
"""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from humansync import answers, errors, lateness, pages, plan, records, retry
from humansync.api import Page
from humansync.kinds import KINDS, Kind, Read
from humansync.ledger import KindState, Purpose, State, Walk, WindowRow
from humansync.parts import Parts, Shared
from humansync.state.shared import Admission
from humansync.store import Store
from humansync.windows import Window, format_instant

log = logging.getLogger(__name__)

#: A lease on a window lapses this long after its holder was last heard of.
LEASE_S = 30
#: A planner pass takes milliseconds; its lock outlives a pause, not a death for long.
LOCK_S = 20
#: How often, and how far apart, a process looks whether another has found the API's clock.
CLOCK_LOOKS = 20
CLOCK_LOOK_S = 0.1
#: A wait for the rate budget up to this long is slept through; a longer one goes back to the queue.
SLOT_WAIT_S = 3.0
#: A window that nobody touched for this long may have lost its message.
IDLE_S = 10.0
#: At most this many lost windows are put back on the queue in one sweep.
SWEEP_ROWS = 500
#: More refused records than this in one page are no matter of records.
REFUSED_MOST = 50
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
        page = parts.api.fetch(KINDS[kind], since=now - timedelta(minutes=1), before=now, limit=1, offset=0)
    except errors.ApiError as error:
        log.info("the API's clock is not known yet", extra={"kind": kind, "error": str(error)})
        return 1
    parts.learn_clock(page.api_time)
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
    first = rows[:1] if parts.density(kind) is None else rows
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
    untouched = replace(row, state=State.OWED, walk=Walk(), attempts=0, not_before=None, last_error=None) == row
    return FollowUp(row.id, row.epoch, row.kind, row.window, first, live, delay_s, row if untouched else None)


# --- reading -----------------------------------------------------------------------------------


def read_bounds(parts: Parts, kind: str, window: Window) -> Outcome:
    """Read a window named by its bounds alone, as an operator does: the ledger's, or a new backfill."""
    found = parts.store.find(kind, window)
    if found is None:
        return plan_kind(parts, kind, (window.since, window.before))
    return read(parts, found[0].id, found[0].epoch)


def read(parts: Parts, window_id: int, epoch: int, told: WindowRow | None = None) -> Outcome:
    """Bring one window on by one page. Safe to run twice: the second finds a later epoch.

    told: the window's row as its message had it. It is believed if that message is the one that was waited for, which
    spares a look at the ledger; the epoch is checked when something is to be changed, in any case.
    """
    if told is not None:
        row, state = told, parts.state(told.kind)
    else:
        found = parts.store.row(window_id)
        if found is None:
            return Outcome("gone")
        row, state = found
    if row.epoch != epoch or row.state is State.DONE:
        return Outcome("moved on")
    if state.paused or state.disabled is not None:
        return Outcome("paused" if state.paused else "disabled")
    now = parts.clock.now()
    if row.not_before is not None and row.not_before > now:
        return Outcome("too early")
    step = pages.presplit(row, state, parts.density(row.kind))
    if step is not None:
        return _apply(parts, row, records.NOTHING, lambda _: step)
    return _with_lease(parts, row, state, told=told is not None)


def _with_lease(parts: Parts, row: WindowRow, state: KindState, *, told: bool) -> Outcome:
    """Take the window's lease and a place in the rate budget, then fetch."""
    with ExitStack() as turn:
        turn.enter_context(parts.gate.request())
        return _in_turn(parts, row, state, turn.close, told=told)


def _in_turn(parts: Parts, row: WindowRow, state: KindState, answered: Callable[[], None], *, told: bool) -> Outcome:
    """Fetch a page in this thread's turn, which is over when the answer is there."""
    if row.id in parts.held:
        return Outcome("held by another")
    # Another token each step: a doubled message in this very process is held off as well.
    token = f"{parts.owner}:{parts.clock.random():.12f}"
    lane = "live" if plan.is_live(row.window, row.purpose, parts.api_now()) else "backfill"
    try:
        admission = parts.shared.admit(row.id, token, kind=row.kind, lane=lane, lease_s=LEASE_S, max_wait_s=SLOT_WAIT_S)
    except errors.StateUnavailable as error:
        log.warning("going on without Redis, slowly", extra={"kind": row.kind, "error": str(error)})
        admission = Admission(granted=True, wait_s=parts.fallback(), busy=False)
    if admission.busy:
        return Outcome("held by another")
    if not admission.granted:
        return Outcome("waits for the budget", (follow_up(parts, row, admission.wait_s),))
    cursor: datetime | None = None
    parts.held.add(row.id)
    try:
        if told and not admission.waited_for and not _still_so(parts, row):
            return Outcome("moved on")
        if admission.wait_s > 0:
            parts.clock.sleep(admission.wait_s)
        outcome, cursor = _fetch(parts, row, state, answered)
        return outcome
    finally:
        parts.held.discard(row.id)
        try:
            parts.shared.release(row.id, token, kind=row.kind, cursor=cursor)
        except errors.StateUnavailable as error:
            log.debug("lease left to lapse", extra={"kind": row.kind, "error": str(error)})


def _still_so(parts: Parts, row: WindowRow) -> bool:
    """Whether the ledger has a window as its message had it: one that was doubled, or is late, may not be believed."""
    found = parts.store.row(row.id)
    return found is not None and (found[0].epoch, found[0].state) == (row.epoch, row.state)


def _fetch(
    parts: Parts, row: WindowRow, state: KindState, answered: Callable[[], None]
) -> tuple[Outcome, datetime | None]:
    """Fetch one page, decide, commit. Returns the outcome and how far the cursor may move."""
    ask = pages.request(row, state)
    density = parts.density(row.kind)
    try:
        page = fetch_page(parts, row, state, ask)
        parts.gate.answered(page.elapsed_s)
        answered()
        row = replace(row, walk=replace(row.walk, hollow=0)) if row.walk.hollow else row
        batch = _batch(parts, KINDS[row.kind], page)
        api_time = page.api_time or parts.api_now()
        facts = pages.Facts(
            batch.received, batch.identities, batch.updated, api_time, page.total, page.has_next, hollow=page.hollow
        )

        def settle(news: int) -> pages.Step:
            seen = replace(facts, fresh=news, density=density)
            return pages.settle(row, state, seen, settle_s=parts.policy.settle_s)

        outcome = _stored(parts, row, page, batch, settle)
    except errors.ApiError as error:
        return _failed(parts, row, state, ask, error), None
    except errors.StoreRefused as error:
        # What the database turns down once it turns down again: the window is parked, others go on.
        return _failed(parts, row, state, ask, errors.Uncertain(str(error))), None
    return outcome, _cursor(parts, row, state) if outcome.finished else None


def _batch(parts: Parts, kind: Kind, page: Page) -> records.Batch:
    """Return what a page holds, in the cheapest form that the database takes."""
    received = records.as_received(kind, page.records, page.body) if parts.store.unpacks else None
    return received or records.parse(kind, page.records)


def _stored(
    parts: Parts, row: WindowRow, page: Page, batch: records.Batch, settle: Callable[[int], pages.Step]
) -> Outcome:
    """Commit a page; what the database refuses is tried in smaller pieces."""
    kind = KINDS[row.kind]
    try:
        return _apply(parts, row, batch, settle)
    except errors.StoreRefused as error:
        if batch.text is None:
            return _apply(parts, row, isolated(parts, kind, batch, error), settle)
    return _stored(parts, row, page, records.parse(kind, page.records), settle)


def fetch_page(parts: Parts, row: WindowRow, state: KindState, ask: pages.Ask) -> Page:
    """Ask for a window's next page. Beyond the end some servers say 400 or 404: that is an empty page."""
    kind = KINDS[row.kind]
    try:
        page = parts.api.fetch(kind, since=ask.since, before=ask.before, limit=ask.limit, offset=ask.offset)
    except (errors.NotOffered, errors.BadRequest) as error:
        if not ask.offset:
            raise
        log.info("refused beyond the end", extra={"kind": kind.name, "status": error.status, "offset": ask.offset})
        return Page([], None, None, None, 0, 0.0)
    parts.learn_clock(page.api_time)
    if page.hollow and not retry.means_nothing(row.walk.hollow + 1, gives_lists=state.gives_lists):
        # Some servers mean an empty list by it, others have slipped: no window is done by a slip.
        raise errors.Hollow(answers.HOLLOW, status=200)
    return page


def walk_after(walk: Walk, error: errors.ApiError, ask: pages.Ask, action: retry.Action) -> Walk:
    """Return where a window's read stands after a failed request."""
    # In a row: what else went wrong in between is no confirmation.
    walk = replace(walk, hollow=walk.hollow + 1 if isinstance(error, errors.Hollow) else 0)
    return replace(walk, limit=max(1, ask.limit // 2)) if action is retry.Action.SHRINK else walk


def isolated(parts: Parts, kind: Kind, batch: records.Batch, error: errors.StoreRefused) -> records.Batch:
    """Return the batch with the records that the database refuses set aside; raise the error where that is no way."""
    found = parts.store.refused(kind, batch, parts.clock.now(), REFUSED_MOST) if error.of_a_value else None
    if not found:
        raise error
    log.warning("records set aside", extra={"kind": kind.name, "records": len(found), "error": str(error)})
    return records.without(batch, found)


def _apply(parts: Parts, row: WindowRow, batch: records.Batch, settle: Callable[[int], pages.Step]) -> Outcome:
    """Commit a page with what it leads to; return what must follow."""
    now = parts.clock.now()
    unknown = parts.density(row.kind) is None
    seen: list[int] = []

    def counted(news: int) -> pages.Step:
        seen.append(news)
        return settle(news)

    try:
        step, rows = parts.store.commit(row, KINDS[row.kind], batch, counted, now)
    except errors.StaleEpoch:
        log.info("another worker was faster", extra={"window_id": row.id, "kind": row.kind})
        return Outcome("moved on")
    log.info(
        "page",
        extra={
            "kind": row.kind,
            "window_id": row.id,
            "window": str(row.window),
            "received": batch.received,
            "changed": seen[-1],
            "rejected": len(batch.rejected),
            "next": step.why,
        },
    )
    if step.largest or step.cap or step.gives_lists:
        parts.forget_state(row.kind)
    follow_ups = tuple(follow_up(parts, each) for each in rows)
    finished = step.state is State.DONE or step.done is not None
    if finished and unknown:
        follow_ups += _waiting(parts, row.kind)
    return Outcome(step.why, follow_ups, batch.received, seen[-1], len(batch.rejected), finished)


def _waiting(parts: Parts, kind: str) -> tuple[FollowUp, ...]:
    """Return the windows of a kind that waited for its density."""
    now = parts.clock.now()
    rows = [row for row in parts.store.owed(now, now + timedelta(seconds=IDLE_S), SWEEP_ROWS) if row.kind == kind]
    try:
        issued = parts.shared.unissued([row.id for row in rows])
    except errors.StateUnavailable:
        return ()
    return tuple(follow_up(parts, row) for row in rows if row.id in issued)


def _cursor(parts: Parts, row: WindowRow, state: KindState) -> datetime | None:
    """Return how far the cursor may move now that a part of this window is done; None to leave it."""
    if row.purpose is not Purpose.LIVE:
        return None
    if KINDS[row.kind].read is Read.WHOLE:
        return parts.store.kind(row.kind).whole_read_at
    try:
        known = parts.shared.cursor(row.kind) or state.start
    except errors.StateUnavailable:
        return None
    if known is None or row.window.since > known:
        return None
    reached = parts.store.coverage_from(row.kind, known)
    return reached if reached > known else None


def _failed(parts: Parts, row: WindowRow, state: KindState, ask: pages.Ask, error: errors.ApiError) -> Outcome:
    """Turn a failed request into what the table of errors says."""
    proven = bool(state.largest_page or ask.offset or parts.store.coverage(row.kind))
    decision = retry.decide(error, attempts=row.attempts, limit=ask.limit, proven=proven, random=parts.clock.random())
    now, action = parts.clock.now(), decision.action
    not_before = now + timedelta(seconds=decision.after_s)
    facts = {"kind": row.kind, "window_id": row.id, "error": str(error), "action": action.value}
    log.warning("request failed", extra={**facts, "attempts": row.attempts, "after_s": round(decision.after_s, 1)})
    try:
        if action is retry.Action.DISABLE:
            parts.store.disable(row.kind, str(error), now)
            return Outcome("disabled")
        if action is retry.Action.STOP:
            hold(parts, None, retry.THROTTLED_S)
            parts.store.park_all(str(error), now=now, not_before=not_before)
            return Outcome("credentials refused")
        if action is retry.Action.WAIT:
            hold(parts, row.kind, decision.after_s)
        parked = action is retry.Action.PARK
        walk = walk_after(row.walk, error, ask, action)
        if parked and isinstance(error, errors.Uncertain):
            # Its passes are used up: where it stands, every later try would end at once.
            walk = Walk(lower=row.walk.lower, limit=row.walk.limit)
        fresh = parts.store.fail(
            row,
            error=str(error),
            now=now,
            not_before=not_before,
            state=State.FAILED if parked else row.state,
            walk=walk,
            counted=action is not retry.Action.WAIT,
        )
    except errors.StaleEpoch:
        return Outcome("moved on")
    if parked:
        return Outcome("parked")
    return Outcome(action.value, (follow_up(parts, fresh, decision.after_s),))


def hold(parts: Parts, kind: str | None, seconds: float) -> None:
    """Let a kind, or everything, wait on all hosts, and slow all of them down."""
    parts.gate.refused()
    try:
        parts.shared.hold(kind, seconds)
        parts.shared.slow_down()
    except errors.StateUnavailable as error:
        log.warning("cannot tell the others to wait", extra={"error": str(error)})


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
