"""The ledger: what is owed, what is covered, and figures that no folding, cutting or forgetting takes back."""

from datetime import timedelta

import pytest

from humansync.kinds import KINDS
from humansync.ledger import KindState, Purpose, State, Walk
from humansync.pages import Step
from humansync.plan import Planned
from humansync.store import Store, Totals
from humansync.windows import Window
from tests.factories import START, record, window
from tests.integration.store.ledgers import BACKFILL, KIND, LIVE, SWEEP, commit, done, look, owe, rows

SECOND = timedelta(seconds=1)
LATER = START + timedelta(hours=1)


def read(store: Store, *windows: Window, purpose: Purpose = LIVE, count: int = 0) -> None:
    """Owe windows and read them to the end, each with `count` records."""
    for i, row in enumerate(owe(store, *windows, purpose=purpose)):
        commit(store, row, [record(number=1000 * i + n) for n in range(count)], now=START + i * SECOND)


# --- kinds ----------------------------------------------------------------------------------------


def test_a_kind_nobody_has_planned_has_the_state_of_a_new_one(store: Store) -> None:
    assert store.kind(KIND) == KindState(KIND)
    assert store.kinds() == {name: KindState(name) for name in KINDS}


def test_what_is_set_comes_back(store: Store) -> None:
    store.set_kind(KIND, start=START, paused=True, page_cap=50, last_error="x", last_error_at=LATER, swept_at=LATER)
    expected = KindState(
        KIND, start=START, paused=True, page_cap=50, last_error="x", last_error_at=LATER, swept_at=LATER
    )
    assert store.kind(KIND) == store.kinds()[KIND] == expected
    store.set_kind(KIND, page_cap=None)
    assert store.kind(KIND).page_cap is None


def test_only_facts_about_a_kind_can_be_set(store: Store) -> None:
    with pytest.raises(KeyError):
        store.set_kind(KIND, requests=0)


def test_facts_about_the_installation(store: Store) -> None:
    assert store.meta("simulated") is None
    store.set_meta("simulated", "1")
    store.set_meta("simulated", "0")
    assert store.meta("simulated") == "0"


# --- planning -------------------------------------------------------------------------------------


def test_the_planner_is_shown_coverage_and_unfinished_windows_of_every_purpose(store: Store) -> None:
    read(store, window(0, 10), window(10, 20), window(40, 50))
    owe(store, window(60, 70))
    owe(store, window(0, 10), purpose=SWEEP)
    state, covered, active, density = look(store)
    assert state == KindState(KIND)
    assert covered == [window(0, 20), window(40, 50)]
    assert active == [(window(0, 10), SWEEP), (window(60, 70), LIVE)]
    assert density == 0


def test_planned_windows_come_back_in_the_planners_order(store: Store) -> None:
    wanted = [window(20, 30), window(0, 10), window(10, 20)]
    assert [row.window for row in owe(store, *wanted)] == wanted


def test_a_window_that_is_owed_already_is_not_owed_twice(store: Store) -> None:
    assert len(owe(store, window(0, 10), window(0, 10))) == 1
    assert owe(store, window(0, 10)) == []
    assert len(owe(store, window(0, 10), purpose=BACKFILL)) == 1
    assert len(owe(store, window(0, 10), kind="weights")) == 1


def test_a_window_that_was_done_may_be_owed_again(store: Store) -> None:
    read(store, window(0, 10))
    assert len(owe(store, window(0, 10))) == 1


def test_thousands_of_windows_at_once(store: Store) -> None:
    wanted = [window(i, i + 1) for i in range(3000)]
    assert [row.window for row in owe(store, *wanted)] == wanted


def test_planned_changes_and_requests_are_noted(store: Store) -> None:
    planned = Planned([], {"start": START, "planned_at": LATER}, requests=2)
    store.plan(KIND, lambda *_: planned, START)
    assert (store.kind(KIND).start, store.kind(KIND).planned_at) == (START, LATER)
    assert store.totals()[KIND].requests == 2


def test_a_planner_that_raises_changes_nothing(store: Store) -> None:
    def decide(*_: object) -> Planned:
        raise ZeroDivisionError

    read(store, window(0, 10), window(10, 20))
    with pytest.raises(ZeroDivisionError):
        store.plan(KIND, decide, START)
    assert len(rows(store, "sync_windows")) == 2


# --- folding --------------------------------------------------------------------------------------


# The mechanism: `kind_rows.add` in store/coverage.py, `fold`.
def test_folding_keeps_coverage_and_every_figure(store: Store) -> None:
    read(store, *(window(i, i + 10) for i in range(0, 100, 10)), count=3)
    read(store, window(30, 60), window(200, 210), count=2)
    read(store, window(0, 10), window(10, 20), purpose=SWEEP, count=1)
    before = store.totals()[KIND]
    assert before.done == 14
    look(store)
    assert [(row["purpose"], row["since"], row["before"]) for row in rows(store, "sync_windows")] == [
        ("live", window(0, 100).since, window(0, 100).before),
        ("live", window(200, 210).since, window(200, 210).before),
        ("sweep", window(0, 20).since, window(0, 20).before),
    ]
    assert store.totals()[KIND] == before
    assert store.coverage(KIND) == [window(0, 100), window(200, 210)]
    assert store.coverage(KIND, SWEEP) == [window(0, 20)]
    look(store)
    assert store.totals()[KIND] == before


def test_the_ledger_stays_small_while_windows_go_by(store: Store) -> None:
    for i in range(30):
        read(store, window(i, i + 5), count=1)
    look(store)
    assert len(rows(store, "sync_windows")) == 1
    assert (store.totals()[KIND].done, store.totals()[KIND].requests) == (30, 30)


def test_density_is_that_of_recent_windows_and_survives_folding(store: Store) -> None:
    assert store.density(KIND) is None
    read(store, window(0, 1), window(1, 2), count=30)
    read(store, window(2, 4))
    assert store.density(KIND) == pytest.approx(0.25, rel=0.02)  # 60 rows in 4 minutes, the older ones fading
    look(store)
    assert store.density(KIND) == look(store)[3] == pytest.approx(0.25, rel=0.02)


def test_density_follows_what_comes(store: Store) -> None:
    read(store, *(window(i, i + 1) for i in range(20)), count=6)
    look(store)
    read(store, *(window(i, i + 1) for i in range(100, 150)), count=60)
    assert store.density(KIND) == pytest.approx(1.0)
    look(store)
    assert store.density(KIND) == pytest.approx(1.0)


# --- coverage -------------------------------------------------------------------------------------


def test_coverage_from_an_instant_ends_at_the_first_gap(store: Store) -> None:
    read(store, window(20, 30), window(0, 10), window(5, 20), window(31, 40))
    assert store.coverage_from(KIND, window(0, 1).since) == window(0, 30).before
    assert store.coverage_from(KIND, window(12, 13).since) == window(0, 30).before
    assert store.coverage_from(KIND, window(30, 31).since) == window(30, 31).since
    assert store.coverage_from(KIND, window(31, 32).since) == window(31, 40).before
    assert store.coverage_from(KIND, window(90, 91).since) == window(90, 91).since


def test_coverage_from_an_instant_follows_long_chains(store: Store) -> None:
    read(store, *(window(i, i + 1) for i in range(200)), window(300, 301))
    assert store.coverage_from(KIND, START) == window(0, 200).before


def test_only_live_windows_count_as_live_coverage(store: Store) -> None:
    read(store, window(0, 10), purpose=BACKFILL)
    assert store.coverage(KIND) == []
    assert store.coverage(KIND, BACKFILL) == [window(0, 10)]
    assert store.coverage_from(KIND, START) == START


# --- owed work ------------------------------------------------------------------------------------


def test_owed_work_is_what_nobody_has_touched_for_long(store: Store) -> None:
    first, second, third = owe(store, window(0, 10), window(10, 20), window(20, 30))
    commit(store, third)
    assert store.owed(LATER, START, 10) == []
    assert [row.id for row in store.owed(LATER, START + SECOND, 10)] == [first.id, second.id]
    store.touch([first.id], START + 2 * SECOND)
    assert [row.id for row in store.owed(LATER, START + SECOND, 10)] == [second.id]
    assert [row.id for row in store.owed(LATER, LATER, 1)] == [second.id]


def test_owed_work_waits_for_its_time(store: Store) -> None:
    (row,) = owe(store, window())
    store.fail(row, error="x", now=START, not_before=LATER, state=State.OWED)
    assert store.owed(LATER - SECOND, LATER, 10) == []
    assert len(store.owed(LATER, LATER, 10)) == 1


def test_parked_windows_come_back_when_their_time_has_come(store: Store) -> None:
    first, second = owe(store, window(0, 10), window(10, 20))
    store.fail(first, error="x", now=START, not_before=LATER, state=State.FAILED)
    store.fail(second, error="x", now=START, not_before=None, state=State.FAILED)
    assert store.owed(LATER - SECOND, LATER, 10) == []
    assert [row.id for row in store.owed(LATER, LATER, 10)] == [first.id]


@pytest.mark.parametrize("changes", [{"paused": True}, {"disabled": "404"}])
def test_nothing_is_due_of_a_kind_that_stands_still(store: Store, changes: dict[str, object]) -> None:
    owe(store, window())
    owe(store, window(), kind="weights")
    store.set_kind(KIND, **changes)
    assert [row.kind for row in store.owed(LATER, LATER, 10)] == ["weights"]


def test_parking_everything_and_owing_it_again(store: Store) -> None:
    row, other = owe(store, window(0, 10), window(10, 20))
    (weight,) = owe(store, window(), kind="weights")
    commit(store, other)
    assert store.park_all("401", now=START, not_before=LATER) == 2
    assert store.totals()[KIND].failed == store.totals()["weights"].failed == 1
    assert store.kind(KIND).last_error == store.kind("weights").last_error == "401"
    # a page that was in flight is still good
    commit(store, weight, [record("weights")])
    (again,) = store.unpark(KIND)
    assert (again.id, again.state, again.attempts, again.not_before) == (row.id, State.OWED, 0, None)
    assert store.row(row.id) == (again, store.kind(KIND))


# --- forgetting -----------------------------------------------------------------------------------


def test_dropping_windows_leaves_coverage_and_figures(store: Store) -> None:
    read(store, window(0, 10), count=1)
    (row,) = owe(store, window(10, 20))
    commit(store, row, [record()], lambda _: Step(State.WALKING, Walk(offset=1), ""))
    owe(store, window(0, 10), purpose=BACKFILL)
    before = store.totals()[KIND]
    assert store.drop_windows(KIND, BACKFILL) == 1
    assert store.drop_windows(KIND) == 1
    assert store.coverage(KIND) == [window(0, 10)]
    after = store.totals()[KIND]
    assert (after.requests, after.rows, after.changed, after.done) == (
        before.requests,
        before.rows,
        before.changed,
        before.done,
    )
    assert (after.owed, after.walking, after.active) == (0, 0, {})


def test_disabling_a_kind_drops_what_it_owes(store: Store) -> None:
    owe(store, window())
    store.disable(KIND, "404", LATER)
    assert (store.kind(KIND).disabled, store.kind(KIND).disabled_at) == ("404", LATER)
    assert rows(store, "sync_windows") == []


def test_reset_forgets_live_coverage_after_an_instant_and_keeps_the_figures(store: Store) -> None:
    store.set_kind(KIND, start=START + 600 * SECOND)
    read(store, window(0, 10), window(10, 30), window(30, 40), window(50, 60), count=1)
    look(store)
    read(store, window(60, 70), count=1)
    read(store, window(20, 60), purpose=SWEEP, count=1)
    (live,) = owe(store, window(70, 80))
    owe(store, window(70, 80), purpose=BACKFILL)
    before = store.totals()[KIND]
    store.reset(KIND, window(25, 26).since + timedelta(milliseconds=5))
    assert store.coverage(KIND) == [window(0, 25)]
    assert store.coverage(KIND, SWEEP) == [window(20, 60)]
    assert store.row(live.id) is None
    assert [purpose for _, purpose in look(store)[2]] == [BACKFILL]
    assert store.kind(KIND).start == START + 600 * SECOND
    after = store.totals()[KIND]
    assert (after.done, after.requests, after.rows) == (before.done, before.requests, before.rows)
    store.reset(KIND, START)
    assert store.kind(KIND).start == START
    assert store.coverage(KIND) == []
    assert store.totals()[KIND].done == before.done


# --- figures --------------------------------------------------------------------------------------


def test_figures_of_a_new_database(store: Store) -> None:
    assert store.totals() == {name: Totals() for name in KINDS}


def test_figures(store: Store) -> None:
    read(store, window(0, 10), count=4)
    first, second = owe(store, window(10, 20), window(20, 30))
    commit(store, first, [record(number=1), "junk"], lambda _: Step(State.WALKING, Walk(offset=2), ""))
    store.fail(second, error="x", now=START, not_before=None, state=State.FAILED)
    owe(store, window(20, 30), purpose=BACKFILL)
    assert store.totals()[KIND] == Totals(
        records=4,
        owed=1,
        walking=1,
        failed=1,
        done=1,
        done_at=START,
        requests=3,
        rows=6,
        changed=4,
        rejected=1,
        active={LIVE: 1, BACKFILL: 1},
    )
    assert store.totals(records=False)[KIND].records == 0


def test_done_at_is_the_latest_and_survives_folding(store: Store) -> None:
    read(store, window(0, 10), window(10, 20), window(20, 30))
    assert store.totals()[KIND].done_at == START + 2 * SECOND
    look(store)
    assert store.totals()[KIND].done_at == START + 2 * SECOND


def test_a_window_trimmed_at_its_end_is_covered_up_to_there(store: Store) -> None:
    (row,) = owe(store, window(0, 10))
    commit(store, row, settle=done(window=window(0, 9)))
    assert store.coverage_from(KIND, START) == window(0, 9).before


def test_a_dropped_window_leaves_what_it_cost_and_can_be_owed_again(store: Store) -> None:
    (row,) = owe(store, window(0, 10))
    step, following = commit(store, row, settle=lambda _: Step(State.OWED, Walk(), "not over", dropped=True))
    assert (step.dropped, following, rows(store, "sync_windows")) == (True, [], [])
    assert store.totals()[KIND].requests == 1
    assert len(owe(store, window(0, 10))) == 1
