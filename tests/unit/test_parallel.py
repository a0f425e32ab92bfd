"""How many pages are in hand at once: more while they wait for a fast API, fewer at any sign of trouble."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from humansync import parallel
from humansync.parallel import FIRST, REFUSED, SLOWED, STORING, Limit, Storing, answered, refused, stored, was_stored


def after(limit: Limit, answers: int, took_s: float, *, now: float = 0.0) -> Limit:
    """Return the limit after answers to as many requests as it allows."""
    for _ in range(answers):
        limit = answered(limit, took_s, limit.places, now)
    return limit


def test_the_number_doubles_with_each_round_until_there_are_no_more_threads() -> None:
    limit = after(Limit(16), int(FIRST), 0.15)
    assert limit.places == 16
    assert after(limit, 100, 0.15).places == 16


def test_what_is_not_used_does_not_grow() -> None:
    limit = Limit(16)
    assert answered(limit, 0.15, limit.places - 1, 0.0).places == FIRST


def when_stored(limit: Limit, *took_s: float) -> Limit:
    """Return the limit after pages were stored, forty times each of these."""
    for each in took_s:
        for _ in range(40):
            limit = stored(limit, each)
    return limit


def test_before_a_page_was_stored_a_fast_api_needs_no_more() -> None:
    limit = after(Limit(16), 40, 0.01)
    assert limit.places == FIRST
    # but where storing takes its time it is found at once how many more there may be
    assert after(when_stored(limit, 0.25), int(FIRST), 0.02).places == 2 * FIRST


def test_where_pages_wait_for_each_other_to_be_stored_there_are_no_more() -> None:
    assert after(when_stored(Limit(16), 0.1, 0.3), 40, 0.15).places == FIRST


def test_it_goes_back_by_one_a_round_when_pages_begin_to_wait_for_each_other() -> None:
    limit = when_stored(after(Limit(16), 40, 0.15), 0.1, 0.3)
    assert limit.places == 16
    assert after(limit, 16, 0.15).places in (14, 15)
    assert after(limit, 400, 0.15).places == FIRST


def test_where_pages_wait_longer_for_the_api_there_are_more() -> None:
    assert after(when_stored(Limit(16), 0.01, 0.03), 40, 0.05).places == 16


def test_a_database_far_away_is_not_busy() -> None:
    assert after(when_stored(Limit(16), 0.25, 0.3), 40, 0.15).places == 16


@pytest.mark.parametrize(("stored_s", "places"), [(0.19, 16), (0.21, FIRST)])
def test_pages_wait_for_each_other_where_they_take_twice_as_long_as_they_can(stored_s: float, places: float) -> None:
    assert after(replace(Limit(16), stored_s=stored_s, quickest_s=0.1), 40, 0.15).places == places


def test_one_page_that_was_quick_is_forgotten() -> None:
    limit = when_stored(stored(Limit(16), 0.08), *[0.25] * 3)
    assert after(limit, 40, 0.15).places == 16


def test_a_database_that_is_busy_for_long_stays_busy() -> None:
    """It stores one page after the other, each in 20 ms: who waits, waits for all that are in hand."""
    limit, seen = Limit(16), []
    for number in range(3000):
        limit = stored(answered(limit, 0.01, limit.places, 0.0), 0.02 * limit.places * (0.7 + 0.6 * (number % 7) / 6))
        seen.append(limit.places)
    assert sum(seen[-2000:]) / 2000 < 1.5 * FIRST


def test_after_refusals_it_comes_back_to_where_it_began() -> None:
    limit = when_stored(Limit(16), 0.1, 0.3)
    for second in range(3):
        limit = refused(limit, 10.0 + 2 * second)
    assert limit.places == 1
    assert after(limit, 1, 0.15, now=60.0).places == 2  # one more a round, as after any refusal
    assert after(limit, 100, 0.15, now=60.0).places == FIRST


@pytest.mark.parametrize("times", [1, 5])
def test_a_refusal_halves_it_and_several_at_once_are_one(times: int) -> None:
    limit = after(Limit(16), 40, 0.15)
    for _ in range(times):
        limit = refused(limit, 10.0)
    assert limit.places == 16 * REFUSED
    assert refused(limit, 10.0 + parallel.CUT_EVERY_S).places == 16 * REFUSED * REFUSED


def test_after_trouble_it_grows_by_one_a_round() -> None:
    limit = refused(after(Limit(16), 40, 0.15), 10.0)
    # eight answers bring an eighth each, a little less as the number grows
    assert after(limit, 9, 0.15, now=11.0).places == 9
    assert after(limit, 7, 0.15, now=11.0).places == 8


def test_answers_that_get_slow_cut_it() -> None:
    usual = after(Limit(16), 200, 0.15)
    slow = after(usual, 10, 0.6, now=10.0)
    assert slow.requests == pytest.approx(16 * SLOWED)
    assert not slow.searching


def test_an_api_that_has_always_been_slow_is_not_slow() -> None:
    assert after(Limit(16), 100, 30.0).places == 16


def test_the_noise_of_a_fast_api_is_no_trouble() -> None:
    usual = after(replace(Limit(16), stored_s=0.001), 200, 0.003)
    assert after(usual, 50, 0.02, now=10.0).places == 16


def when_so_many_store(storing: Storing, took_s: Callable[[int, int], float], pages: int = 2000) -> list[int]:
    """Return how many were stored at once, page by page, where that takes so long of so many, at such a page."""
    seen = []
    for number in range(pages):
        storing = was_stored(storing, took_s(storing.places, number), storing.places)
        seen.append(storing.places)
    return seen


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.6])
def test_few_pages_are_stored_at_once_where_they_share_a_processor(noise: float) -> None:
    chance = Random(1)
    seen = when_so_many_store(Storing(16), lambda n, _: 0.01 * n * chance.lognormvariate(0, noise))
    assert sum(seen[100:]) / len(seen[100:]) <= STORING + 1


def test_a_slow_beginning_makes_nobody_quick() -> None:
    chance = Random(1)
    seen = when_so_many_store(
        Storing(16), lambda n, i: 0.01 * n * chance.lognormvariate(0, 0.3) * max(1.0, 2.5 - i / 8), 110
    )
    assert sum(seen) / len(seen) <= STORING + 0.5


@pytest.mark.parametrize("held_up", [range(500, 501), range(500, 508), range(2)])
def test_pages_that_were_held_up_make_nobody_quick(held_up: range) -> None:
    chance = Random(1)

    def took_s(at_once: int, page: int) -> float:
        return 1.0 if page in held_up else 0.005 * at_once * chance.lognormvariate(0, 0.2)

    assert sum(when_so_many_store(Storing(16), took_s, 3000)[-1000:]) / 1000 <= STORING + 1


def test_a_turn_is_waited_for_as_long_as_others_may_need() -> None:
    waits = [replace(Storing(16), recent_s=recent_s).wait_s for recent_s in (0.01, 0.2, 0.5, 30.0)]
    assert waits == [parallel.WAIT_LEAST_S, 1.6, 4.0, parallel.WAIT_MOST_S]


@pytest.mark.parametrize("noise", [0.0, 0.2, 0.5])
def test_many_are_where_the_database_is_far_away(noise: float) -> None:
    """How long each takes may vary: it does not depend on how many they are."""
    chance = Random(1)
    seen = when_so_many_store(Storing(16), lambda _n, _i: 0.2 * chance.lognormvariate(0, noise))
    assert sum(seen[-1000:]) / 1000 > 15


def test_as_many_are_as_the_disk_takes_together() -> None:
    """Four at once are as quick as one, and then they share it."""
    chance = Random(1)
    seen = when_so_many_store(Storing(16), lambda n, _: 0.03 * chance.lognormvariate(0, 0.2) * max(1.0, n / 4))
    assert 4 <= sum(seen[-1000:]) / 1000 <= 7


def test_when_the_database_becomes_busy_they_are_few_again() -> None:
    storing = Storing(16, at_once=16.0, recent_s=0.2, few_s=0.2, pages=parallel.COLD)
    assert when_so_many_store(storing, lambda n, i: 0.1 * n * (1 + (i % 7) / 10), 400)[-1] <= STORING + 1


def test_turns_that_nobody_takes_are_no_reason_for_more() -> None:
    storing = Storing(16)
    for _ in range(100):
        storing = was_stored(storing, 0.2, 1)
    assert storing.places == STORING


def test_a_process_with_one_thread_stores_one_page() -> None:
    assert Storing(1).places == 1


def test_there_is_always_one() -> None:
    limit = replace(Limit(16), requests=1.0)
    assert refused(limit, 5.0).places == 1
    assert Limit(1).places == 1
