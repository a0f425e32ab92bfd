import time
from datetime import UTC, datetime, timedelta

import pytest
import redis

from humansync.state import keys
from humansync.state.shared import Admission, Shared
from tests.integration.state.conftest import Open

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
FREE = Admission(granted=True, wait_s=0.0, busy=False)


def admit(shared: Shared, window_id: int, token: str, lease_s: float = 30, kind: str = "weights") -> Admission:
    return shared.admit(window_id, token, kind=kind, lane="live", lease_s=lease_s, max_wait_s=3)


# --- leases ------------------------------------------------------------------------------------


def test_a_window_has_one_holder_who_may_enter_again(opened: Open) -> None:
    ours, theirs = opened(), opened()
    assert admit(ours, 1, "a:1") == FREE
    assert admit(ours, 1, "a:1") == FREE
    refused = admit(theirs, 1, "b:1")
    assert (refused.granted, refused.busy) == (False, True)
    assert 29 < refused.wait_s <= 30
    assert admit(theirs, 2, "b:1") == FREE


def test_a_lease_lapses_and_its_late_holder_can_neither_renew_nor_release_the_next_one(opened: Open) -> None:
    late, new = opened(), opened()
    admit(late, 1, "late:1", lease_s=0.05)
    time.sleep(0.1)
    assert admit(new, 1, "new:1") == FREE
    late.renew([1], "late", 300)
    late.release(1, "late:1")
    assert admit(late, 1, "late:1").busy
    assert admit(late, 1, "late:1").wait_s <= 30


def test_a_renewed_lease_lasts(shared: Shared) -> None:
    admit(shared, 1, "owner:5", lease_s=0.5)
    admit(shared, 2, "owner:6", lease_s=0.5)
    admit(shared, 3, "owner2:6", lease_s=0.5)
    shared.renew([1, 2, 3, 4], "owner", 60)  # 3 is another's, 4 nobody's
    assert admit(shared, 1, "x").wait_s > 50
    assert admit(shared, 2, "x").wait_s > 50
    assert admit(shared, 3, "x").wait_s < 1
    assert admit(shared, 4, "x") == FREE
    shared.renew([], "owner", 60)


def test_a_released_window_is_free(shared: Shared) -> None:
    admit(shared, 1, "a:1")
    shared.release(1, "a:1")
    assert admit(shared, 1, "b:1") == FREE


# --- messages on queues ------------------------------------------------------------------------


def test_a_window_is_lost_when_neither_a_message_nor_a_worker_has_it(shared: Shared) -> None:
    shared.mark_issued([1, 2])
    admit(shared, 3, "a:1")
    assert shared.unissued([1, 2, 3, 4]) == {4}
    assert shared.unissued([]) == set()
    shared.mark_issued([])


def test_the_marker_goes_with_the_message_that_was_received(shared: Shared, redis_url: str) -> None:
    shared.mark_issued([1, 2])
    admit(shared, 1, "a:1")
    shared.release(1, "a:1")
    assert shared.unissued([1, 2]) == {1}
    with redis.Redis.from_url(redis_url) as client:
        assert 590 < client.ttl(keys.issued(2)) <= 600


def test_a_message_that_was_waited_for_is_doubtful_once_everything_was_stopped(shared: Shared) -> None:
    """Switch off PROBE_US in admit.lua and a message is believed whose window was parked meanwhile."""
    shared.mark_issued([1, 2])
    assert admit(shared, 1, "a:1").waited_for
    assert not admit(shared, 3, "a:3").waited_for  # nobody has sent it
    shared.hold(None, 0.02)
    time.sleep(0.05)
    stopped = admit(shared, 2, "a:2")
    assert stopped.granted
    assert not stopped.waited_for


def test_a_marker_counts_for_nothing_once_its_queue_is_empty(shared: Shared, redis_url: str) -> None:
    """Drop `_void` and what a killed worker had taken waits for ten minutes here."""
    with redis.Redis.from_url(redis_url) as client:
        client.rpush("live", "a message")
        shared.mark_issued([1], queue="live")
        shared.mark_issued([2], queue="backfill")
        shared.mark_issued([3], queue="backfill", delay_s=60)
        shared.mark_issued([4])
        assert shared.unissued([1, 2, 3, 4]) == set()  # a message that has just left its queue is about to be read
        for window_id in (1, 2, 3, 4):
            client.pexpire(keys.issued(window_id), 590_000)  # ten seconds pass
        assert shared.unissued([1, 2, 3, 4]) == {2}
        client.delete("live")
        assert shared.unissued([1, 2, 3, 4]) == {1, 2}
        client.pexpire(keys.issued(3), 530_000)
        assert shared.unissued([3, 4]) == {3}


def test_who_is_told_to_wait_keeps_the_marker_and_leaves_no_lease(opened: Open) -> None:
    shared = opened(rate_per_s=1)
    shared.slot("weights", "live", 3)
    shared.mark_issued([1])
    refused = shared.admit(1, "a:1", kind="weights", lane="live", lease_s=30, max_wait_s=0.1)
    assert (refused.granted, refused.busy) == (False, False)
    assert 0.5 < refused.wait_s < 1.1
    assert shared.unissued([1]) == set()
    assert not shared.admit(1, "b:1", kind="weights", lane="live", lease_s=30, max_wait_s=0.1).busy


def test_a_holder_who_is_told_to_wait_gives_its_lease_back(shared: Shared) -> None:
    admit(shared, 1, "a:1")
    shared.hold("weights", 60)
    assert not admit(shared, 1, "a:1").granted
    shared.hold("weights", 0)
    assert admit(shared, 1, "b:1") == FREE


# --- the planner's lock ------------------------------------------------------------------------


def test_one_planner_a_kind(opened: Open) -> None:
    ours, theirs = opened(), opened()
    assert ours.lock("weights", "a", 60)
    assert not theirs.lock("weights", "b", 60)
    assert not ours.lock("weights", "a", 60)  # nor a second thread of the same process
    assert theirs.lock("sleeps", "b", 60)
    theirs.unlock("weights", "b")
    assert not theirs.lock("weights", "b", 60)
    ours.unlock("weights", "a")
    assert theirs.lock("weights", "b", 0.02)
    time.sleep(0.05)
    assert ours.lock("weights", "a", 60)


# --- cursors -----------------------------------------------------------------------------------


def test_a_cursor_only_moves_forward_unless_an_operator_sets_it(opened: Open) -> None:
    ours, theirs = opened(), opened()
    assert ours.cursor("weights") is None
    ours.move_cursor("weights", NOON)
    theirs.move_cursor("weights", NOON - timedelta(seconds=1))
    assert ours.cursor("weights") == NOON
    theirs.move_cursor("weights", NOON + timedelta(microseconds=1))
    assert ours.cursor("weights") == NOON + timedelta(microseconds=1)
    ours.set_cursor("weights", NOON - timedelta(days=3000))
    ours.move_cursor("sleeps", NOON)
    assert theirs.cursors() == {"weights": NOON - timedelta(days=3000), "sleeps": NOON}


def test_a_release_moves_the_cursor_even_when_the_lease_has_lapsed(shared: Shared) -> None:
    admit(shared, 1, "other:1")
    shared.release(1, "late:1", kind="weights", cursor=NOON)
    assert shared.cursor("weights") == NOON
    assert admit(shared, 1, "late:1").busy
    shared.release(1, "other:1", kind="weights", cursor=NOON - timedelta(hours=1))
    assert shared.cursor("weights") == NOON
    shared.release(1, "other:1", kind="weights")
    assert shared.cursor("weights") == NOON


# --- holds -------------------------------------------------------------------------------------


def test_a_held_kind_waits_and_the_others_do_not(shared: Shared) -> None:
    shared.hold("weights", 60)
    refused = shared.slot("weights", "live", 300)
    assert not refused.granted
    assert 59 < refused.wait_s <= 60
    assert shared.slot("sleeps", "live", 0) == FREE


def test_a_hold_of_everything_holds_every_kind(shared: Shared) -> None:
    shared.hold(None, 60)
    shared.hold("weights", 10)
    assert shared.slot("weights", "live", 0).wait_s > 50
    assert shared.slot("sleeps", "backfill", 0).wait_s > 50
    assert {kind: round(seconds, -1) for kind, seconds in shared.held().items()} == {"*": 60, "weights": 10}


def test_the_longer_hold_wins_and_zero_lifts_it(shared: Shared) -> None:
    shared.hold("weights", 60)
    shared.hold("weights", 1)
    assert shared.slot("weights", "live", 0).wait_s > 50
    shared.hold("weights", 0)
    assert shared.slot("weights", "live", 0) == FREE
    assert shared.held() == {}


def test_a_hold_ends(shared: Shared) -> None:
    shared.hold("weights", 0.03)
    time.sleep(0.05)
    assert shared.slot("weights", "live", 0) == FREE
    assert shared.held() == {}


# --- heartbeats --------------------------------------------------------------------------------


def test_a_worker_was_heard_of_some_seconds_ago(shared: Shared, redis_url: str) -> None:
    shared.tick("a@host")
    with redis.Redis.from_url(redis_url) as client:
        client.zadd(keys.TICKS, {"old@host": (time.time() - 90_000) * 1000, "quiet@host": (time.time() - 600) * 1000})
    shared.tick("b@host")  # who was not heard of for a day is forgotten
    ticks = shared.ticks()
    assert ticks.keys() == {"a@host", "b@host", "quiet@host"}
    assert ticks["a@host"] < 60
    assert ticks["quiet@host"] == pytest.approx(600, abs=60)


# --- all of it ---------------------------------------------------------------------------------


def test_every_key_is_in_the_list_and_lapses_unless_it_says_so(opened: Open, redis_url: str) -> None:
    shared = opened(rate_per_s=1000)
    shared.lock("weights", "a", 60)
    shared.mark_issued([1, 2])
    shared.tick("a@host")
    shared.hold("sleeps", 5)
    shared.slow_down()
    shared.move_cursor("weights", NOON)
    for lane in ("live", *["backfill"] * 8):
        shared.admit(1, "a:1", kind="weights", lane=lane, lease_s=30, max_wait_s=3)
    names = keys.__doc__ or ""
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        found = set(client.keys("*"))
        for key in found:
            family = key.rsplit(":", 1)[0] if key.count(":") > 1 else key
            assert f"`{family}" in names
            assert client.ttl(key) > 0 or key == keys.CURSORS
    assert found == {
        *(keys.BUDGET, keys.CURSORS, keys.GAPS, keys.HOLDS, keys.TICKS),
        *(keys.lease(1), keys.issued(2), keys.lock("weights")),
    }
