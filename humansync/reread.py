"""Read windows again, in memory: the page reader's own decisions, no row in the ledger, the budget's last lane.

What is read is complete in the sense of the ledger's "done": the same requests, the same checks.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from humansync import errors, pages, reading, retry
from humansync.kinds import Kind
from humansync.ledger import KindState, Purpose, State, Walk, WindowRow
from humansync.pages import Facts
from humansync.parts import Parts
from humansync.records import Batch, parse
from humansync.state.shared import Admission
from humansync.windows import Window

log = logging.getLogger(__name__)


class Stopped(errors.HumansyncError):
    """The user, or another part of the same work, has ended it."""


class Taker(Protocol):
    """Takes in the pages of one part of a window."""

    def fresh(self, batch: Batch) -> int:
        """Return how many of a page's records have not been taken in before."""

    def take(self, batch: Batch) -> None:
        """Take a page in."""


T = TypeVar("T", bound=Taker)


@dataclass(frozen=True, slots=True)
class Part(Generic[T]):
    """A part of a window, read completely."""

    window: Window
    taken: T
    #: the API's clock when the read began
    began_at: datetime
    requests: int


class Slot(Protocol):
    """Gives a place in the rate budget; raises StateUnavailable."""

    def __call__(self, kind: str, lane: str, max_wait_s: float) -> Admission:
        """Take the next place that is free within so many seconds; `state.shared.Shared.slot` is one."""
        ...


@dataclass(slots=True)
class Reader:
    """Reads windows of one kind again. For one thread."""

    parts: Parts
    kind: Kind
    #: None where there is no Redis to share a budget through
    slot: Slot | None
    #: asked before each request
    stopped: Callable[[], bool] = lambda: False
    #: requests sent so far
    requests: int = 0
    _state: KindState | None = None

    def read(self, window: Window, taker: Callable[[Window], T]) -> Iterator[Part[T]]:
        """Yield the parts of a window, oldest first as far as cutting allows, each read completely.

        taker: makes what takes in the pages of a part; it is given the part. Raises errors.ApiError where the
        API cannot be read, Stopped when told to.
        """
        todo: list[tuple[WindowRow, T | None, int]] = [(self._row(window, Walk()), None, 0)]
        while todo:
            row, taken, spent = todo.pop()
            step = pages.presplit(row, self.state, self.parts.density(self.kind.name))
            if step is None:
                if taken is None:
                    taken = taker(Window(pages.lower_bound(row), row.window.before))
                before = self.requests
                batch, step = self._page(row, taken)
                spent += self.requests - before
                going_on = step.state is State.WALKING and step.walk.lower == row.walk.lower
                finished = step.done or (row.window if step.state is State.DONE else None)
                if going_on or finished:
                    taken.take(batch)
                if finished:
                    yield Part(finished, taken, step.read_at or self.parts.api_now(), spent)
                elif going_on:
                    todo.append((replace(row, state=step.state, walk=step.walk), taken, spent))
                elif not step.children:
                    todo.append((replace(row, state=step.state, walk=step.walk), None, spent))
            todo += [(self._row(child, step.walk), None, 0) for child in sorted(step.children, reverse=True)]

    @property
    def state(self) -> KindState:
        """What is known of the server's pages. Nothing else of the kind's state matters, or may."""
        if self._state is None:
            known = self.parts.store.kind(self.kind.name)
            self._state = KindState(
                self.kind.name,
                page_cap=known.page_cap,
                largest_page=known.largest_page,
                gives_lists=known.gives_lists,
            )
        return self._state

    def _row(self, window: Window, walk: Walk) -> WindowRow:
        return WindowRow(0, self.kind.name, window, Purpose.BACKFILL, State.OWED, 0, walk)

    def _page(self, row: WindowRow, taken: Taker) -> tuple[Batch, pages.Step]:
        """Ask for the next page of a row until there is one that says what follows."""
        attempts = 0
        while True:
            ask = pages.request(row, self.state)
            try:
                return self._settled(row, ask, taken)
            except errors.ApiError as error:
                chance = self.parts.clock.random()
                decision = retry.decide(error, attempts=attempts, limit=ask.limit, proven=True, random=chance)
                facts = {"kind": self.kind.name, "error": str(error), "action": decision.action.value}
                log.info("request failed", extra={**facts, "attempts": attempts})
                row = replace(row, walk=reading.walk_after(row.walk, error, ask, decision.action))
                if decision.action is retry.Action.WAIT:
                    reading.hold(self.parts, self.kind.name, decision.after_s)
                    self._wait(decision.after_s)
                elif decision.action is retry.Action.RETRY:
                    attempts += 1
                    self._wait(decision.after_s)
                elif decision.action is not retry.Action.SHRINK:
                    raise

    def _settled(self, row: WindowRow, ask: pages.Ask, taken: Taker) -> tuple[Batch, pages.Step]:
        self._admit()
        self.requests += 1
        page = reading.fetch_page(self.parts, row, self.state, ask)
        row = replace(row, walk=replace(row.walk, hollow=0)) if row.walk.hollow else row
        batch = parse(self.kind, page.records)
        facts = Facts(
            batch.received,
            batch.by_place,
            batch.updated,
            page.api_time or self.parts.api_now(),
            page.total,
            page.has_next,
            fresh=taken.fresh(batch),
            density=self.parts.density(row.kind),
            hollow=page.hollow,
        )
        # Nothing is trimmed: whoever asks for a window that is not over knows what it is worth.
        step = pages.settle(row, self.state, facts, settle_s=None)
        state = self.state
        self._state = replace(
            state,
            page_cap=step.cap or state.page_cap,
            largest_page=step.largest or state.largest_page,
            gives_lists=step.gives_lists or state.gives_lists,
        )
        return batch, step

    def _admit(self) -> None:
        """Wait for a place in the budget, behind everything that syncs."""
        while True:
            if self.stopped():
                raise Stopped("stopped")
            try:
                admission = self.slot(self.kind.name, "backfill", reading.SLOT_WAIT_S) if self.slot else None
            except errors.StateUnavailable:
                admission = None
            if admission is None:
                self._wait(self.parts.fallback())
                return
            self._wait(admission.wait_s)
            if admission.granted:
                return

    def _wait(self, seconds: float) -> None:
        """Wait, in pieces that let a stop be heard."""
        while seconds > 0 and not self.stopped():
            piece = min(seconds, 0.5)
            self.parts.clock.sleep(piece)
            seconds -= piece
