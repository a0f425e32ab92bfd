"""A whole product in one process: the simulator's world as the API, a real database, a clock that only waiting moves."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import repeat
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import sqlalchemy as sa

from humansync import reading, sync
from humansync.api import Api, Page
from humansync.check import Findings
from humansync.errors import StateUnavailable
from humansync.kinds import KINDS, Kind
from humansync.parts import Parts
from humansync.simulator.world import World
from humansync.state.shared import Admission
from humansync.store import Store
from humansync.verify import Asked, verify

_BY_PATH = {kind.path: kind.name for kind in KINDS.values()}
#: The world's present when a test begins.
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KIND = "heart_rates"


@dataclass(slots=True)
class WaitingClock:
    """Time that passes only where somebody waits."""

    present: datetime = NOW
    #: what comes by chance, one after the other
    chances: Iterator[float] = field(default_factory=lambda: repeat(0.5))
    _alone: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> datetime:
        return self.present

    def sleep(self, seconds: float) -> None:
        with self._alone:  # else one thread puts the clock back to where another found it
            self.present += timedelta(seconds=seconds)

    def random(self) -> float:
        return next(self.chances)


class WorldApi(Api):
    """The real client, with a world where the network was. `between` is called before each request.

    A world serves one request after the other, as the simulator's server does; windows are compared by several threads.
    """

    def __init__(self, world: World, clock: WaitingClock) -> None:
        super().__init__(base_url="http://world/v1", client_id="simulator", app_key="simulator")
        self._world, self._clock = world, clock
        self.between: Callable[[int], object] = lambda _request: None
        self.requests = 0
        #: `between` may itself ask
        self._alone = threading.RLock()
        #: identity of a record that is shown without a time
        self.spoilt = ""

    def fetch(
        self, kind: Kind, *, since: datetime, before: datetime, limit: int, offset: int, as_text: bool = False
    ) -> Page:
        with self._alone:
            self.requests += 1
            self._clock.sleep(0.01)
            self.between(self.requests)
            page = super().fetch(kind, since=since, before=before, limit=limit, offset=offset, as_text=as_text)
        if not self.spoilt:
            return page
        shown = [
            {**record, "updatedAt": "?"} if isinstance(record, dict) and record["id"] == self.spoilt else record
            for record in page.records
        ]
        return replace(page, records=shown, batch=None)

    def _send(self, url: str, deadline: float, redirects_left: int = 0) -> Any:
        del deadline, redirects_left
        target = urlsplit(url)
        kind = _BY_PATH[target.path.split("/users/", 1)[1]]
        answer = self._world.query(kind, dict(parse_qsl(target.query)))
        return SimpleNamespace(status=answer.status, headers=dict(answer.headers), body=answer.body)

    def _body(self, response: Any, deadline: float, cap: int) -> bytes:
        del deadline, cap
        body: bytes = response.body
        return body

    def _discard(self, response: Any, deadline: float) -> None:
        """Leave the body of an error unread."""


class NoRedis:
    """A Redis that is away: everything goes on without it."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def away(*_: object, **__: object) -> Any:
            raise StateUnavailable("Redis is away")

        return away


@dataclass(slots=True)
class Place:
    """One installation and its API."""

    world: World
    clock: WaitingClock
    api: WorldApi
    parts: Parts
    slots: list[tuple[str, str]] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.parts.store

    def slot(self, kind: str, lane: str, max_wait_s: float) -> Admission:
        del max_wait_s
        self.slots.append((kind, lane))
        return Admission(granted=True, wait_s=0.0, busy=False)

    def sync(self, *kinds: str) -> None:
        """Bring kinds up to now, the way workers do."""
        for kind in kinds or (KIND,):
            steps = deque(sync.plan_kind(self.parts, kind, forced=True).follow_ups)
            while steps:
                step = steps.popleft()
                self.clock.sleep(step.delay_s)
                steps += reading.read(self.parts, step.window_id, step.epoch).follow_ups
                if not steps:  # what waited for the kind's density
                    later = self.clock.now() + timedelta(hours=1)
                    steps += [sync.follow_up(self.parts, row) for row in self.store.owed(later, later, 500)]

    def verify(self, *kinds: str, **asked: Any) -> Findings:
        """Compare kinds; return the findings of the first."""
        return verify(self.parts, Asked(kinds or (KIND,), **asked), slot=self.slot)[0]

    def sql(self, statement: str, *rows: dict[str, object]) -> None:
        """Spoil the database."""
        with self.store.engine.begin() as connection:
            for row in rows or ({},):
                assert connection.execute(sa.text(statement), row).rowcount != 0

    def ids(self, kind: str = KIND) -> list[str]:
        """Return the identities that the API has, oldest version first."""
        truth = self.world.truth(kind)
        return sorted(truth, key=lambda each: truth[each])


def loaded(place: Place, records: int, kinds: Sequence[str] = (KIND,), days: float = 20) -> None:
    """Give the API plain records, and bring them into the database."""
    place.world.load(kinds, records, days, until=NOW - timedelta(hours=1))
    place.sync(*kinds)
