"""The page reader against a model of the API: every reading of bounds, order, headers and caps."""

import math
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from humansync import pages
from humansync.errors import FilterIgnored, Uncertain
from humansync.ledger import KindState, Purpose, State, Walk, WindowRow
from humansync.windows import SECOND, Window
from tests.unit.reader_model import NOW, SETTLE_S, ModelApi, read, spread

MONTH = Window(NOW - timedelta(days=30, hours=1), NOW - timedelta(hours=1))
HOT = Window(NOW - timedelta(hours=2), NOW - timedelta(hours=2) + SECOND)
ORDERS = ["event-desc", "updated-asc", "updated-desc", "per-user"]


def missing(api: ModelApi, stored: dict[str, object], window: Window) -> list[str]:
    return [i for i, updated in api.rows.items() if window.since <= updated < window.before and i not in stored]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    count=st.integers(0, 2500),
    seed=st.integers(0, 10_000),
    order=st.sampled_from([*ORDERS, "shuffled"]),
    since_inclusive=st.booleans(),
    before_inclusive=st.booleans(),
    truncates=st.booleans(),
    cap=st.sampled_from([500, 500, 100, 50]),
    with_total=st.booleans(),
    with_link=st.booleans(),
    wrong_total=st.sampled_from([0, 0, 7, -3, 400, -400]),
    departures=st.sampled_from([0, 0, 1, 3]),
    shortened=st.sampled_from([0.0, 0.0, 0.2]),
)
@example(  # a capped page after a step back was taken for the end
    count=1115,
    seed=500,
    order="shuffled",
    since_inclusive=False,
    before_inclusive=False,
    truncates=False,
    cap=50,
    with_total=False,
    with_link=False,
    wrong_total=0,
    departures=0,
    shortened=0.0,
)
def test_no_row_that_stays_is_ever_missed(count: int, seed: int, departures: int, **switches: object) -> None:
    api = ModelApi(spread(count, MONTH, seed), seed=seed, departures=departures, **switches)  # type: ignore[arg-type] # drawn by name
    reading = read(api, MONTH)
    assert reading.covered == [MONTH]
    assert missing(api, dict(reading.stored), MONTH) == []


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("departures", [0, 1, 5, 20])
def test_a_second_that_holds_many_pages_is_walked_without_loss(order: str, departures: int) -> None:
    """Switch off the overlap (`_walk_on`: overlap 0) or the anchor (`_step_back`) and rows are lost here."""
    for seed in range(3):
        api = ModelApi(spread(3000, HOT, seed), seed=seed, order=order, departures=departures)
        reading = read(api, HOT)
        assert missing(api, dict(reading.stored), HOT) == []
        assert reading.covered == [HOT]


def test_a_hot_second_in_changing_order_is_read_until_nothing_new_comes() -> None:
    for seed in range(5):
        api = ModelApi(spread(1500, HOT, seed), seed=seed, order="shuffled")
        reading = read(api, HOT)
        assert missing(api, dict(reading.stored), HOT) == []


@pytest.mark.parametrize("count", [10, 480, 501, 1000, 1500, 2000, 2500, 10_000, 20_000])
@pytest.mark.parametrize("order", ["event-desc", "updated-asc"])
@pytest.mark.parametrize("with_total", [False, True])
def test_evenly_spread_rows_cost_few_requests(count: int, order: str, with_total: bool) -> None:
    api = ModelApi(spread(count, MONTH), order=order, with_total=with_total)
    assert read(api, MONTH).requests <= 1.3 * math.ceil(count / 500) + 2


def test_known_density_costs_a_page_and_a_ninth() -> None:
    api = ModelApi(spread(20_000, MONTH))
    reading = read(api, MONTH, density=20_000 / MONTH.seconds, largest_page=500)
    assert reading.requests <= 1.15 * 40


def test_an_idle_window_costs_one_request() -> None:
    assert read(ModelApi({}), MONTH).requests == 1
    assert read(ModelApi(spread(19, MONTH)), MONTH).requests == 1


def test_a_burst_in_a_quiet_month_is_found_without_a_flood_of_requests() -> None:
    burst = Window(NOW - timedelta(days=20), NOW - timedelta(days=20) + timedelta(seconds=30))
    api = ModelApi(spread(3000, burst))
    reading = read(api, MONTH)
    assert missing(api, dict(reading.stored), MONTH) == []
    assert reading.requests < 200


def test_a_collection_without_times_in_changing_order_and_small_pages_is_read_all_the_same() -> None:
    for seed in range(2):
        api = ModelApi(spread(600, HOT, seed), seed=seed, order="shuffled", cap=50)
        reading = read(api, HOT, kind="genetic_traits")
        assert missing(api, dict(reading.stored), HOT) == []
        # about 20 passes of 24 pages; where a missing anchor sent the reader back, half as many again
        assert reading.requests < 400


def row(window: Window) -> WindowRow:
    return WindowRow(1, "activities", window, Purpose.LIVE, State.OWED, 0)


def test_rows_outside_the_bounds_stop_the_kind() -> None:
    for outside in (MONTH.since - timedelta(seconds=3), MONTH.before + timedelta(seconds=2)):
        facts = pages.Facts(1, ["a"], [outside], NOW)
        with pytest.raises(FilterIgnored):
            pages.settle(row(MONTH), KindState("activities"), facts, settle_s=SETTLE_S)


def test_adjoining_windows_overlap_by_a_second() -> None:
    ask = pages.request(row(MONTH), KindState("activities"))
    assert (ask.since, ask.before) == (MONTH.since - SECOND, MONTH.before)


def test_a_window_ends_no_closer_to_the_apis_clock_than_the_settle_delay() -> None:
    """The local clock may be wrong: what counts is the clock the answer carries."""
    api_time = MONTH.before + timedelta(seconds=SETTLE_S - 30)
    step = pages.settle(row(MONTH), KindState("activities"), pages.Facts(0, [], [], api_time), settle_s=SETTLE_S)
    assert step.window == Window(MONTH.since, MONTH.before - timedelta(seconds=30))
    facts = pages.Facts(0, [], [], MONTH.since)
    with pytest.raises(Uncertain):
        pages.settle(row(MONTH), KindState("activities"), facts, settle_s=SETTLE_S)


def test_a_short_page_that_could_be_a_cap_is_confirmed() -> None:
    """499 of 500, or 100 where nothing longer was ever seen, may be all the server gives."""
    names = [f"{i}" for i in range(500)]
    for received, largest in ((499, 500), (100, 0), (100, 100)):
        facts = pages.Facts(received, names[:received], [MONTH.since] * received, NOW)
        step = pages.settle(row(MONTH), KindState("activities", largest_page=largest), facts, settle_s=SETTLE_S)
        assert step.state is State.WALKING
    facts = pages.Facts(100, names[:100], [MONTH.since] * 100, NOW)
    step = pages.settle(row(MONTH), KindState("activities", largest_page=104), facts, settle_s=SETTLE_S)
    assert step.state is State.DONE


def test_an_anchor_that_moved_to_the_end_proves_no_walk_complete() -> None:
    """Rows of a kind read whole move when they change; switch off the clause on WHOLE in `_next_page`."""
    walk = Walk(offset=400, overlap=50, anchor=("a", "b", "c"), misses=1, began_at=NOW)
    row = WindowRow(1, "genetic_traits", MONTH, Purpose.LIVE, State.WALKING, 3, walk)
    # 300 rows moved, "b" among them: what is found of the anchor stands behind rows that were skipped over
    facts = pages.Facts(3, ["x", "y", "b"], [], NOW)
    step = pages.settle(row, KindState("genetic_traits", largest_page=500), facts, settle_s=SETTLE_S)
    assert (step.state, step.walk.unstable, step.why) == (State.WALKING, True, "order changes: another pass")


@pytest.mark.parametrize("cap", [500, 250, 50])
@pytest.mark.parametrize("kind", ["activities", "genetic_traits"])
def test_pages_that_are_short_by_a_few_rows_do_not_end_a_read(cap: int, kind: str) -> None:
    """Switch off `_nearly_full` (return False) and rows are lost here."""
    for seed in range(10):
        api = ModelApi(spread(1300, HOT, seed), seed=seed, cap=cap, shortened=0.3)
        assert missing(api, dict(read(api, HOT, kind=kind).stored), HOT) == []


def test_the_first_page_of_a_collection_without_times_tells_whether_to_read_on() -> None:
    names = [f"{i}" for i in range(500)]
    facts = pages.Facts(500, names, [], NOW, fresh=0)
    traits = WindowRow(1, "genetic_traits", MONTH, Purpose.LIVE, State.OWED, 0)
    recent = KindState("genetic_traits", largest_page=500, whole_read_at=NOW - timedelta(hours=1))
    assert pages.settle(traits, recent, facts, settle_s=SETTLE_S).state is State.DONE
    old = KindState("genetic_traits", largest_page=500, whole_read_at=NOW - timedelta(days=2))
    assert pages.settle(traits, old, facts, settle_s=SETTLE_S).state is State.WALKING


def test_a_whole_collection_is_walked_and_its_read_dated_by_its_beginning() -> None:
    api = ModelApi(spread(1700, MONTH))
    ends = []
    reading = read(api, MONTH, kind="genetic_traits", on_step=lambda _row, step: ends.append(step))
    assert len(reading.stored) >= 1700 - 5
    assert ends[-1].stale_before == ends[-1].whole_read_at == NOW
