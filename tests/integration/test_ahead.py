"""What a command asks of its own workers by the pipe, before and after they listen to their queues."""

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import SimpleNamespace

import pytest

from config.settings import Settings
from humansync import plan, sync
from humansync.errors import StoreUnavailable
from humansync.parts import Parts
from humansync.simulator.world import World
from humansync.store import Store, make_engine, migrate
from tasks import ahead, arguments, publish
from tests.integration.verify.places import KIND, NOW, Place, WaitingClock, WorldApi
from tests.simulation.redis_model import RedisModel

ASKED = json.dumps([KIND, None, None]).encode() + b"\n"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[sync.FollowUp]:
    """Give what has been put on the queues."""
    steps: list[sync.FollowUp] = []

    def follow_ups(some: Sequence[sync.FollowUp], _shared: object) -> None:
        steps.extend(some)

    monkeypatch.setattr(publish, "follow_ups", follow_ups)
    return steps


@pytest.fixture
def place(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Give an installation that owes a month, of an API with ten records."""
    engine = make_engine(sqlite_url)
    migrate(engine)
    clock = WaitingClock()
    world = World(clock.now)
    world.load([KIND], 10, 20, until=NOW - timedelta(hours=1))
    redis = RedisModel(lambda: clock.now().timestamp(), 0, lambda _queue: True)
    policy = plan.Policy(settle_s=120, overlap_s=900, since="30d")
    api = WorldApi(world, clock)
    parts = Parts(api, Store(engine), redis, clock, policy, "test")
    held = SimpleNamespace(parts=parts, settings=Settings(), shared=redis)
    monkeypatch.setattr(ahead, "runtime", lambda: held)
    yield Place(world, clock, api, parts)
    engine.dispose()


def test_before_the_worker_listens_all_that_is_asked_for_is_brought_in(place: Place, sent: list[sync.FollowUp]) -> None:
    ahead.serve([ASKED], threading.Event())
    totals = place.parts.store.totals()[KIND]
    assert (totals.records, totals.owed, totals.walking, sent) == (10, 0, 0, [])


def test_once_it_listens_everything_goes_on_the_queues(place: Place, sent: list[sync.FollowUp]) -> None:
    listening = threading.Event()
    listening.set()
    ahead.serve([ASKED], listening)
    assert [step.kind for step in sent] == [KIND]
    assert place.parts.store.totals()[KIND].records == 0


def test_what_cannot_be_done_is_left_to_who_asks_again_and_the_next_is_served(
    place: Place, sent: list[sync.FollowUp], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[str] = []

    def fail_once(store: Store, kind: str) -> object:
        if not failed:
            failed.append(kind)
            raise StoreUnavailable("the database is not available")
        return unpark(store, kind)

    unpark = Store.unpark
    monkeypatch.setattr(Store, "unpark", fail_once)
    monkeypatch.setattr(ahead, "THREADS", 1)
    ahead.serve([ASKED, json.dumps(["moods", None, None]).encode(), ASKED], threading.Event())
    assert place.parts.store.totals()[KIND].records == 10
    assert sent == []
    assert [record.__dict__["error"] for record in caplog.records if record.name == "tasks.ahead"] == [
        "the database is not available",
        "unknown kind 'moods': allowed are " + ", ".join(Store.kinds(place.parts.store)),
    ]


def test_half_a_line_and_an_error_of_nobodys_do_not_end_it_and_are_said(
    place: Place, sent: list[sync.FollowUp], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    known = arguments.known
    failed: list[object] = []

    def fail_once(kind: object) -> str:
        if not failed:
            failed.append(kind)
            raise RuntimeError("somebody's data")
        return known(kind)

    monkeypatch.setattr(arguments, "known", fail_once)
    monkeypatch.setattr(ahead, "THREADS", 1)
    ahead.serve([b"ull]\n", b'["sleeps"]\n', ASKED, ASKED], threading.Event())
    assert place.parts.store.totals()[KIND].records == 10
    said = [record.__dict__["error"] for record in caplog.records if record.name == "tasks.ahead"]
    assert (said, sent) == (["JSONDecodeError", "ValueError", "RuntimeError"], [])
