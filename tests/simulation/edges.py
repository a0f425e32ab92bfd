"""The edges as one simulated process sees them: real classes where there are any, with faults and pauses added.

Every method here is a place where a process can die, be stopped for an hour, or lose an answer.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import sqlalchemy as sa

from humansync.api import Api, Page
from humansync.errors import BadRequest, StateUnavailable, StoreUnavailable, TooLarge, Unavailable
from humansync.kinds import KINDS, Kind
from humansync.ledger import KindState, State, Walk, WindowRow
from humansync.pages import Step
from humansync.records import Batch
from humansync.simulator.faults import Answer, Fault
from humansync.state.shared import Admission
from humansync.store import Store

if TYPE_CHECKING:
    from tests.simulation.simulation import Process, Simulation

T = TypeVar("T")
_KIND_BY_PATH = {kind.path: kind.name for kind in KINDS.values()}
#: The real client's patience (humansync/api.py).
_READ_TIMEOUT_S, _TOTAL_TIMEOUT_S = 60.0, 120.0


class SimClock:
    """A process's own clock, off by its skew."""

    def __init__(self, sim: "Simulation", process: "Process") -> None:
        self._sim, self._process = sim, process

    def now(self) -> datetime:
        return self._sim.now() + timedelta(seconds=self._process.skew_s)

    def sleep(self, seconds: float) -> None:
        self._sim.wait(seconds)

    def random(self) -> float:
        return self._sim.chance.random()


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    headers: dict[str, str]
    answer: Answer


class SimApi(Api):
    """The real client on a simulated transport: its queries go out and its reading of answers comes back as they are."""

    def __init__(self, sim: "Simulation") -> None:
        super().__init__(base_url="http://simulated/v1", client_id="simulator", app_key="simulator")
        self._sim = sim

    def fetch(
        self, kind: Kind, *, since: datetime, before: datetime, limit: int, offset: int, as_text: bool = False
    ) -> Page:
        self._sim.point("before fetch")
        page = super().fetch(kind, since=since, before=before, limit=limit, offset=offset, as_text=as_text)
        self._sim.point("after fetch")
        return page

    def _send(self, url: str, deadline: float, redirects_left: int = 0) -> Any:
        del deadline, redirects_left
        sim, parts = self._sim, urlsplit(url)
        kind = _KIND_BY_PATH[parts.path.split("/users/", 1)[1]]
        sim.wait(sim.latency_s())
        answer = sim.answer(kind, dict(parse_qsl(parts.query)))
        sim.wait(sim.latency_s())
        if answer.cut_at == -1:
            raise Unavailable("no answer from the API: ConnectionResetError")
        if answer.status == 302:
            raise BadRequest("the API redirects to another host", status=302)
        return _Response(answer.status, dict(answer.headers), answer)

    def _body(self, response: Any, deadline: float, cap: int) -> bytes:
        del deadline, cap
        answer: Answer = response.answer
        if answer.fault in {Fault.HUGE, Fault.BOMB}:
            raise TooLarge("the API's answer is too large", status=200)
        if answer.stall_s >= _READ_TIMEOUT_S:
            self._sim.wait(_READ_TIMEOUT_S)
            raise Unavailable("the API's answer broke off: timed out", status=200)
        if answer.spread_s >= _TOTAL_TIMEOUT_S:
            self._sim.wait(_TOTAL_TIMEOUT_S)
            raise TooLarge("the API's answer took too long", status=200)
        if answer.spread_s:
            self._sim.wait(answer.spread_s)
        if answer.cut_at is not None:
            raise Unavailable("the API's answer broke off: IncompleteRead", status=200)
        return answer.body

    def _discard(self, response: Any, deadline: float) -> None:
        """Leave the body of an error unread."""


class SimShared:
    """One process's connection to the simulated Redis."""

    def __init__(self, sim: "Simulation", process: "Process") -> None:
        self._sim, self._process = sim, process

    def _ask(self, name: str, command: Callable[[], T]) -> T:
        """Carry a command out, or not, or carry it out and lose the answer."""
        self._sim.alive(self._process)
        if self._sim.redis_down() or self._sim.strikes("redis_fault", "redis: commands not sent", name):
            self._sim.tally[f"redis: {name}"] += 1
            raise StateUnavailable("Redis cannot be reached")
        result = command()
        if self._sim.strikes("redis_fault", "redis: answers lost", name):
            self._sim.tally[f"redis: {name}"] += 1
            raise StateUnavailable("Redis cannot be reached: timed out")
        return result

    def admit(
        self, window_id: int, token: str, *, kind: str, lane: str, lease_s: float, max_wait_s: float
    ) -> Admission:
        self._sim.point("before admit")
        admission = self._ask(
            "admit",
            lambda: self._sim.redis.admit(
                window_id, token, kind=kind, lane=lane, lease_s=lease_s, max_wait_s=max_wait_s
            ),
        )
        self._sim.tally["admission: " + ("busy" if admission.busy else "granted" if admission.granted else "wait")] += 1
        self._sim.renew_soon(self._process)
        self._sim.point("after admit")
        return admission

    def release(self, window_id: int, token: str, *, kind: str | None = None, cursor: datetime | None = None) -> None:
        self._sim.point("before release")
        self._ask("release", lambda: self._sim.redis.release(window_id, token, kind=kind, cursor=cursor))
        self._sim.point("after release")

    def renew(self, window_ids: Sequence[int], token: str, lease_s: float) -> None:
        self._ask("renew", lambda: self._sim.redis.renew(window_ids, token, lease_s))

    def mark_issued(self, window_ids: Sequence[int], ttl_s: int, *, queue: str, delay_s: float) -> None:
        self._ask("mark", lambda: self._sim.redis.mark_issued(window_ids, ttl_s, queue=queue, delay_s=delay_s))

    def unissued(self, window_ids: Sequence[int]) -> set[int]:
        return self._ask("unissued", lambda: self._sim.redis.unissued(window_ids))

    def lock(self, kind: str, token: str, lease_s: float) -> bool:
        return self._ask("lock", lambda: self._sim.redis.lock(kind, token, lease_s))

    def unlock(self, kind: str, token: str) -> None:
        self._sim.point("before unlock")
        self._ask("unlock", lambda: self._sim.redis.unlock(kind, token))

    def hold(self, kind: str | None, seconds: float) -> None:
        self._ask("hold", lambda: self._sim.redis.hold(kind, seconds))

    def slow_down(self) -> float:
        return self._ask("slow_down", self._sim.redis.slow_down)

    def cursor(self, kind: str) -> datetime | None:
        return self._ask("cursor", lambda: self._sim.redis.cursor(kind))

    def cursors(self) -> dict[str, datetime]:
        return self._ask("cursors", self._sim.redis.cursors)

    def move_cursor(self, kind: str, to: datetime) -> None:
        self._ask("move_cursor", lambda: self._sim.redis.move_cursor(kind, to))

    def set_cursor(self, kind: str, to: datetime) -> None:
        self._ask("set_cursor", lambda: self._sim.redis.set_cursor(kind, to))


class SimStore(Store):
    """The real store, watched, on a database that fails now and then: before a commit, or after it was carried out."""

    def __init__(self, sim: "Simulation", process: "Process", engine: sa.Engine) -> None:
        super().__init__(engine)
        self._sim, self._process = sim, process
        self._committed: Callable[[], None] | None = None

    @contextlib.contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        sim, watch = self._sim, self._sim.watch
        self._begin()
        committed, self._committed = self._committed, None
        try:
            with super()._write() as connection:
                yield connection
                if sim.strikes("store_fault", "database: failed before its commit"):
                    raise StoreUnavailable("the database went away")  # noqa: TRY301 - the transaction must see it
        except BaseException:
            watch.rolled_back()
            raise
        watch.committed()
        if committed is not None:
            committed()
        if sim.strikes("store_fault", "database: answer to a commit lost"):
            raise StoreUnavailable("the connection broke in the commit")

    @contextlib.contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        self._begin()
        with super()._read() as connection:
            yield connection

    def _begin(self) -> None:
        sim = self._sim
        sim.alive(self._process)
        if sim.database_down() or sim.strikes("store_fault", "database: could not begin"):
            raise StoreUnavailable("the database cannot be reached")

    def kinds(self) -> dict[str, KindState]:
        """Only the kinds of this run: the others would only take time."""
        known = super().kinds()
        return {name: known[name] for name in self._sim.scenario.kinds}

    def plan(self, *args: Any, **options: Any) -> list[WindowRow]:
        self._sim.point("before plan")
        rows = super().plan(*args, **options)
        self._sim.point("after plan")
        return rows

    def commit(
        self, row: WindowRow, kind: Kind, batch: Batch, settle: Callable[[int], Step], now: datetime
    ) -> tuple[Step, list[WindowRow]]:
        sim = self._sim
        sim.point("before commit")
        steps: list[Step] = []

        def settled(changed: int) -> Step:
            steps.append(settle(changed))
            return steps[-1]

        request = sim.last_request()
        self._committed = lambda: sim.watch.page(row, steps[-1], batch, request)
        try:
            result = super().commit(row, kind, batch, settled, now)
        finally:
            self._committed = None
        sim.point("after commit")
        return result

    def fail(
        self,
        row: WindowRow,
        *,
        error: str,
        now: datetime,
        not_before: datetime | None,
        state: State,
        requests: int = 1,
        walk: Walk | None = None,
        counted: bool = True,
    ) -> WindowRow:
        sim = self._sim
        sim.point("before commit")
        self._committed = lambda: sim.watch.moved(row)
        try:
            failed = super().fail(
                row,
                error=error,
                now=now,
                not_before=not_before,
                state=state,
                requests=requests,
                walk=walk,
                counted=counted,
            )
        finally:
            self._committed = None
        sim.tally[f"failed page: {'parked' if state is State.FAILED else 'again'}"] += 1
        sim.point("after commit")
        return failed
