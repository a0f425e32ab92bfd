"""Bring a window on by one page: gather, let the pure modules decide, commit, say what follows.

No Celery, no environment, no globals. Each call is one step of the work of one window. Any step may be lost, doubled,
reordered or woken late: the ledger row's epoch is checked in the transaction that would change something.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from time import monotonic

from humansync import answers, errors, pages, plan, records, retry
from humansync.api import Page
from humansync.kinds import KINDS, Kind, Read
from humansync.ledger import KindState, Purpose, State, Walk, WindowRow
from humansync.parts import Parts
from humansync.state.shared import Admission
from humansync.sync import IDLE_S, SWEEP_ROWS, FollowUp, Outcome, follow_up, plan_kind
from humansync.windows import Window

log = logging.getLogger(__name__)

#: A lease on a window lapses this long after its holder was last heard of.
LEASE_S = 30
#: A wait for the rate budget up to this long is slept through; a longer one goes back to the queue.
SLOT_WAIT_S = 3.0
#: A step for which there was no turn is tried again so much later.
TURN_S = 5.0
#: More refused records than this in one page are no matter of records.
REFUSED_MOST = 50


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
    # Only an untouched window is cut without a look, and a look costs more than to ask the database once more.
    step = pages.presplit(row, state, parts.density(row.kind, anew=True)) if row.walk == Walk() else None
    if step is not None:
        return _apply(parts, row, records.NOTHING, lambda _: step)
    return _with_lease(parts, row, state, told=told is not None)


def _with_lease(parts: Parts, row: WindowRow, state: KindState, *, told: bool) -> Outcome:
    """Take the window's lease and a place in the rate budget, then fetch."""
    live = plan.is_live(row.window, row.purpose, parts.api_now())
    with parts.gate.page(live=live) as came:
        if not came:
            return Outcome("waits for its turn", (follow_up(parts, row, TURN_S),))
        return _in_turn(parts, row, state, live=live, told=told)


def _in_turn(parts: Parts, row: WindowRow, state: KindState, *, live: bool, told: bool) -> Outcome:
    """Fetch a page in this thread's turn."""
    if row.id in parts.held:
        return Outcome("held by another")
    # Another token each step: a doubled message in this very process is held off as well.
    token = f"{parts.owner}:{parts.clock.random():.12f}"
    lane = "live" if live else "backfill"
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
        outcome, cursor = _fetch(parts, row, state)
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


def _fetch(parts: Parts, row: WindowRow, state: KindState) -> tuple[Outcome, datetime | None]:
    """Fetch one page, decide, commit. Returns the outcome and how far the cursor may move."""
    ask = pages.request(row, state)
    density = parts.density(row.kind)
    try:
        page = _asked(parts, row, state, ask)
        began = monotonic()
        row = replace(row, walk=replace(row.walk, hollow=0)) if row.walk.hollow else row
        batch = page.batch or records.parse(KINDS[row.kind], page.records)
        api_time = page.api_time or parts.api_now()
        facts = pages.Facts(
            batch.received, batch.by_place, batch.updated, api_time, page.total, page.has_next, hollow=page.hollow
        )

        def settle(news: int) -> pages.Step:
            seen = replace(facts, fresh=news, density=density)
            return pages.settle(row, state, seen, settle_s=parts.policy.settle_s)

        with parts.gate.storing():
            let = monotonic()
            outcome = _stored(parts, row, page, batch, settle)
            if 2 * outcome.received >= ask.limit:
                parts.gate.stored(monotonic() - let, let - began)
    except errors.ApiError as error:
        return _failed(parts, row, state, ask, error), None
    except errors.StoreRefused as error:
        # What the database turns down once it turns down again: the window is parked, others go on.
        return _failed(parts, row, state, ask, errors.Uncertain(str(error))), None
    return outcome, _cursor(parts, row, state) if outcome.finished else None


def _asked(parts: Parts, row: WindowRow, state: KindState, ask: pages.Ask) -> Page:
    """Ask for a page, and let the gate learn how long it took."""
    try:
        page = fetch_page(parts, row, state, ask, as_text=parts.store.unpacks)
    except errors.Unavailable as error:
        if error.timed_out:
            parts.gate.refused()
        raise
    if page.elapsed_s:
        parts.gate.answered(page.elapsed_s)
    return page


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
    # What was a batch is a list with records in it.
    return _stored(parts, row, page, records.parse(kind, answers.records(page.body, {}) or []), settle)


def fetch_page(parts: Parts, row: WindowRow, state: KindState, ask: pages.Ask, *, as_text: bool = False) -> Page:
    """Ask for a window's next page. Beyond the end some servers say 400 or 404: that is an empty page.

    as_text: as in `Api.fetch`.
    """
    kind = KINDS[row.kind]
    try:
        page = parts.api.fetch(
            kind, since=ask.since, before=ask.before, limit=ask.limit, offset=ask.offset, as_text=as_text
        )
    except (errors.NotOffered, errors.BadRequest) as error:
        if not ask.offset:
            raise
        log.info("refused beyond the end", extra={"kind": kind.name, "status": error.status, "offset": ask.offset})
        return Page([], None, None, None, 0, 0.0, hollow=True)
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
    if step.dropped and row.purpose is Purpose.LIVE and row.window.since >= plan.horizon(parts.policy, parts.api_now()):
        # It was planned by another clock than this answer's, which is known now: something else is owed, at once. Where
        # the planner would say the same again, it is a matter of seconds, and left to the next pass.
        follow_ups += tuple(plan_kind(parts, row.kind).follow_ups)
    finished = step.state is State.DONE or step.done is not None
    if unknown and (finished or step.dropped):
        parts.forget_density(row.kind)
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
