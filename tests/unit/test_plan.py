"""What a kind owes follows from coverage alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humansync import plan
from humansync.ledger import KindState, Purpose
from humansync.windows import Window, gaps, merge

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = plan.Policy(settle_s=120, overlap_s=900, since="30d")
HORIZON = NOW - timedelta(seconds=120)
START = NOW - timedelta(days=10)
STATE = KindState("activities", start=START, swept_at=NOW)


def live(
    state: KindState, coverage: list[Window], active: list[Window], now: datetime = NOW, step_s: float = 5
) -> list[Window]:
    planned = plan.live(state, coverage, active, POLICY, now, step_s=step_s)
    return [window for window, purpose in planned.windows if purpose is Purpose.LIVE]


def test_a_kind_with_no_cursor_begins_as_far_back_as_the_setting_says() -> None:
    planned = plan.live(KindState("activities"), [], [], POLICY, NOW, step_s=5)
    assert planned.windows == [(Window(NOW - timedelta(days=30), HORIZON), Purpose.LIVE)]
    assert planned.changes["start"] == NOW - timedelta(days=30)


def test_a_start_far_in_the_apis_future_is_found_anew_unless_something_was_read_from_there() -> None:
    """A clock that ran ahead has found it: nothing would be owed until that time has come."""
    ahead = replace(STATE, start=NOW + timedelta(days=2))
    planned = plan.live(ahead, [], [], POLICY, NOW, step_s=5)
    assert planned.windows == [(Window(NOW - timedelta(days=30), HORIZON), Purpose.LIVE)]
    assert planned.changes["start"] == NOW - timedelta(days=30)
    read = Window(ahead.start, ahead.start + timedelta(hours=1)) if ahead.start else None
    assert read is not None
    for coverage, active in (([read], []), ([], [read])):
        assert plan.live(ahead, coverage, active, POLICY, NOW, step_s=5) == plan.Planned()
    for seconds in (-60, 90):  # nothing of it is settled yet, or clocks differ a little: what was asked for stays
        asked_for = replace(STATE, start=NOW + timedelta(seconds=seconds))
        assert plan.live(asked_for, [], [], POLICY, NOW, step_s=5) == plan.Planned()


def test_a_second_look_that_a_clock_which_ran_ahead_put_off_is_due_a_day_from_now() -> None:
    coverage = [Window(START, HORIZON)]
    planned = plan.live(replace(STATE, swept_at=NOW + timedelta(days=9)), coverage, [], POLICY, NOW, step_s=5)
    assert (planned.windows, planned.changes) == ([], {"swept_at": NOW})
    later = NOW + plan.SWEEP_EVERY
    again = plan.live(replace(STATE, swept_at=NOW), coverage, [], POLICY, later, step_s=5)
    assert Purpose.SWEEP in {purpose for _, purpose in again.windows}


@pytest.mark.section9(14)
def test_an_idle_kind_owes_one_window_from_the_overlap_behind_its_cursor() -> None:
    cursor = NOW - timedelta(seconds=600)
    assert live(STATE, [Window(START, cursor)], []) == [Window(cursor - timedelta(seconds=900), HORIZON)]


def test_a_second_call_at_the_same_time_owes_nothing() -> None:
    assert live(STATE, [Window(START, HORIZON)], []) == []
    assert live(STATE, [], [Window(START, HORIZON)]) == []


def test_less_new_time_than_a_step_is_left_to_the_next_pass() -> None:
    coverage = [Window(START, HORIZON - timedelta(seconds=4))]
    assert live(STATE, coverage, [], step_s=5) == []
    assert len(live(STATE, coverage, [], step_s=1)) == 1


def test_a_step_is_owed_where_nothing_is_covered_or_something_follows_it() -> None:
    beginning = HORIZON - timedelta(seconds=4)
    assert live(replace(STATE, start=beginning), [], []) == [Window(beginning, HORIZON)]
    coverage = [Window(START, beginning), Window(HORIZON - timedelta(seconds=1), HORIZON)]
    assert live(STATE, coverage, []) == [Window(beginning - timedelta(seconds=900), HORIZON - timedelta(seconds=1))]


def test_a_gap_behind_a_window_that_was_cut_short_reaches_back_as_well() -> None:
    """What came late before the gap is seen from here, or not at all."""
    hole = Window(HORIZON - timedelta(seconds=400), HORIZON - timedelta(seconds=300))
    coverage = [Window(START, hole.since), Window(hole.before, HORIZON)]
    assert live(STATE, coverage, []) == [Window(hole.since - timedelta(seconds=900), hole.before)]


def test_nothing_is_owed_before_the_beginning() -> None:
    hole = Window(START, START + timedelta(days=1))
    assert live(STATE, [Window(hole.before, HORIZON)], []) == [hole]


def test_new_data_are_owed_while_history_is_still_under_way() -> None:
    history = Window(START, NOW - timedelta(hours=1))
    assert live(STATE, [], [history]) == [Window(history.before - timedelta(seconds=900), HORIZON)]


def test_a_paused_kind_owes_nothing() -> None:
    assert live(replace(STATE, paused=True), [], []) == []


@pytest.mark.section9(34)
def test_a_disabled_kind_is_asked_again_after_a_day() -> None:
    disabled = replace(STATE, disabled="404", disabled_at=NOW - timedelta(hours=23))
    assert live(disabled, [], []) == []
    planned = plan.live(disabled, [], [], POLICY, NOW + timedelta(hours=2), step_s=5)
    assert planned.windows
    assert planned.changes["disabled"] is None


@pytest.mark.section9(6, 14)
def test_recent_days_are_read_again_once_a_day() -> None:
    swept = replace(STATE, swept_at=NOW - timedelta(days=1))
    planned = plan.live(swept, [Window(START, HORIZON)], [], POLICY, NOW, step_s=5)
    assert planned.windows == [(Window(HORIZON - timedelta(days=3), HORIZON), Purpose.SWEEP)]
    assert planned.changes["swept_at"] == NOW
    assert (planned.changes["page_cap"], planned.changes["largest_page"]) == (None, 0)


@pytest.mark.section9(6)
@pytest.mark.parametrize("kind", ["activities", "genetic_traits"])
def test_what_is_known_of_a_servers_pages_is_forgotten_once_a_day(kind: str) -> None:
    """The server may have changed: a full page of today may be shorter than those of yesterday."""
    state = KindState(kind, start=START, swept_at=NOW - timedelta(hours=23), page_cap=100, largest_page=500)
    for after, forgotten in ((0, {}), (1, {"page_cap": None, "largest_page": 0})):
        now = NOW + timedelta(hours=after)
        changes = plan.live(state, [], [], POLICY, now, step_s=5).changes
        assert changes == ({"swept_at": now, **forgotten} if forgotten else {})
    assert plan.live(KindState(kind), [], [], POLICY, NOW, step_s=5).changes["swept_at"] == NOW


def test_a_collection_without_times_makes_one_pass_at_a_time() -> None:
    traits = KindState("genetic_traits")
    first = plan.live(traits, [], [], POLICY, NOW, step_s=5).windows
    assert first == [(Window(HORIZON - timedelta(days=30), HORIZON), Purpose.LIVE)]
    assert plan.live(traits, [], [first[0][0]], POLICY, NOW, step_s=5).windows == []
    assert plan.live(traits, [first[0][0]], [], POLICY, NOW, step_s=5).windows == []


hours = st.integers(0, 10 * 24)
spans = st.lists(st.tuples(hours, st.integers(1, 48)), max_size=8).map(
    lambda pairs: [Window(START + timedelta(hours=a), START + timedelta(hours=a + b)) for a, b in pairs]
)


@pytest.mark.section9(10)
@given(spans, spans)
def test_covered_under_way_and_owed_make_the_whole(coverage: list[Window], active: list[Window]) -> None:
    """Nothing between the start and the horizon is forgotten, and no window is over 30 days."""
    owed = live(STATE, merge(coverage), active, step_s=1)
    assert gaps(Window(START, HORIZON), [*coverage, *active, *owed]) == []
    assert all(window.before - window.since <= timedelta(days=30) for window in owed)
    assert all(window.before <= HORIZON for window in owed)


def test_no_window_is_wider_than_the_api_serves() -> None:
    """Switch off `split_by_width` in `_owed` or in `backfill` and this fails."""
    year = Window(HORIZON - timedelta(days=365), HORIZON)
    asked = [window for window, _ in plan.backfill(year, [], POLICY, NOW).windows]
    for windows in (live(replace(STATE, start=year.since), [], []), asked):
        assert merge(windows) == [year]
        assert max(window.seconds for window in windows) <= timedelta(days=30).total_seconds()


@given(spans, spans)
def test_planning_twice_is_planning_once(coverage: list[Window], active: list[Window]) -> None:
    owed = live(STATE, merge(coverage), active)
    assert live(STATE, merge(coverage), [*active, *owed]) == []


@given(spans, st.integers(1, 240))
def test_a_backfill_owes_its_range_less_what_is_under_way(active: list[Window], length: int) -> None:
    bounds = Window(START, START + timedelta(hours=length))
    owed = [window for window, _ in plan.backfill(bounds, active, POLICY, NOW).windows]
    assert merge(owed) == gaps(Window(bounds.since, min(bounds.before, HORIZON)), active)


def test_a_backfill_never_ends_in_the_unsettled_present() -> None:
    planned = plan.backfill(Window(NOW - timedelta(hours=1), NOW + timedelta(hours=1)), [], POLICY, NOW)
    assert [window.before for window, _ in planned.windows] == [HORIZON]


def test_the_cursor_is_the_end_of_the_gapless_prefix() -> None:
    coverage = [Window(START, START + timedelta(days=1)), Window(START + timedelta(days=2), HORIZON)]
    assert plan.cursor(STATE, coverage) == START + timedelta(days=1)
    assert plan.cursor(KindState("activities"), coverage) is None


@pytest.mark.parametrize(
    ("age", "purpose", "first"),
    [
        (timedelta(minutes=2), Purpose.LIVE, True),
        (timedelta(days=1), Purpose.LIVE, True),
        (timedelta(days=1, seconds=1), Purpose.LIVE, False),  # a first load of years does not hold up other kinds
        (timedelta(minutes=2), Purpose.SWEEP, False),
        (timedelta(minutes=2), Purpose.BACKFILL, False),
    ],
)
def test_only_passes_over_recent_time_go_before_history(age: timedelta, purpose: Purpose, first: bool) -> None:
    assert plan.is_live(Window(NOW - timedelta(days=9), NOW - age), purpose, NOW) is first
