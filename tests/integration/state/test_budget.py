"""The rate budget: how many requests fit into a second, whoever asks. Slots are counted, not waited for."""

import itertools
import threading
import time

import pytest
import redis

from humansync.state.shared import BACKFILL_AHEAD_S, PACE, SLOWEST, Shared
from tests.integration.state.conftest import Open


def reserve(shared: Shared, count: int, lane: str = "live", max_wait_s: float = 25.0) -> list[float]:
    """Take slots at once and return the instants they stand for, by this machine's clock."""
    slots = []
    for _ in range(count):
        admission = shared.slot("weights", lane, max_wait_s)
        assert admission.granted
        slots.append(time.monotonic() + admission.wait_s)
    return slots


def most_in_a_second(slots: list[tuple[float, float]]) -> int:
    """Return how many slots surely lie within a second: each lies between when it was asked for and when it was told."""
    return max(sum(1 for asked, told in slots if start <= asked and told < start + 1.0) for start, _ in slots)


def test_no_second_holds_more_than_the_rate_whoever_asks(opened: Open) -> None:
    """Two processes with four threads each reserve against each other; breaks without `next` in admit.lua."""
    views = [opened(rate_per_s=20), opened(rate_per_s=20)]
    slots: list[list[tuple[float, float]]] = [[] for _ in range(8)]

    def work(number: int) -> None:
        for _ in range(10):
            asked = time.monotonic()
            admission = views[number % 2].slot("weights", "live", 25.0)
            slots[number].append((asked + admission.wait_s, time.monotonic() + admission.wait_s))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    together = sorted(itertools.chain.from_iterable(slots))
    assert len(together) == 80
    # Evenly apart: 79 intervals of 1 / (20 x 0.975) s, and the clock is read a moment after Redis answers.
    assert together[-1][0] - together[0][0] == pytest.approx(79 / (20 * PACE), abs=0.3)
    assert most_in_a_second(together) <= 20


def test_an_idle_time_earns_no_burst(opened: Open) -> None:
    shared = opened(rate_per_s=10)
    reserve(shared, 1)
    time.sleep(0.3)
    waits = [shared.slot("weights", "live", 9).wait_s for _ in range(4)]
    assert waits[0] == 0
    assert waits[3] > 0.2  # three intervals of 0.103 s, less the time of the calls


def test_who_would_wait_too_long_takes_nothing(opened: Open) -> None:
    shared = opened(rate_per_s=2)
    reserve(shared, 4)  # the line ends 2.05 s from now
    refused = [shared.slot("weights", "live", 1.0) for _ in range(5)]
    assert not any(admission.granted for admission in refused)
    assert all(1.0 < admission.wait_s < 2.1 for admission in refused)
    assert shared.slot("weights", "live", 3.0).wait_s < 2.1  # five refusals have not moved it


def test_no_limit_is_no_wait(opened: Open) -> None:
    shared = opened(rate_per_s=0)
    assert [shared.slot("weights", lane, 0).wait_s for lane in ("live", "backfill") * 20] == [0.0] * 40


def test_backfill_has_the_whole_rate_while_nobody_live_asks(opened: Open) -> None:
    slots = reserve_backfill(opened(rate_per_s=20))
    assert len(slots) == pytest.approx(BACKFILL_AHEAD_S * 20 * PACE, abs=2)


def test_backfill_leaves_a_fifth_to_live_requests_that_are_about(opened: Open) -> None:
    """Breaks without the gaps of admit.lua: then the live request waits behind all of backfill."""
    shared = opened(rate_per_s=20)
    reserve(shared, 1)
    backfill = reserve_backfill(shared)
    assert len(backfill) == pytest.approx(0.8 * BACKFILL_AHEAD_S * 20 * PACE, abs=2)
    live = reserve(shared, 4, max_wait_s=BACKFILL_AHEAD_S)
    assert live[0] - time.monotonic() < 0.35  # the first gap comes after four intervals of 0.051 s
    assert live == sorted(live)
    assert most_in_a_second([(slot, slot) for slot in (*backfill, *live)]) <= 20
    # Gap and neighbours are an interval apart, like all others.
    together = sorted([*backfill, *live])
    assert min(b - a for a, b in itertools.pairwise(together)) > 0.03


def test_a_live_request_waits_no_longer_than_backfill_may_reserve(opened: Open) -> None:
    shared = opened(rate_per_s=20)
    reserve_backfill(shared)
    assert shared.slot("weights", "live", 10).wait_s <= BACKFILL_AHEAD_S + 1 / (20 * PACE)


def test_a_gap_that_nobody_took_in_time_is_gone(opened: Open) -> None:
    shared = opened(rate_per_s=100)
    reserve(shared, 1)
    for _ in range(12):
        shared.slot("weights", "backfill", 1)
    time.sleep(0.3)
    waits = [shared.slot("weights", "live", 1).wait_s for _ in range(3)]
    assert waits[0] == 0
    assert 0 < waits[1] < waits[2]


@pytest.mark.section9(36)
def test_a_refusal_halves_the_rate_of_all_and_one_event_counts_once(opened: Open) -> None:
    ours, theirs = opened(rate_per_s=20), opened(rate_per_s=20)
    assert ours.slow_down() == pytest.approx(0.5, abs=0.01)
    assert theirs.slow_down() == pytest.approx(0.5, abs=0.01)  # its request was under way
    slots = reserve(theirs, 11)
    assert slots[-1] - slots[0] == pytest.approx(10 / (20 * PACE * 0.5), rel=0.1)


@pytest.mark.section9(36)
def test_the_rate_recovers_by_itself_and_never_falls_below_its_least(opened: Open, redis_url: str) -> None:
    shared = opened(rate_per_s=20)
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(8):
            shared.slow_down()
            client.hincrby("humansync:budget", "slowed", -3_000_000)  # three seconds pass
        factor = float(client.hget("humansync:budget", "factor") or 1)
        assert factor == pytest.approx(SLOWEST, abs=0.03)
        client.hincrby("humansync:budget", "slowed", -120_000_000)  # two minutes pass
    slots = reserve(shared, 11)
    assert slots[-1] - slots[0] == pytest.approx(10 / (20 * PACE), rel=0.1)


def test_a_clock_that_was_set_back_does_not_stop_everything(opened: Open, redis_url: str) -> None:
    shared = opened(rate_per_s=20)
    reserve(shared, 1)
    with redis.Redis.from_url(redis_url) as client:
        client.hincrby("humansync:budget", "next", 3600 * 1_000_000)
    assert shared.slot("weights", "live", 1).wait_s == 0


def reserve_backfill(shared: Shared) -> list[float]:
    """Take backfill slots until there are no more; returns their instants."""
    slots = []
    while (admission := shared.slot("weights", "backfill", 25)).granted:
        slots.append(time.monotonic() + admission.wait_s)
    return slots
