"""A clock that stands still until told, and worlds that live by it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from humansync.simulator import Answer, Switches, World

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Clock:
    """Virtual time."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Client:
    """Asks a world as an HTTP client would, without HTTP."""

    def __init__(self, world: World, clock: Clock) -> None:
        self.world = world
        self.clock = clock

    def ask(self, kind: str = "activities", **params: object) -> Answer:
        return self.world.query(kind, {key: str(value) for key, value in params.items()})

    def page(self, kind: str = "activities", *, since_s: float, before_s: float | None = 0, **params: object) -> Answer:
        """Ask for a window whose bounds are given as seconds before now."""
        bounds = {"updated_since": self.compact(since_s)}
        if before_s is not None:
            bounds["updated_before"] = self.compact(before_s)
        return self.ask(kind, **{"limit": 500, **bounds, **params})

    def compact(self, seconds_ago: float) -> str:
        return (self.clock.now - timedelta(seconds=seconds_ago)).strftime("%Y%m%dT%H%M%SZ")


def rows(answer: Answer) -> list[Any]:
    """Return the records of a good answer."""
    assert answer.status == 200
    parsed: list[Any] = orjson.loads(answer.body)
    return parsed


def ids(answer: Answer) -> list[str]:
    """Return the ids of the records of a good answer, in order."""
    return [row["id"] for row in rows(answer)]


Make = Callable[..., Client]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock: Clock) -> Make:
    """Return a maker of worlds: `make(records=100, days=1, order="random")`."""

    def made(
        *, seed: int = 0, records: int = 0, days: float = 1, kind: str = "activities", **switches: object
    ) -> Client:
        world = World(clock, seed=seed, switches=Switches().changed(switches))
        world.load([kind], records, days)
        return Client(world, clock)

    return made
