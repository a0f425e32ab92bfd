"""Records that come, change and go, and what is true then."""

from datetime import timedelta

import pytest

from humansync.kinds import KINDS
from humansync.simulator import Odd, Switches, World, digest
from humansync.simulator.instants import iso, to_ms
from tests.unit.simulator.conftest import START, Client, Clock, Make, ids, rows


def test_truth_is_what_is_served(make: Make) -> None:
    client = make(records=200)
    served = {row["id"]: (row["updatedAt"], digest(row)) for row in rows(client.page(since_s=86_400))}
    assert client.world.truth("activities") == served


def test_truth_can_be_asked_for_a_window(make: Make) -> None:
    client = make(records=24, days=1)  # one each hour, the first exactly a day ago
    truth = client.world.truth("activities", since=START - timedelta(hours=6), before=START - timedelta(hours=3))
    assert len(truth) == 3


def test_a_changed_record_leaves_a_closed_window_for_now(make: Make, clock: Clock) -> None:
    client = make(records=100)
    clock.forward(60)
    before = client.world.truth("activities")
    changed = client.world.change("activities", 3)
    assert len(set(changed)) == 3
    assert not set(changed) & set(ids(client.page(since_s=90_000, before_s=60)))
    truth = client.world.truth("activities")
    for name in changed:
        assert truth[name][0] == iso(to_ms(clock.now))
        assert truth[name][1] != before[name][1]
    assert {name: truth[name] for name in before.keys() - set(changed)} == {
        name: facts for name, facts in before.items() if name not in changed
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_shows_in_every_kind(make: Make, kind: str) -> None:
    client = make(records=5, kind=kind)
    before = client.world.truth(kind)
    changed = client.world.change(kind, 2)
    assert {name for name, facts in client.world.truth(kind).items() if facts[1] != before[name][1]} == set(changed)


def test_records_can_be_named(make: Make) -> None:
    client = make(records=10)
    name = ids(client.page(since_s=86_400))[4]
    assert client.world.change("activities", identities=[name]) == [name]
    assert client.world.delete("activities", identities=[name]) == [name]
    assert name not in client.world.truth("activities")
    with pytest.raises(KeyError):
        client.world.delete("activities", identities=[name])


def test_a_resync_resets_both_times_and_nothing_else(make: Make, clock: Clock) -> None:
    client = make(records=10)
    old = {row["id"]: row for row in rows(client.page(since_s=86_400))}
    clock.forward(10)
    assert client.world.resync("activities") == 10
    for row in rows(client.page(since_s=5, before_s=None)):
        assert row == {**old[row["id"]], "createdAt": iso(to_ms(clock.now)), "updatedAt": iso(to_ms(clock.now))}


def test_added_records_are_new_and_may_be_late(make: Make, clock: Clock) -> None:
    client = make(records=10)
    added = client.world.add("activities", 3)
    late = client.world.add("activities", 2, late_by_s=90)
    truth = client.world.truth("activities")
    assert len(truth) == 15
    assert {truth[name][0] for name in added} == {iso(to_ms(clock.now))}
    assert {truth[name][0] for name in late} == {iso(to_ms(clock.now) - 90_000)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_grow(make: Make, kind: str) -> None:
    client = make(records=5, kind=kind)
    assert set(client.world.add(kind, 4)) < client.world.truth(kind).keys()
    assert client.world.count(kind) == 9


def test_a_put_record_replaces_the_one_of_its_identity_unless_it_is_older(make: Make) -> None:
    client = make()
    times = [iso(to_ms(START) - seconds * 1_000) for seconds in (30, 20, 10)]
    client.world.put("weights", {"id": "a", "value": 2, "updatedAt": times[1]})
    client.world.put("weights", {"id": "a", "value": 1, "updatedAt": times[0]})
    assert client.world.record("weights", "a") == {"id": "a", "value": 2, "updatedAt": times[1]}
    client.world.put("weights", {"id": "a", "value": 3, "updatedAt": times[2]})
    assert client.world.count("weights") == 1
    assert client.world.record("weights", "a") == {"id": "a", "value": 3, "updatedAt": times[2]}


def test_a_record_can_become_visible_long_after_its_update(make: Make, clock: Clock) -> None:
    client = make()
    updated = iso(to_ms(START) - 5_000)
    client.world.put("weights", {"id": "a", "updatedAt": updated}, visible_at=START + timedelta(minutes=3))
    assert client.world.truth("weights") == {}
    clock.forward(180)
    assert client.world.truth("weights")["a"][0] == updated


def test_lag_hides_fresh_records_and_old_versions_stay_until_it_is_over(make: Make, clock: Clock) -> None:
    client = make(records=100, lag_s=300)
    assert 95 < client.world.count("activities") <= 100  # one each 14 minutes: the last one may still be hidden
    clock.forward(300)
    assert client.world.count("activities") == 100
    before = client.world.truth("activities")
    names = client.world.change("activities", 100)
    added = client.world.add("activities", 100)
    clock.forward(150)
    halfway = client.world.truth("activities")
    assert 20 < sum(halfway[name] != before[name] for name in names) < 80
    assert 20 < sum(name in halfway for name in added) < 80
    clock.forward(150)
    after = client.world.truth("activities")
    assert all(after[name] != before[name] for name in names)
    assert set(added) < after.keys()


def walk(client: Client, limit: int = 100) -> list[str]:
    """Read a closed window as a simple client does: forward by offset until a short page."""
    seen: list[str] = []
    upper = client.compact(0)
    client.clock.forward(60)
    for offset in range(0, 5_000, limit):
        page = ids(client.ask(updated_since=client.compact(86_460), updated_before=upper, limit=limit, offset=offset))
        seen += page
        if len(page) < limit:
            break
    return seen


@pytest.mark.parametrize("order", ["event-desc", "updated-asc", "updated-desc", "per-user", "random-fixed"])
def test_changes_while_a_client_pages_make_it_skip_neighbours(make: Make, order: str) -> None:
    client = make(records=2_000, order=order, change_every=1, change=5)
    seen = set(walk(client))
    closed = client.world.truth("activities", before=START)
    assert closed.keys() - seen, "a simple reader must lose rows here, else the switch tests nothing"


def test_a_resting_world_loses_nothing_to_a_simple_client(make: Make) -> None:
    client = make(records=2_000)
    assert set(walk(client)) == client.world.truth("activities").keys()


def test_records_come_late_into_the_window_being_read(make: Make) -> None:
    client = make(records=1_000, change_every=2, change=0, late=3)
    walk(client)  # 11 pages (the last one empty), so 5 times
    assert len(client.world.truth("activities", before=START)) == 1_000 + 15


def test_records_are_added_and_dropped_after_pages(make: Make) -> None:
    client = make(records=1_000, change_every=1, change=0, add=2, drop=3, scope="kind")
    for _ in range(10):
        client.page(since_s=86_400)
    assert client.world.count("activities") == 1_000 + 10 * 2 - 10 * 3


def test_late_records_of_the_whole_kind_reach_back_as_far_as_switched(make: Make, clock: Clock) -> None:
    client = make(change_every=1, change=0, late=50, late_by_s=120, scope="kind")
    client.page(since_s=60)
    updates = [facts[0] for facts in client.world.truth("activities").values()]
    assert iso(to_ms(clock.now) - 120_000) <= min(updates) < max(updates) <= iso(to_ms(clock.now))


def test_records_change_and_come_by_the_clock(make: Make, clock: Clock) -> None:
    client = make(records=1_000, change_per_s=2.0, add_per_s=0.5)
    before = client.world.truth("activities")
    clock.forward(100)
    after = client.world.truth("activities")
    assert len(after) == 1_000 + 50
    changed = [name for name in before if after[name] != before[name]]
    assert 150 < len(changed) <= 200  # 200 changes, a few of them twice to the same record
    assert min(after[name][0] for name in changed) > iso(to_ms(START))


def test_a_user_vanishes_with_all_records_or_without(make: Make) -> None:
    client = make(records=1_000)
    first, second = client.world.humans()[:2]
    owned = {row["id"] for row in rows(client.page(since_s=86_400)) if row["humanId"] == first}
    assert client.world.delete_user(first) == 10
    assert first not in client.world.humans()
    assert not owned & client.world.truth("activities").keys()
    assert client.world.delete_user(second, keep_records=True) == 0
    assert second not in client.world.humans()
    assert client.world.count("activities") == 990
    with pytest.raises(KeyError):
        client.world.delete_user("nobody")


def script(seed: int) -> list[bytes]:
    """Return what a world answers to a fixed series of acts."""
    clock = Clock()
    switches = Switches(order="random", change_every=1, change=2, late=1, fault_rate=0.2, odd=0.2, add_per_s=0.1)
    world = World(clock, seed=seed, switches=switches)
    world.load(["sleeps", "meals"], 300, 1)
    answers = []
    for step in range(30):
        kind = ("sleeps", "meals")[step % 2]
        answer = world.query(kind, {"limit": "100", "offset": str(step % 3 * 100)})
        answers.append(b"%d %s" % (answer.status, answer.body))
        world.change(kind, 2)
        world.add(kind, late_by_s=30)
        clock.forward(7)
    return [*answers, repr(world.truth("sleeps")).encode(), repr(world.truth("meals")).encode()]


def test_the_same_seed_and_acts_bring_the_same_answers_to_the_byte() -> None:
    assert script(1) == script(1)
    assert script(1) != script(2)


def test_records_nobody_can_use_are_served_and_are_no_truth(make: Make) -> None:
    ways = (Odd.NO_ID, Odd.NOT_OBJECT, Odd.NO_UPDATED, Odd.BAD_UPDATED)
    client = make(records=400, odd=0.25, odd_ways=",".join(ways))
    served = rows(client.page(since_s=86_400))
    assert len(served) == 400
    truth = client.world.truth("activities")
    assert 250 < len(truth) < 350
    assert client.world.change("activities", 400)
    assert client.world.count("activities") == 400
    assert client.world.truth("activities").keys() == truth.keys()
