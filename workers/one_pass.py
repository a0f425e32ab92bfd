"""One pass over some kinds: asked for through the queue, watched in the ledger until it is proven done.

The ledger is the only witness: a pass ends when every kind was planned since it was asked for and nothing is owed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from humansync import plan
from humansync.errors import StateUnavailable
from humansync.kinds import KINDS, Read
from humansync.ledger import KindState, Purpose
from humansync.store import Store, Totals
from humansync.windows import Window, format_instant, gaps
from workers.arguments import Scope
from workers.report import KindReport, Phase, Report

#: a kind that is not planned this long after it was asked for is asked for again: the message may be lost
ASK_AGAIN_S = 15.0
#: the settle delay may be up to this, and a backfill ends where it begins
RECENT = timedelta(days=1)
#: the end of a pass is noticed at the latest this share of its time after it
POLL_SHARE = 0.01
#: near it the ledger is looked at this often, and before that after this share of the time that is left by the pace so far
SOON_S, LEFT_SHARE = 0.02, 0.25
#: and where nothing moves, after this share of the time for which nothing has
STILL_SHARE = 0.1
#: a pass in which nothing moves for this long has failed; an API may impose a wait of up to an hour
STALLED_S = 3900.0


class Ask(Protocol):
    """Puts the wish for a planner pass on the queue."""

    def __call__(self, kind: str, since: str | None = None, before: str | None = None) -> None:
        """Ask for one kind; raises StateUnavailable."""


@dataclass(slots=True)
class _Wish:
    """What was asked for one kind, and what the ledger said then."""

    since: datetime | None
    before: datetime | None
    asked_at: float
    planned_at: datetime | None


class Pass:
    """A pass under way."""

    def __init__(
        self, store: Store, kinds: Sequence[str], scope: Scope, ask: Ask, *, history: bool, counted: bool = True
    ) -> None:
        """Take stock.

        history: `scope.since` is where kinds should begin, so that one which begins later owes what lies before,
        rather than a backfill of its own. counted: whether the report tells how many records each table holds, which
        takes time in large ones.
        """
        self._store = store
        #: those of the pass, as asked
        self.kinds = tuple(kinds)
        self._scope = scope
        self._ask = ask
        self._counted = counted
        self._history = history and scope.before is None
        self._began = time.monotonic()
        self._began_at = datetime.now(UTC)
        self._before: Mapping[str, Totals] = store.totals(records=False)
        self._wishes: dict[str, _Wish] = {}
        self._completed: set[str] = set()
        self._asked = False

    def begin(self) -> None:
        """Ask for every kind."""
        states = self._store.kinds()
        if self._history and self._scope.since is not None:
            for kind in self.kinds:
                if KINDS[kind].read is Read.WINDOWED and self._store.kind(kind).start is None:
                    self._store.set_kind(kind, start=self._scope.since)
        bounds = (None, None) if self._history else (self._scope.since, self._scope.before)
        for kind in self.kinds:
            self._wish(kind, *bounds, states.get(kind))

    def _wish(self, kind: str, since: datetime | None, before: datetime | None, state: KindState | None) -> None:
        self._wishes[kind] = _Wish(since, before, time.monotonic(), state.planned_at if state else None)
        try:
            self._ask(kind, format_instant(since) if since else None, format_instant(before) if before else None)
        except StateUnavailable:
            if not self._asked:
                raise  # nothing was ever sent: the address is wrong or nobody is there
        self._asked = True

    def look(self) -> list[KindReport]:
        """Return where every kind stands now; asks again for what seems lost."""
        # Which windows are planned is read before which are owed: the other way round, those that a plan adds in
        # between would be missed and the kind taken for done.
        states = self._store.kinds()
        totals = self._store.totals(records=False)
        # A kind that the API does not offer owes nothing: whether it is one is read before what is owed and after it.
        latest = self._store.kinds()
        looked = {kind: states[kind].disabled or latest[kind].disabled for kind in self.kinds}
        return [self._report(kind, replace(states[kind], disabled=looked[kind]), totals[kind]) for kind in self.kinds]

    def _report(self, kind: str, state: KindState, now: Totals) -> KindReport:
        before = self._before[kind]
        owed = self._owed(now)
        report = KindReport(
            kind,
            Phase.SYNCING,
            records=now.changed - before.changed,
            windows=now.done - before.done,
            owed=owed,
            requests=now.requests - before.requests,
            rejected=now.rejected - before.rejected,
        )
        if state.disabled is not None:
            return replace(report, phase=Phase.DISABLED, error=f"the API does not offer it: {state.disabled}")
        if state.paused:
            return replace(report, phase=Phase.FAILED, error=f"it is paused: `humansync resume {kind}`")
        if not self._planned(kind, state, now):
            return replace(report, phase=Phase.PLANNING)
        if owed:
            return replace(report, error=self._trouble(state))
        if now.failed:
            return replace(report, phase=Phase.FAILED, error=state.last_error or "a window failed")
        return replace(report, phase=Phase.DONE)

    def _trouble(self, state: KindState) -> str | None:
        """Return the latest error, if it is of this pass."""
        recent = state.last_error_at is not None and state.last_error_at >= self._began_at
        return state.last_error if recent else None

    def _owed(self, now: Totals) -> int:
        """Return how many windows this pass waits for: with bounds only those of a backfill."""
        if self._history or self._scope.since is None:
            return now.owed + now.walking
        return now.active.get(Purpose.BACKFILL, 0)

    def _planned(self, kind: str, state: KindState, now: Totals) -> bool:
        """Say whether the planner has been through all that was asked; asks for what is missing."""
        wish = self._wishes[kind]
        if state.planned_at is None or state.planned_at == wish.planned_at or not self._begun(wish, state, now):
            if time.monotonic() - wish.asked_at > ASK_AGAIN_S:
                self._wish(kind, wish.since, wish.before, state)
            return False
        earlier = self._earlier(kind, state)
        if earlier is not None:
            self._wish(kind, earlier.since, earlier.before, state)
        return earlier is None

    def _begun(self, wish: _Wish, state: KindState, now: Totals) -> bool:
        """Say whether the ledger shows a backfill that was asked for: a tick may have planned the kind meanwhile.

        All of its windows were added at once, so that one instant tells; near now there may be nothing to add.
        """
        if wish.since is None or state.planned_at is None or KINDS[state.kind].read is Read.WHOLE:
            return True
        if now.active.get(Purpose.BACKFILL, 0) or now.failed or state.planned_at - wish.since < RECENT:
            return True
        done = self._store.coverage(state.kind, Purpose.BACKFILL)
        return any(window.since <= wish.since < window.before for window in done)

    def _earlier(self, kind: str, state: KindState) -> Window | None:
        """Return what lies between the beginning that was asked for and the kind's own, once, where not yet read."""
        since = self._scope.since
        if not self._history or since is None or kind in self._completed or KINDS[kind].read is Read.WHOLE:
            return None
        self._completed.add(kind)
        if state.start is None or state.start <= since:
            return None
        missing = gaps(Window(since, state.start), self._store.coverage(kind, Purpose.BACKFILL))
        return Window(missing[0].since, missing[-1].before) if missing else None

    def watch(self, each: Callable[[Sequence[KindReport]], None], *, poll_s: float) -> Report:
        """Look until every kind is at its end, calling `each` with what is seen; return the report."""
        seen, moved = None, time.monotonic()
        while True:
            looked = time.monotonic()
            kinds = self.look()
            if kinds != seen:
                seen, moved = kinds, looked
            elif looked - moved > STALLED_S:
                return self.report([_stalled(kind) for kind in kinds])
            each(kinds)
            if all(kind.phase.final for kind in kinds):
                return self.report(kinds)
            # A large database answers slowly: looking must not become its main work.
            time.sleep(
                max(4 * (time.monotonic() - looked), pause_s(kinds, looked - self._began, looked - moved, poll_s))
            )

    def report(self, kinds: Sequence[KindReport] | None = None) -> Report:
        """Return the report of the pass as it stands."""
        states, totals = self._store.kinds(), self._store.totals(records=self._counted)
        return Report(
            [
                replace(
                    kind,
                    stored=totals[kind.kind].records,
                    complete_to=plan.cursor(states[kind.kind], self._store.coverage(kind.kind)),
                )
                for kind in kinds or self.look()
            ],
            time.monotonic() - self._began,
            datetime.now(UTC),
        )


def pause_s(kinds: Sequence[KindReport], elapsed_s: float, still_s: float, poll_s: float) -> float:
    """Return when to look again, in seconds: a long pass need not be looked at so often, but its end is to be noticed.

    still_s: for how long nothing has moved. The last window may have to wait, whatever the pace was.
    """
    longest_s = max(poll_s, POLL_SHARE * elapsed_s)
    done = sum(kind.windows for kind in kinds)
    if not done or any(kind.phase is Phase.PLANNING for kind in kinds):
        return longest_s
    left_s = elapsed_s * sum(kind.owed for kind in kinds) / done
    return min(longest_s, max(SOON_S, LEFT_SHARE * left_s, STILL_SHARE * still_s))


def _stalled(kind: KindReport) -> KindReport:
    if kind.phase.final:
        return kind
    return replace(kind, phase=Phase.FAILED, error=kind.error or "nothing has moved for over an hour")
