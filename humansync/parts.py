"""What a step works with: the edges, as it sees them. Real in a worker, simulated in a simulation."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from humansync import api_clock, plan
from humansync.api import Page
from humansync.kinds import Kind
from humansync.ledger import KindState
from humansync.state.shared import Admission
from humansync.store import Store

#: A kind's density is looked up at most this often: it costs a query, and only steers the cutting.
DENSITY_S = 2.0
#: Where there is none yet it may be known any moment, but not three times a page.
UNKNOWN_S = 0.25
#: A kind is looked up at most this often where a window's message says the rest: that it is paused or disabled is
#: noticed so late.
STATE_S = 1.0
#: The API's clock is believed to run like ours while it stays this close to the offset known.
CLOCK_DRIFT_S = 2.0


class Clock(Protocol):
    """Where time and chance come from."""

    def now(self) -> datetime:
        """Return the local time, aware UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def random(self) -> float:
        """Return a uniform number in [0, 1)."""


class Api(Protocol):
    """The API, real or simulated."""

    def fetch(
        self, kind: Kind, *, since: datetime, before: datetime, limit: int, offset: int, as_text: bool = False
    ) -> Page:
        """Return one page; raises errors.ApiError. as_text: records as documented need not be decoded."""


class Shared(Protocol):
    """What all processes share through Redis, real or simulated; raises errors.StateUnavailable."""

    def admit(
        self, window_id: int, token: str, *, kind: str, lane: str, lease_s: float, max_wait_s: float
    ) -> Admission:
        """Take a window's lease and a slot in the rate budget, both or none."""
        ...

    def release(self, window_id: int, token: str, *, kind: str | None, cursor: datetime | None) -> None:
        """Give a lease back, and move the kind's cursor forward where one is given."""
        ...

    def lock(self, kind: str, token: str, lease_s: float) -> bool:
        """Take a kind's planner lock; False where anybody has it."""
        ...

    def unlock(self, kind: str, token: str) -> None:
        """Give it back, if it is still ours."""
        ...

    def hold(self, kind: str | None, seconds: float) -> None:
        """Let nobody send for a kind, or for any with None, for so long."""
        ...

    def slow_down(self) -> float:
        """Halve the rate of all hosts."""
        ...

    def cursor(self, kind: str) -> datetime | None:
        """Return the instant up to which a kind is complete; None where it is not known."""
        ...

    def move_cursor(self, kind: str, to: datetime) -> None:
        """Move a kind's cursor, only forward."""
        ...

    def set_cursor(self, kind: str, to: datetime) -> None:
        """Set a kind's cursor, backward too."""
        ...

    def unissued(self, window_ids: Sequence[int]) -> set[int]:
        """Return which of these windows have neither a message nor a worker."""
        ...


class Gate(Protocol):
    """Lets few or many pages be in this process's hands, as the API's answers suggest."""

    def page(self, *, live: bool) -> AbstractContextManager[bool]:
        """Wait for a place, live work before the rest, and keep it for the block; gives whether there was one in time."""
        ...

    def answered(self, took_s: float) -> None:
        """Note how long an answer took."""

    def storing(self) -> AbstractContextManager[None]:
        """Wait for a turn to store a page, and keep it for the block."""
        ...

    def stored(self, took_s: float, waited_s: float) -> None:
        """Note how long it took to store a page, in its turn; waited_s: for its turn."""

    def refused(self) -> None:
        """Note that the API has asked for less."""


class OpenGate:
    """The gate of a process that has one page in hand at a time."""

    def page(self, *, live: bool) -> AbstractContextManager[bool]:
        """Let everybody through."""
        del live
        return nullcontext(True)

    def answered(self, took_s: float) -> None:
        """Learn nothing."""

    def storing(self) -> AbstractContextManager[None]:
        """Let everybody through."""
        return nullcontext()

    def stored(self, took_s: float, waited_s: float) -> None:
        """Learn nothing."""

    def refused(self) -> None:
        """Learn nothing."""


@dataclass(slots=True)
class Parts:
    """What a step works with. One per process; safe to use from several threads."""

    api: Api
    store: Store
    shared: Shared
    clock: Clock
    policy: plan.Policy
    #: names this process in locks and leases
    owner: str
    #: takes the place of `shared.admit` while Redis is away
    fallback: Callable[[], float] = lambda: 0.0
    #: before it the threads of this process wait for their turn
    gate: Gate = field(default_factory=OpenGate)
    #: windows whose lease this process holds and renews
    held: set[int] = field(default_factory=set)
    _clock_offset_s: float | None = None
    _states: dict[str, tuple[datetime, KindState]] = field(default_factory=dict)
    _densities: dict[str, tuple[datetime, float | None]] = field(default_factory=dict)

    def density(self, kind: str, *, anew: bool = False) -> float | None:
        """Return the kind's rows per second by experience, a few seconds old at most; None before the first.

        anew: look once more where there was none a moment ago.
        """
        now = self.clock.now()
        known = self._densities.get(kind)
        if known is None or (anew and known[1] is None) or self._old(known, now):
            known = self._densities[kind] = (now, self.store.density(kind))
        return known[1]

    def forget_density(self, kind: str) -> None:
        """Look a kind's density up anew: it may be known by now."""
        self._densities.pop(kind, None)

    @staticmethod
    def _old(known: tuple[datetime, float | None], now: datetime) -> bool:
        return abs((now - known[0]).total_seconds()) > (UNKNOWN_S if known[1] is None else DENSITY_S)

    def state(self, kind: str) -> KindState:
        """Return what lasts about a kind, a second old at most."""
        now = self.clock.now()
        known = self._states.get(kind)
        if known is None or abs((now - known[0]).total_seconds()) > STATE_S:
            known = self._states[kind] = (now, self.store.kind(kind))
        return known[1]

    def forget_state(self, kind: str) -> None:
        """Look a kind up anew: something was learned about it."""
        self._states.pop(kind, None)

    def api_now(self) -> datetime:
        """Return the API's present, from the offset its responses showed."""
        if self._clock_offset_s is None:
            self._clock_offset_s = api_clock.known_offset_s(self.store)
        return self.clock.now() + timedelta(seconds=self._clock_offset_s or 0.0)

    @property
    def clock_known(self) -> bool:
        """Whether the API's clock was ever seen."""
        return self._clock_offset_s is not None

    def learn_clock(self, api_time: datetime | None) -> None:
        """Note the API's clock from a response's Date, where it differs from what is known."""
        if api_time is None:
            return
        offset_s = (api_time - self.clock.now()).total_seconds()
        if self._clock_offset_s is None or abs(offset_s - self._clock_offset_s) > CLOCK_DRIFT_S:
            self._clock_offset_s = offset_s
            api_clock.note_offset(self.store, offset_s)
