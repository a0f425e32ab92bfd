"""One run: the real planner, reader, store and ledger in virtual time, with everything around them made up and hostile.

A step of work is what a Celery task does, in a fiber: it can be stopped or killed at every edge it touches. Messages
get lost, doubled, delayed; processes die, sleep past their leases and wake; Redis forgets; the database fails before a
commit or after it. `Watch` looks at every commit. When it is over, the database must equal the truth.
"""

import contextlib
import heapq
import logging
import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache, partial
from random import Random
from typing import Any
from unittest import mock

import sqlalchemy as sa

from config.celery import VISIBILITY_S
from config.queues import Queue
from config.schedule import SWEEP_EVERY_S, TICK_KEPT_AT_LEAST_S
from humansync import pages, plan, reading, retry, sync
from humansync.errors import StateUnavailable, StoreUnavailable
from humansync.kinds import KINDS, Read
from humansync.ledger import Purpose, WindowRow
from humansync.parts import Parts
from humansync.simulator.faults import Answer, Fault
from humansync.simulator.world import World
from humansync.state.local import LocalBudget
from humansync.store import make_engine, migrate
from humansync.store.store import Store
from tasks.publish import LONGEST_COUNTDOWN_S, WAITS_S
from tasks.runtime import RENEW_EVERY_S
from tests.simulation.edges import SimApi, SimClock, SimShared, SimStore
from tests.simulation.exercised import readings
from tests.simulation.fibers import Fiber, Killed
from tests.simulation.redis_model import RedisModel
from tests.simulation.scenario import FAULT_FOCUS, FOCUS, RARE, Scenario, scenario
from tests.simulation.watch import Broken, Request, Watch

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
#: As often tasks/*.py retry while the database is away.
RETRIES = 10
#: In quiet times beat is slower than it is, which changes nothing but how long a run takes to compute.
_QUIET_TICK_S, _QUIET_SWEEP_S = 300, 120
#: After all faults have stopped, a run comes to rest within this: parked windows are tried again after a quarter of an
#: hour, lost messages after ten minutes.
REST_WITHIN_S = 3 * 3600
#: An event more than this many means that something goes round in circles.
EVENTS_MAX = 200_000
_PAUSES_S = (5, 35, 35, 100, 400, 700, 3600)
_OUTAGES_S = (2, 20, 120)


@dataclass(slots=True, eq=False)
class Message:
    """A task on its way."""

    task: str
    kind: str
    args: tuple[int, int, WindowRow | None] | None = None
    live: bool = True
    tick: bool = False
    expires_ms: float = math.inf
    retries: int = 0
    bounds: tuple[datetime, datetime | None] | None = None


@dataclass(slots=True, eq=False)
class Process:
    """One worker process: what `tasks.runtime` holds, and what it does."""

    name: str
    skew_s: float
    parts: Parts = field(init=False)
    alive: bool = True
    stopped_until_ms: int = 0
    steps: "list[_Step]" = field(default_factory=list)
    renewing: bool = False


@dataclass(slots=True, eq=False)
class _Step:
    """A task under way in a process."""

    process: Process
    message: Message
    fiber: Fiber = field(init=False)
    request: Request | None = None
    acknowledged: bool = False
    generation: int = 0


@dataclass(slots=True)
class Report:
    """What came of a run."""

    seed: int
    broken: str | None
    tally: Counter[str]


class Simulation:
    """Everything of one run. `run` is the whole story."""

    def __init__(self, settings: Scenario, engine: sa.Engine, *, trace: Callable[[str], None] | None = None) -> None:
        self.scenario = settings
        self.chance = Random(f"{settings.seed}/run")
        self.tally: Counter[str] = Counter()
        self._trace = trace
        self._t_ms = 0
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        self.quiet = False
        self._step: _Step | None = None
        self._ready: list[Message] = []
        self._flying = 0
        self._generation = 0
        self._redis_down_ms = self._database_down_ms = 0
        self._dropped = 0
        self._reset: set[str] = set()
        self._slips: Counter[tuple[str | None, ...]] = Counter()
        self.redis = RedisModel(lambda: self._t_ms / 1000, settings.rate_per_s, self._waiting)
        self._engine = engine
        self.world = self._made_world()
        self._readings = readings(settings)
        self._api = SimApi(self)
        self.watch = Watch(self.world, settings.kinds, settings.settle_s, lambda: self._t_ms, self.tally)
        connection = engine.raw_connection()
        self.watch.attach(_driver(connection))
        connection.close()
        self._fill()
        self._processes = [self._process(number) for number in range(settings.processes)]
        self._looker = Store(engine)

    # --- time ------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the true time."""
        return BEGIN + timedelta(milliseconds=self._t_ms)

    def at(self, after_s: float, event: Callable[[], None]) -> None:
        """Let something happen later."""
        self._number += 1
        heapq.heappush(self._events, (self._t_ms + math.ceil(after_s * 1000), self._number, event))

    def _happen(self) -> None:
        at_ms, _, event = heapq.heappop(self._events)
        self._t_ms = max(self._t_ms, at_ms)
        self.tally["events"] += 1
        if self.tally["events"] > EVENTS_MAX:
            raise Broken("bounded: the run does not come to an end")
        event()

    def _until(self, at_ms: int) -> None:
        while self._events and self._events[0][0] <= at_ms:
            self._happen()
        self._t_ms = max(self._t_ms, at_ms)

    def say(self, text: str) -> None:
        """Note something for whoever replays the run."""
        if self._trace:
            step = self._step
            who = f"{step.process.name} {step.message.task} {step.message.args or step.message.kind}" if step else "-"
            self._trace(f"{self._t_ms / 1000:10.3f} {who}: {text}")

    # --- what steps meet -------------------------------------------------------------------------------

    def alive(self, process: Process) -> None:
        """Raise Killed in what is left of a dead process."""
        if not process.alive:
            raise Killed

    def wait(self, seconds: float) -> None:
        """Let a step sleep; others go on."""
        step = self._step
        assert step is not None, "only a step waits"
        self.alive(step.process)
        self.at(seconds, lambda: self._resume(step))
        step.fiber.park()

    def strikes(self, rate: str, what: str, command: str = "") -> bool:
        """Whether a fault of this rate strikes now, or of a much higher one for the command that the run has its focus on."""
        focus = command in self.scenario.redis_at
        chance: float = RARE.get(command, FOCUS) if focus else getattr(self.scenario, rate)
        if self.quiet or not chance or self.chance.random() >= chance:
            return False
        self.tally[what] += 1
        self.say(what)
        return True

    def point(self, name: str) -> None:
        """A place where the running process may die, or be stopped while the world goes on."""
        step = self._step
        if step is None:
            return
        self.alive(step.process)
        if self.quiet:
            return
        fate = self.chance.random()
        kill = FOCUS if name in self.scenario.kill_at else self.scenario.kill
        pause = FOCUS if name in self.scenario.pause_at else self.scenario.pause
        if fate < kill:
            self.tally[f"kill {name}"] += 1
            self.say(f"killed {name}")
            self._kill(step.process)
            raise Killed
        if fate < kill + pause:
            pause_s = self.chance.choice(_PAUSES_S)
            self.tally[f"pause {name}"] += 1
            self.tally["pauses past the lease"] += pause_s > reading.LEASE_S
            self.say(f"stopped for {pause_s} s {name}")
            step.process.stopped_until_ms = self._t_ms + pause_s * 1000
            self.wait(pause_s)
        elif fate > 0.9:
            self.wait(self.chance.random())

    def latency_s(self) -> float:
        """Return how long a request or an answer travels."""
        return 0.02 if self.quiet else self.chance.choice((0.01, 0.05, 0.1, 0.1, 1.5))

    def redis_down(self) -> bool:
        return self._t_ms < self._redis_down_ms

    def database_down(self) -> bool:
        return self._t_ms < self._database_down_ms

    def last_request(self) -> Request | None:
        """Return what the running step asked last."""
        return self._step.request if self._step else None

    def renew_soon(self, process: Process) -> None:
        """Keep the leases of a process alive, as its thread does."""
        if not process.renewing:
            process.renewing = True
            self.at(RENEW_EVERY_S, lambda: self._renew(process))

    def _renew(self, process: Process) -> None:
        process.renewing = False
        if not process.alive or not process.parts.held:
            return
        if self._t_ms >= process.stopped_until_ms:
            with contextlib.suppress(StateUnavailable):
                process.parts.shared.renew(tuple(process.parts.held), process.parts.owner, reading.LEASE_S)  # type: ignore[attr-defined]
        self.renew_soon(process)

    # --- the API ---------------------------------------------------------------------------------------

    def _made_world(self) -> World:
        world = World(self.now, seed=self.scenario.seed, kinds=self.scenario.kinds)
        later = {"fault_rate", "change_every", "drop"}
        world.set(**{name: value for name, value in self.scenario.switches.items() if name not in later})
        stir = world._stock.stir

        def counted(kind: str, first: int, last: int, window: tuple[int, int]) -> None:
            self.tally["pages after which records changed"] += 1
            stir(kind, first, last, window)

        world._stock.stir = counted  # type: ignore[method-assign]
        return world

    def _fill(self) -> None:
        for kind in self.scenario.kinds:
            reach_s = self.scenario.since_s * 1.2
            self.world.load([kind], self.scenario.history[kind], reach_s / 86400)
            for size in self.scenario.bursts[kind]:
                late_s, per = self.chance.random() * reach_s, self.chance.choice((1, 1, 3))
                for part in range(per):
                    self.world.add(kind, size // per, late_by_s=late_s + part * self.chance.random())
            self.tally["records of history"] += self.world.count(kind)
        self.watch.begin()

    def answer(self, kind: str, params: Mapping[str, str]) -> Answer:
        """Return the API's answer; records may change and arrive right after it."""
        step = self._step
        assert step is not None
        answer = self._answered(kind, params)
        self.tally["requests"] += 1
        for name, switched in self._readings:
            self.tally[f"{name}: {switched}"] += 1
        self.tally[f"fault {answer.fault}"] += answer.fault is not None
        self.tally[f"status {answer.status}"] += 1
        date = answer.header("Date")
        step.request = Request(self._t_ms, parsedate_to_datetime(date) if date else None)
        self.say(
            f"{params} -> {answer.status} {answer.header('X-Total-Count')} {len(answer.body)} bytes {answer.fault}"
        )
        if not self.quiet and self.chance.random() < self.scenario.late_rate:
            late_s = self.chance.random() * self.scenario.late_by_s
            self.tally["records that came late"] += 1
            self.world.add(kind, 1, late_by_s=late_s)
        return answer

    def _answered(self, kind: str, params: Mapping[str, str]) -> Answer:
        """Ask the world, with the faults that this run has its focus on.

        Who says three times in a row of the same bounds that there is no list means that there is nothing there, and is
        believed: of the same bounds, a slip is made twice at most.
        """
        if self.scenario.fault_at and not self.quiet and self.chance.random() < FAULT_FOCUS:
            self.world.fail_next(self.chance.choice(self.scenario.fault_at), kind=kind)
        answer = self.world.query(kind, params)
        bounds = (kind, params.get("updated_since"), params.get("updated_before"), params["offset"])
        while answer.fault in {Fault.EMPTY_OBJECT, Fault.NULL}:
            self._slips[bounds] += 1
            if self._slips[bounds] < retry.REFUSALS:
                break
            answer = self.world.query(kind, params)
        return answer

    def _stir(self) -> None:
        """Something happens to the records, by chance."""
        if self.quiet:
            return
        self.at(self.chance.expovariate(1 / self.scenario.stir_every_s), self._stir)
        kind, few = self.chance.choice(self.scenario.kinds), self.chance.choice((1, 1, 2, 5))
        what = self.chance.choice(("change", "change", "touch", "add", "add", "late", "burst", "drop"))
        self.tally[f"records: {what}"] += 1
        match what:
            case "change" | "touch":
                self.world.change(kind, few, content=what == "change")
            case "add":
                self.world.add(kind, few)
            case "late":
                self.world.add(kind, few, late_by_s=self.chance.random() * self.scenario.late_by_s)
            case "burst":
                if self.scenario.switches["order"] != "random" and self.chance.random() < 0.1:
                    self.world.add(kind, self.scenario.page + 3)
            case "drop":
                if self._dropped < 3:
                    self._dropped += len(self.world.delete(kind, 1))

    # --- the queue -------------------------------------------------------------------------------------

    def _waiting(self, queue: str) -> bool:
        """Whether a queue of Redis holds any message."""
        return any(message.live == (queue == Queue.LIVE) for message in self._ready)

    def send(self, message: Message, after_s: float = 0.0) -> None:
        """Put a message on its queue; it may get lost, come late, or come twice."""
        self.tally["messages"] += 1
        if self.strikes("loss", "messages lost"):
            return
        copies = 2 if self.strikes("double", "messages doubled") else 1
        for _ in range(copies):
            late_s = 0.0
            if self.strikes("delay", "messages delayed"):
                late_s = self.chance.random() * self.scenario.delay_s
            self._fly(message, after_s + late_s + self.chance.random() * 0.02)

    def _fly(self, message: Message, after_s: float) -> None:
        generation = self._generation
        self._flying += 1

        def arrive() -> None:
            self._flying -= 1
            if generation == self._generation:
                # Anywhere in the line: order is nothing to rely on.
                place = self.chance.randrange(len(self._ready) + 1) if not self.quiet else len(self._ready)
                self.tally["messages reordered"] += place < len(self._ready)
                self._ready.insert(place, message)
                self.tally["longest queue"] = max(self.tally["longest queue"], len(self._ready))
                self._dispatch()

        self.at(after_s, arrive)

    def _dispatch(self) -> None:
        """Let processes with a free slot take messages: live ones first."""
        while self._ready and not self.redis_down():
            free = [
                process
                for process in self._processes
                if process.alive
                and self._t_ms >= process.stopped_until_ms
                and len(process.steps) < self.scenario.concurrency
            ]
            if not free:
                return
            message = next((each for each in self._ready if each.live), self._ready[0])
            self._ready.remove(message)
            if message.expires_ms < self._t_ms:
                self.tally["messages expired"] += 1
                continue
            self._start(self.chance.choice(free), message)

    def _start(self, process: Process, message: Message) -> None:
        step = _Step(process, message, generation=self._generation)
        step.fiber = Fiber(lambda: self._work(step))
        process.steps.append(step)
        self.at(VISIBILITY_S, lambda: self._restore(step))
        self._resume(step)

    def _restore(self, step: _Step) -> None:
        """A message that nobody has acknowledged for so long comes again, though its task may still run."""
        if step.acknowledged or step.generation != self._generation:
            return
        self.tally["messages restored"] += 1
        self._fly(step.message, self.chance.random() * SWEEP_EVERY_S)

    def _resume(self, step: _Step, *, kill: bool = False) -> None:
        process = step.process
        if step.fiber.finished():
            return
        if process.alive and self._t_ms < process.stopped_until_ms:
            self.at((process.stopped_until_ms - self._t_ms) / 1000, lambda: self._resume(step))
            return
        outer, self._step = self._step, step
        try:
            step.fiber.resume(kill=kill or not process.alive)
        finally:
            self._step = outer
        if step.fiber.finished():
            process.steps.remove(step)
            self.at(0, self._dispatch)

    # --- processes -------------------------------------------------------------------------------------

    def _process(self, number: int) -> Process:
        skew_s = (self.chance.random() * 2 - 1) * self.scenario.skew_s
        self._number += 1
        process = Process(f"p{number}.{self._number}", skew_s)
        policy = plan.Policy(self.scenario.settle_s, self.scenario.overlap_s, f"{self.scenario.since_s}s")
        fallback = LocalBudget(self.scenario.rate_per_s, lambda: self._t_ms / 1000).wait_s
        process.parts = Parts(
            self._api,
            SimStore(self, process, self._engine),
            SimShared(self, process),
            SimClock(self, process),
            policy,
            process.name,
            fallback,
        )
        return process

    def _kill(self, process: Process) -> None:
        """End a process as SIGKILL does; another takes its place."""
        process.alive = False
        number = self._processes.index(process)

        def bury() -> None:
            for step in list(process.steps):
                self._resume(step, kill=True)

        def replaced() -> None:
            self._processes[number] = self._process(number)
            self._dispatch()

        self.at(0, bury)
        self.at(self.chance.choice((1, 5, 30)), replaced)

    # --- tasks: what tasks/*.py do ---------------------------------------------------------------------

    def _work(self, step: _Step) -> None:
        message, parts = step.message, step.process.parts
        try:
            follow_ups = self._task(message, parts)
        except (StoreUnavailable, StateUnavailable) as error:
            self._failed(message, error)
        else:
            self._publish(follow_ups, parts)
        self.point("before acknowledging")
        step.acknowledged = True

    def _task(self, message: Message, parts: Parts) -> Sequence[sync.FollowUp]:
        if message.task == "sweep":
            self.tally["sweeps"] += 1
            sync.rebuild_cursors(parts)
            outcome = sync.sweep(parts)
            self.tally["issued again"] += len(outcome.follow_ups)
        elif message.task == "kind":
            step_s = max(sync.STEP_S, self.scenario.every_s / 2) if message.tick else sync.STEP_S
            outcome = sync.plan_kind(parts, message.kind, message.bounds, step_s=step_s)
            self.tally["plans"] += 1
        else:
            assert message.args is not None
            outcome = reading.read(parts, *message.args)
        self.tally[f"outcome: {outcome.what}" if message.task == "page" else f"{message.task}: {outcome.what}"] += (
            message.task != "page" or outcome.what in _OUTCOMES
        )
        self.say(outcome.what)
        return outcome.follow_ups

    def _failed(self, message: Message, error: Exception) -> None:
        """Try again as Celery would; a sweep has a successor anyway."""
        self.say(f"failed: {error}")
        if message.task == "sweep":
            return
        if isinstance(error, StateUnavailable):
            raise Broken("a task failed because Redis was away") from error
        if message.retries >= RETRIES:
            self.tally["tasks given up"] += 1
        elif not self.redis_down():
            self.tally["tasks retried"] += 1
            self.send(replace(message, retries=message.retries + 1), 2.0 ** min(message.retries, 6))

    def _publish(self, follow_ups: Sequence[sync.FollowUp], parts: Parts) -> None:
        due = [each for each in follow_ups if each.delay_s <= LONGEST_COUNTDOWN_S]
        if not due:
            return
        self.point("before follow-ups")
        try:
            for each in due:
                queue = Queue.LIVE if each.live else Queue.BACKFILL
                ttl_s = math.ceil(WAITS_S[queue] + each.delay_s)
                parts.shared.mark_issued([each.window_id], ttl_s, queue=queue.value, delay_s=each.delay_s)  # type: ignore[attr-defined]
            for each in due:
                self.point("between follow-ups")
                if self.redis_down():
                    self.tally["follow-ups not sent"] += 1
                    return
                self.send(
                    Message("page", each.kind, (each.window_id, each.epoch, each.untouched), each.live), each.delay_s
                )
        except StateUnavailable:
            self.tally["follow-ups not sent"] += len(due)

    # --- beat, outages, the operator ---------------------------------------------------------------------

    def _beat(self, kind: str, every_s: float, number: int = 0) -> None:
        """Ring for a kind, and again after its period; when all is quiet one beat is enough."""
        if self.quiet and number:
            return
        self.at(max(every_s, _QUIET_TICK_S) if self.quiet else every_s, lambda: self._beat(kind, every_s, number))
        if not self.redis_down():
            expires_ms = self._t_ms + max(every_s, TICK_KEPT_AT_LEAST_S) * 1000
            self.send(Message("kind", kind, tick=True, expires_ms=expires_ms))

    def _sweep(self, number: int = 0) -> None:
        if self.quiet and number:
            return
        self.at(_QUIET_SWEEP_S if self.quiet else SWEEP_EVERY_S, lambda: self._sweep(number))
        if not self.redis_down():
            self.send(Message("sweep", "", expires_ms=self._t_ms + TICK_KEPT_AT_LEAST_S * 1000))

    def _redis_away(self) -> None:
        self._redis_down_ms = self._t_ms + self.chance.choice(_OUTAGES_S) * 1000
        self.tally["outages of Redis"] += 1
        self.at((self._redis_down_ms - self._t_ms) / 1000, self._dispatch)

    def _database_away(self) -> None:
        self._database_down_ms = self._t_ms + self.chance.choice(_OUTAGES_S) * 1000
        self.tally["outages of the database"] += 1

    def _flush(self) -> None:
        self.tally["flushes"] += 1
        self.say("FLUSHALL")
        self.redis.flush()
        self._ready.clear()
        self._generation += 1

    def _deaf(self, on: bool) -> None:
        self.tally["filter not applied for a while"] += on
        self.world.set(ignore=self.chance.choice(("since", "before", "both")) if on else "none")

    def _revoked(self, on: bool) -> None:
        self.tally["key refused for a while"] += on
        self.world.set(revoked=on)

    def _step_back(self) -> None:
        self.tally["the API's dates step back"] += 1
        self.world.set(date_skew_s=self.scenario.switches["date_skew_s"])

    def _operate(self) -> None:
        """Do what an operator might, at any moment."""
        if self.quiet or self.database_down() or self.redis_down():
            return
        kind = self.chance.choice(self.scenario.kinds)
        what = self.chance.choice(("pause", "resume", "reset", "backfill", "retry"))
        self.tally[f"operator: {what}"] += 1
        self.say(f"operator: {what} {kind}")
        past = self.now() - timedelta(seconds=self.chance.random() * self.scenario.since_s * 1.5)
        match what:
            case "pause" | "resume":
                self._looker.set_kind(kind, paused=what == "pause")
            case "reset" if KINDS[kind].read is Read.WINDOWED:
                self._reset.add(kind)
                sync.reset(self._looker, self.redis, kind, past.replace(microsecond=0))
            case "backfill":
                self.send(Message("kind", kind, bounds=(past.replace(microsecond=0), None)))
            case "retry":
                self._looker.unpark(kind)

    def _look(self) -> None:
        """Check P1 at this instant."""
        for kind in self.scenario.kinds:
            if kind in self._reset and not self.quiet:
                continue  # who slept meanwhile may move its cursor to where it was; the next sweep sets that right
            self.watch.check_cursor(kind, self.redis.cursor(kind), self._looker.kind(kind).start)

    # --- the whole story ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Live through it all; raises Broken."""
        settings = self.scenario
        with mock.patch.object(pages, "LIMIT", settings.page):
            self._storm()
            self._calm()
            self._come_to_rest("the storm")
            disabled = self._disabled()
            for kind in settings.kinds:
                if KINDS[kind].read is Read.WINDOWED and kind not in disabled:
                    # A planner whose clock is off, or the API's, plans that much too far ahead, and the overlap is that
                    # much shorter.
                    ahead_s = 2 * settings.skew_s + settings.covered_ahead_s
                    self._compare(kind, max(0.0, settings.overlap_s - ahead_s))
            self._events.clear()  # both beats stay away for a day, and with them the sweeps
            self._t_ms += 26 * 3600 * 1000
            self._calm()
            self._come_to_rest("a day's absence")
            for kind in settings.kinds:
                self._compare(kind, 1.5 * 86400)
                self._compare_contents(kind)
            self._look()
            self._until(
                self._t_ms + 2 * max(settings.every_s, _QUIET_TICK_S) * 1000
            )  # done windows are folded by the planner
            self._come_to_rest("another round")
            self._bounded()

    def _storm(self) -> None:
        settings, chance = self.scenario, self.chance
        self.world.set(**{name: settings.switches[name] for name in ("fault_rate", "change_every", "drop")})
        length_s = settings.every_s * settings.ticks
        for beat in range(settings.beats):
            for kind in settings.kinds:
                ring = partial(self._beat, kind, settings.every_s, beat)
                self.at(beat * 7.3 * chance.random(), ring)
            self.at(beat * 5.1, partial(self._sweep, beat))
        self._stir()
        for _ in range(settings.outages):
            self.at(chance.random() * length_s, chance.choice((self._redis_away, self._database_away)))
        for _ in range(settings.flushes):
            self.at(chance.random() * length_s, self._flush)
        for _ in range(6):
            self.at(chance.random() * length_s, self._look)
        if settings.deaf:
            began = chance.random() * length_s * 0.7
            self.at(began, lambda: self._deaf(True))
            self.at(began + length_s * 0.2, lambda: self._deaf(False))
        if settings.revoked:
            began = chance.random() * length_s * 0.7
            self.at(began, lambda: self._revoked(True))
            self.at(began + min(length_s * 0.2, 120.0), lambda: self._revoked(False))
        if settings.ahead_s:
            self.world.set(date_skew_s=settings.ahead_s)
            self.at(chance.random() * length_s, self._step_back)
        if settings.operator:
            for _ in range(5):
                self.at(chance.random() * length_s, self._operate)
        self._until(int(length_s * 1000))

    def _calm(self) -> None:
        """All faults stop; what is broken is set up again."""
        settings = self.scenario
        self.quiet = True
        self.world.set(fault_rate=0.0, change_every=0, ignore="none", drop=0, revoked=False)
        self.world._gate._planned.clear()
        self._redis_down_ms = self._database_down_ms = 0
        self._calm_since_ms = self._t_ms
        for number, process in enumerate(self._processes):
            process.stopped_until_ms = min(process.stopped_until_ms, self._t_ms)
            if not process.alive:
                self._processes[number] = self._process(number)
        for kind in settings.kinds:
            if self._looker.kind(kind).paused:
                self._looker.set_kind(kind, paused=False)
        if not self._events:
            for kind in settings.kinds:
                self.at(1, partial(self._beat, kind, settings.every_s))
            self.at(2, self._sweep)
        self._dispatch()

    def _come_to_rest(self, after: str) -> None:
        """Let time pass until nothing is owed, and everything older than the end of the storm is covered."""
        limit_ms = self._t_ms + REST_WITHIN_S * 1000
        # Behind all that was read too early a window must have been read, whose overlap reaches back to the present.
        ahead_s = float(str(self.scenario.switches["lag_s"])) + self.scenario.covered_ahead_s
        wanted = self._api_now() + timedelta(seconds=ahead_s)
        while not self._at_rest(wanted):
            if self._t_ms > limit_ms:
                raise Broken(f"convergence: no rest {REST_WITHIN_S} s after {after}: {self._unrest(wanted)}")
            # Between the beats: at their very instants there is always something on its way.
            self._until(self._t_ms - self._t_ms % 60_000 + 60_000 + 11_300)
        self.tally["seconds to rest"] += (self._t_ms - self._calm_since_ms) // 1000
        self.say(f"at rest after {after}")

    def _api_now(self) -> datetime:
        return BEGIN + timedelta(milliseconds=self.world.now_ms() - int(BEGIN.timestamp() * 1000))

    def _at_rest(self, wanted: datetime) -> bool:
        busy = any(process.steps for process in self._processes) or self._flying or self._ready
        return not busy and not self._unrest(wanted)

    def _unrest(self, wanted: datetime) -> str:
        # What the API does not offer, as it says, is asked for again after a day.
        waiting = set() if self._t_ms > 20 * 3600 * 1000 else self._disabled()
        with self._engine.connect() as connection:
            query = "SELECT kind, since, before, purpose, state, last_error FROM sync_windows WHERE state <> 'done'"
            left = [row for row in connection.exec_driver_sql(query) if row[0] not in waiting]
        if left:
            return f"{len(left)} windows, {left[0]} for one"
        for kind in self.scenario.kinds:
            if kind in waiting:
                continue
            reached = max((window.before for window in self._looker.coverage(kind)), default=None)
            cursor = self.redis.cursor(kind)
            if KINDS[kind].read is Read.WINDOWED:
                reached = cursor
            if reached is None or reached < wanted:
                return f"{kind} is covered to {reached}, its cursor is {cursor}, and {wanted} is wanted"
        return ""

    def _disabled(self) -> set[str]:
        return {kind for kind in self.scenario.kinds if self._looker.kind(kind).disabled is not None}

    def _compare(self, kind: str, late_s: float) -> None:
        state = self._looker.kind(kind)
        found = self.watch.differences(kind, state.start or BEGIN, late_s)
        if found:
            raise Broken(f"P1: the database is not the truth: {len(found)} differences, {found[:3]}")
        for purpose in Purpose:
            if KINDS[kind].read is Read.WINDOWED and (
                unproven := self.watch.unproven(kind, self._looker.coverage(kind, purpose))
            ):
                raise Broken(f"P3: {kind} {unproven[0]} is done, but nobody read it")

    def _compare_contents(self, kind: str) -> None:
        name = "human_id || x'1f' || description" if KINDS[kind].read is Read.WHOLE else "id"
        column = "NULL" if KINDS[kind].read is Read.WHOLE else "updated_at"
        with self._engine.connect() as connection:
            rows = connection.exec_driver_sql(f"SELECT {name}, payload, {column} FROM {kind}").all()
        stored = self.watch.stored[kind]
        if {row[0] for row in rows} != stored.keys():
            raise Broken(f"the watch lost sight of {kind}")
        start = self._looker.kind(kind).start if KINDS[kind].read is Read.WINDOWED else None
        found = self.watch.wrong_contents(kind, {row[0]: row[1] for row in rows}, start)
        if found:
            raise Broken(f"P1: {len(found)} records have other contents, {found[:3]}")
        self.tally["records compared"] += len(rows)

    def _bounded(self) -> None:
        """Check that the ledger stays small: beside what is folded, it holds the windows of the last pass."""
        kinds = len(self.scenario.kinds)
        with self._engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT count(*) FROM sync_windows").scalar_one()
        self.tally["ledger rows at the end"] += rows
        if rows > (20 + pages.PARTS_UNSEEN) * kinds:
            raise Broken(f"bounded: {rows} rows in the ledger of {kinds} kinds at rest")

    def close(self) -> None:
        """Let nothing of this run live on."""
        for process in self._processes:
            process.alive = False
            for step in list(process.steps):
                with contextlib.suppress(Broken):
                    self._resume(step, kill=True)


_OUTCOMES = frozenset(
    {"gone", "moved on", "paused", "disabled", "too early", "held by another", "waits for the budget", "parked"}
    | {"retry", "wait", "shrink", "credentials refused"}
)


# --- one run -------------------------------------------------------------------------------------------


def _driver(connection: Any) -> sqlite3.Connection:
    driver: sqlite3.Connection = connection.dbapi_connection
    return driver


@cache
def _template() -> sqlite3.Connection:
    """Return a database with the schema in it, migrated once."""
    engine = make_engine("sqlite:///:memory:?check_same_thread=false")
    migrate(engine)
    return _driver(engine.raw_connection())


@cache
def _engine() -> sa.Engine:
    """Return the one engine of this process: it knows its statements, and each run begins with a copy of the template."""
    return make_engine("sqlite:///:memory:?check_same_thread=false")


@contextlib.contextmanager
def _fresh_database() -> Iterator[sa.Engine]:
    engine = _engine()
    connection = engine.raw_connection()
    _template().backup(_driver(connection))
    connection.close()
    yield engine


def simulate(seed: int, *, trace: Callable[[str], None] | None = None) -> Report:
    """Live through the run of a seed."""
    logging.disable(logging.CRITICAL)
    try:
        with _fresh_database() as engine:
            simulation = Simulation(scenario(seed), engine, trace=trace)
            try:
                simulation.run()
            except Exception as error:  # noqa: BLE001 - no step may raise: whatever comes here is a finding
                broken = str(error) if isinstance(error, Broken) else f"a step raised {type(error).__name__}: {error}"
                simulation.say(f"BROKEN: {broken}")
                return Report(seed, broken, simulation.tally)
            finally:
                simulation.close()
            return Report(seed, None, simulation.tally)
    finally:
        logging.disable(logging.NOTSET)
