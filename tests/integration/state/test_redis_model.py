"""The simulation's Redis does what the real one does: the same commands, the same answers."""

import time
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import redis

from humansync.state.shared import Admission, Shared
from tests.integration.state.conftest import Open
from tests.simulation.redis_model import RedisModel

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
#: The two are asked one after the other.
APART_S = 0.2


def model(shared: Shared, rate_per_s: float = 0.0) -> RedisModel:
    client: redis.Redis = shared._client
    return RedisModel(time.time, rate_per_s, lambda queue: bool(client.llen(queue)))


def same(real: Admission, modelled: Admission) -> None:
    assert (real.granted, real.busy, real.waited_for) == (modelled.granted, modelled.busy, modelled.waited_for)
    assert real.wait_s == pytest.approx(modelled.wait_s, abs=APART_S)


@pytest.mark.parametrize("seed", range(5))
def test_leases_markers_locks_and_cursors_are_those_of_the_real_redis(shared: Shared, seed: int) -> None:
    chance, modelled = Random(seed), model(shared)
    client: redis.Redis = shared._client
    for _ in range(400):
        window, token = chance.randrange(4), chance.choice(("a:1", "a:2", "b:1"))
        kind, to = chance.choice(("bmis", "meals")), NOON + timedelta(seconds=chance.randrange(100))
        match chance.randrange(10):
            case 0 | 1:
                same(
                    shared.admit(window, token, kind=kind, lane="live", lease_s=60, max_wait_s=3),
                    modelled.admit(window, token, kind=kind, lane="live", lease_s=60, max_wait_s=3),
                )
            case 2:
                shared.release(window, token, kind=kind, cursor=to)
                modelled.release(window, token, kind=kind, cursor=to)
            case 3:
                # Markers that count (600 s to wait) and markers that count only with their queue (a delay of all but 7).
                queue, delay_s = chance.choice(("live", "backfill", "")), chance.choice((0.0, 594.0))
                shared.mark_issued([window], 600, queue=queue, delay_s=delay_s)
                modelled.mark_issued([window], 600, queue=queue, delay_s=delay_s)
            case 4:
                assert shared.unissued(range(4)) == modelled.unissued(range(4))
            case 5:
                assert shared.lock(kind, token, 60) == modelled.lock(kind, token, 60)
            case 6:
                shared.unlock(kind, token)
                modelled.unlock(kind, token)
            case 7:
                name = chance.choice(("move_cursor", "set_cursor"))
                getattr(shared, name)(kind, to)
                getattr(modelled, name)(kind, to)
            case 8:
                shared.renew([0, 1, 2, 3], "a", 50)
                modelled.renew([0, 1, 2, 3], "a", 50)
            case _:
                client.rpush("live", "message") if chance.random() < 0.5 else client.delete("live")
        assert shared.cursors() == modelled.cursors()
        assert shared.cursor(kind) == modelled.cursor(kind)


def test_the_budget_gives_the_same_instants(opened: Open) -> None:
    rate = 2.0  # instants half a second apart: the two answers differ by less
    shared, chance = opened(rate), Random(1)
    modelled = model(shared, rate)
    for number in range(60):
        lane = chance.choice(("live", "backfill"))
        if number == 30:
            assert shared.slow_down() == modelled.slow_down()
        real = shared.admit(number, "a:1", kind="bmis", lane=lane, lease_s=60, max_wait_s=30)
        same(real, modelled.admit(number, "a:1", kind="bmis", lane=lane, lease_s=60, max_wait_s=30))


def test_holds_are_kept_by_both(shared: Shared) -> None:
    modelled = model(shared)
    for kind, seconds in (("bmis", 30.0), (None, 10.0), ("bmis", 5.0), ("bmis", 0.0), ("meals", 60.0)):
        shared.hold(kind, seconds)
        modelled.hold(kind, seconds)
        for asked in ("bmis", "meals", "sleeps"):
            same(
                shared.admit(1, "a:1", kind=asked, lane="live", lease_s=60, max_wait_s=3),
                modelled.admit(1, "a:1", kind=asked, lane="live", lease_s=60, max_wait_s=3),
            )
