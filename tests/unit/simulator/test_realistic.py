"""Invented lives: plausible, of every kind, and the same whenever the simulator starts."""

from collections import Counter
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise

import pytest

from humansync.kinds import KINDS
from humansync.simulator import RealisticFeed, World
from humansync.simulator.instants import iso, to_ms
from tests.unit.simulator.conftest import START, Client, Clock, rows

DAYS = 24


def lives(clock: Clock, days: float = DAYS, seed: int = 0) -> World:
    return World(clock, seed=seed, feed=RealisticFeed(seed), since=clock.now - timedelta(days=days))


@cache
def resting() -> World:
    """Return one world that no test changes."""
    return lives(Clock())


def test_every_kind_has_records_and_a_first_run_stays_small() -> None:
    counts = {kind: resting().count(kind) for kind in KINDS}
    assert min(counts.values()) > 10
    assert 12_000 < sum(counts.values()) < 40_000


def test_thirty_persons_and_more_of_several_sources_and_zones() -> None:
    humans, sources, zones = set(), set(), set()
    for day in range(DAYS):
        for row in rows(Client(resting(), Clock()).page(since_s=(day + 1) * 86_400, before_s=day * 86_400)):
            humans.add(row["humanId"])
            sources.add(row["source"])
            zones.add(row["tzOffset"])
    assert len(humans) > 25
    assert len(sources) >= 5
    assert len(zones) >= 6
    assert humans <= set(resting().humans())


def test_imports_bring_hundreds_of_records_in_a_second_or_two() -> None:
    seconds = Counter(updated[:19] for updated, _ in resting().truth("heart_rates").values())
    assert seconds.most_common(1)[0][1] > 100


def test_nothing_is_served_from_the_future_though_events_may_lie_there() -> None:
    now = iso(to_ms(START))
    for kind in KINDS:
        assert all(updated <= now for updated, _ in resting().truth(kind).values())
    weights = rows(Client(resting(), Clock()).page("weights", since_s=86_400))
    assert any(row["timestamp"] > now for row in weights), "Fitbit stamps the day's last second"


def test_summaries_of_today_are_rewritten_through_the_day() -> None:
    clock = Clock()
    world = lives(clock, days=2)
    before = world.truth("activity_summaries")
    clock.forward(6 * 3_600)
    after = world.truth("activity_summaries")
    rewritten = [name for name in before if after[name] != before[name]]
    assert len(rewritten) > 10
    assert all(after[name][0] > before[name][0] for name in rewritten)


def test_records_keep_arriving_for_days() -> None:
    clock = Clock()
    world = lives(clock, days=1)
    counts = []
    for _ in range(4):
        counts.append(sum(world.count(kind) for kind in KINDS))
        clock.forward(86_400)
    assert all(later - earlier > 300 for earlier, later in pairwise(counts))


@pytest.mark.parametrize("kind", KINDS)
def test_a_simulator_started_later_serves_the_same_history(kind: str) -> None:
    since = START - timedelta(days=8)
    longer = resting().truth(kind, since=since)
    assert started_later().truth(kind, since=since) == longer


@cache
def started_later() -> World:
    clock = Clock()
    clock.now = START - timedelta(days=3)
    world = lives(clock, days=17)  # began on another day, and has been running since
    clock.now = START
    return world


def test_another_seed_is_another_world() -> None:
    assert not lives(Clock(), 2, seed=1).truth("sleeps").keys() & resting().truth("sleeps").keys()


def test_nights_are_sent_again_with_both_times_reset() -> None:
    nights = rows(Client(resting(), Clock()).page("sleeps", since_s=12 * 86_400))
    late = [
        night
        for night in nights
        if datetime.fromisoformat(night["createdAt"]).timestamp() - int(night["id"][:8], 16) > 3_600
    ]
    assert late
    assert all(night["createdAt"] == night["updatedAt"] for night in late)


def test_kinds_left_out_have_no_records() -> None:
    clock = Clock()
    world = World(clock, feed=RealisticFeed(0), since=START - timedelta(days=1), kinds=["sleeps"])
    assert world.count("sleeps") > 0
    assert world.count("meals") == 0


def test_a_user_who_left_sends_no_more() -> None:
    clock = Clock()
    world = lives(clock, days=1)
    human = world.humans()[0]
    world.delete_user(human)
    clock.forward(2 * 86_400)
    client = Client(world, clock)
    assert human not in {row["humanId"] for row in rows(client.page("sleeps", since_s=4 * 86_400))}
