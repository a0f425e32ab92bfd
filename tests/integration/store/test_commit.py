"""A page and what it means for its window: one transaction, fenced by the window's epoch."""

from datetime import timedelta
from itertools import groupby
from typing import Any

import pytest
import sqlalchemy as sa

from humansync.errors import StaleEpoch, Uncertain
from humansync.kinds import KINDS
from humansync.ledger import Purpose, State, Walk, WindowRow
from humansync.pages import Step
from humansync.records import parse
from humansync.store import Store
from humansync.windows import Window
from tests.factories import START, record, window
from tests.integration.store.ledgers import KIND, LIVE, SWEEP, commit, done, everything, owe, put, rows

SECOND = timedelta(seconds=1)
WALK = Walk(
    lower=START + SECOND,
    offset=475,
    limit=250,
    overlap=25,
    anchor=("a", "b\x1fc"),
    number=2,
    fresh=7,
    began_at=START + timedelta(milliseconds=1),
    misses=1,
    unstable=True,
    quiet=3,
)


def walking(walk: Walk = WALK, **facts: Any) -> Step:
    return Step(State.WALKING, walk, "", **facts)


def only(store: Store) -> dict[str, Any]:
    (row,) = rows(store, "sync_windows")
    return row


def test_a_done_window_carries_what_it_cost_and_brought(store: Store) -> None:
    (row,) = owe(store, window())
    page = [record(number=1), record(number=2), record(number=2), "junk"]
    now, read_at = START + 5 * SECOND, START + SECOND
    step, on = commit(store, row, page, done(read_at=read_at), now)
    assert (step.state, on) == (State.DONE, [])
    stored = only(store)
    assert (stored["state"], stored["epoch"], stored["walk"]) == ("done", 1, {})
    assert [stored[name] for name in ("requests", "rows", "changed", "rejected")] == [1, 4, 2, 1]
    assert (stored["done_at"], stored["touched_at"], stored["read_at"]) == (now, now, read_at)
    assert store.coverage(KIND) == [window()]


def test_a_walking_window_remembers_its_way_and_is_handed_back(store: Store) -> None:
    (row,) = owe(store, window())
    _, (on,) = commit(store, row, [record()], lambda _: walking())
    assert (on.id, on.state, on.walk, on.epoch) == (row.id, State.WALKING, WALK, 1)
    found = store.row(row.id)
    assert found is not None
    assert found[0] == on


def test_figures_of_several_pages_add_up(store: Store) -> None:
    (row,) = owe(store, window())
    _, (row,) = commit(store, row, [record(number=i) for i in range(3)], lambda _: walking())
    commit(store, row, [record(number=i) for i in range(2, 6)])
    assert [only(store)[name] for name in ("requests", "rows", "changed")] == [2, 7, 6]


def test_the_number_of_changed_rows_decides(store: Store) -> None:
    (row,) = owe(store, window())
    seen: list[int] = []

    def settle(changed: int) -> Step:
        seen.append(changed)
        return Step(State.DONE, Walk(), "")

    put(store, [record(number=1)])
    commit(store, row, [record(number=1), record(number=2)], settle)
    assert seen == [1]


def test_a_window_may_shrink_while_it_becomes_done(store: Store) -> None:
    (row,) = owe(store, window(0, 60))
    commit(store, row, settle=done(window=window(0, 50)))
    assert store.coverage(KIND) == [window(0, 50)]


def test_a_peeled_part_is_done_and_the_rest_goes_on(store: Store) -> None:
    (row,) = owe(store, window(0, 60))
    _, (row,) = commit(store, row, [record(number=1)], lambda _: walking())
    step = walking(Walk(), window=window(0, 50), done=window(50, 60))
    _, (on,) = commit(store, row, [record(number=2), record(number=3)], lambda _: step)
    assert on.window == window(0, 50)
    assert store.coverage(KIND) == [window(50, 60)]
    assert [(each["state"], each["requests"], each["rows"]) for each in rows(store, "sync_windows")] == [
        ("walking", 1, 1),
        ("done", 1, 2),
    ]


def test_children_take_the_windows_place_and_its_figures_stay(store: Store) -> None:
    (row,) = owe(store, window(0, 60), purpose=SWEEP)
    parts = (window(30, 60), window(0, 30))
    _, on = commit(store, row, [record(), None], lambda _: Step(State.OWED, Walk(), "", children=parts))
    assert [each.window for each in on] == list(parts)
    assert {each.purpose for each in on} == {Purpose.SWEEP}
    assert store.row(row.id) is None
    totals = store.totals()[KIND]
    assert (totals.requests, totals.rows, totals.changed, totals.rejected) == (1, 2, 1, 1)
    assert (totals.owed, totals.done) == (2, 0)


def test_a_pilot_is_done_and_the_rest_cut(store: Store) -> None:
    (row,) = owe(store, window(0, 60))
    _, (row,) = commit(store, row, [record(number=1)], lambda _: walking())
    step = Step(State.OWED, Walk(), "", done=window(50, 60), children=(window(0, 25), window(25, 50)))
    _, on = commit(store, row, [record(number=2)], lambda _: step)
    assert [each.window for each in on] == [window(0, 25), window(25, 50)]
    assert store.coverage(KIND) == [window(50, 60)]
    totals = store.totals()[KIND]
    assert (totals.requests, totals.rows, totals.owed, totals.done) == (2, 2, 2, 1)


def test_a_child_that_is_owed_already_is_not_owed_twice(store: Store) -> None:
    row, _ = owe(store, window(0, 60), window(30, 60))
    _, on = commit(store, row, settle=lambda _: Step(State.OWED, Walk(), "", children=(window(0, 30), window(30, 60))))
    assert [each.window for each in on] == [window(0, 30)]
    assert len(rows(store, "sync_windows")) == 2


@pytest.mark.section9(6)
def test_what_a_page_teaches_is_noted_with_it(store: Store) -> None:
    row, other = owe(store, window(0, 60), window(60, 120))
    commit(store, row, settle=done(cap=100, largest=100))
    assert (store.kind(KIND).page_cap, store.kind(KIND).largest_page) == (100, 100)
    commit(store, other, settle=done(largest=50))
    assert store.kind(KIND).largest_page == 100


# --- the fence ------------------------------------------------------------------------------------


# The mechanism: `_FENCE` in store/windows.py, and the transaction of `Store.commit`.
@pytest.mark.parametrize(
    "step",
    [
        Step(State.DONE, Walk(), ""),
        walking(),
        walking(window=window(0, 50), done=window(50, 60), cap=7, largest=7),
        Step(State.OWED, Walk(), "", children=(window(0, 30), window(30, 60))),
        Step(State.OWED, Walk(), "", children=(window(0, 30),), done=window(30, 60)),
    ],
)
def test_a_late_commit_leaves_nothing_behind(store: Store, step: Step) -> None:
    (row,) = owe(store, window())
    commit(store, row, [record(number=1)], lambda _: walking())
    before = everything(store)
    with pytest.raises(StaleEpoch):
        commit(store, row, [record(number=2), "junk"], lambda _: step)
    assert everything(store) == before


def test_a_window_that_is_done_or_gone_takes_no_commit(store: Store) -> None:
    first, second = owe(store, window(0, 60), window(60, 120))
    commit(store, first)
    found = store.row(first.id)
    assert found is not None
    for row in (first, found[0]):
        with pytest.raises(StaleEpoch):
            commit(store, row, [record()])
    store.drop_windows(KIND)
    with pytest.raises(StaleEpoch):
        commit(store, second, [record()])
    assert rows(store) == []


def test_a_failure_is_fenced_too(store: Store) -> None:
    (row,) = owe(store, window())
    fail(store, row)
    before = everything(store)
    with pytest.raises(StaleEpoch):
        fail(store, row)
    assert everything(store) == before


def test_shrinking_onto_another_windows_bounds_waits_for_that_one(store: Store) -> None:
    row, other = owe(store, window(0, 60), window(0, 30))
    step = walking(window=window(0, 30), done=window(30, 60))
    before = everything(store)
    with pytest.raises(StaleEpoch):
        commit(store, row, [record()], lambda _: step)
    assert everything(store) == before
    commit(store, other)
    commit(store, row, [record()], lambda _: step)
    assert store.coverage(KIND) == [window(0, 60)]


# --- all or nothing -------------------------------------------------------------------------------


def test_a_decision_that_raises_undoes_the_page(store: Store) -> None:
    (row,) = owe(store, window())
    before = everything(store)

    def settle(_: int) -> Step:
        raise Uncertain("no")

    with pytest.raises(Uncertain):
        commit(store, row, [record(), "junk"], settle)
    assert everything(store) == before


@pytest.mark.parametrize("table", [KIND, "rejected_records", "sync_kinds", "sync_windows"])
def test_a_death_after_any_statement_leaves_nothing_behind(store: Store, table: str) -> None:
    (row,) = owe(store, window())
    before = everything(store)

    def die(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.split("WHERE", maxsplit=1)[0].replace('"', "").split(table)[0].split() in (
            ["INSERT", "INTO"],
            ["UPDATE"],
        ):
            raise KeyboardInterrupt

    sa.event.listen(store.engine, "after_cursor_execute", die)
    with pytest.raises(KeyboardInterrupt):
        commit(store, row, [record(), "junk"], done(largest=1))
    sa.event.remove(store.engine, "after_cursor_execute", die)
    assert everything(store) == before
    commit(store, row, [record(), "junk"], done(largest=1))
    assert len(rows(store)) == len(rows(store, "rejected_records")) == 1


def test_a_page_that_fits_costs_two_statements(store: Store) -> None:
    (row,) = owe(store, window())
    batch = parse(KINDS[KIND], [record(number=i) for i in range(500)])
    statements: list[str] = []

    def count(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.startswith("BEGIN"):
            statements.append(statement.split(maxsplit=1)[0])

    sa.event.listen(store.engine, "after_cursor_execute", count)
    found = store.row(row.id)
    assert found is not None
    assert statements == ["SELECT"]
    store.commit(found[0], KINDS[KIND], batch, done(), START)
    # SQLite takes the page in parts
    assert [statement for statement, _ in groupby(statements)] == ["SELECT", "INSERT", "UPDATE"]
    sa.event.remove(store.engine, "after_cursor_execute", count)


# --- rejected records -----------------------------------------------------------------------------


def test_rejected_records_are_kept_once_with_their_window_and_reason(store: Store) -> None:
    for minutes in (0, 60):
        (row,) = owe(store, window(minutes, minutes + 60))
        commit(store, row, [{"id": "a"}, "junk", {"id": "a"}], now=START + minutes * SECOND)
    found = rows(store, "rejected_records")
    assert sorted(row["reason"] for row in found) == ["no updatedAt", "not an object"]
    assert {(row["since"], row["before"]) for row in found} == {(window().since, window().before)}
    assert {row["seen_at"] for row in found} == {START + 60 * SECOND}
    assert store.totals()[KIND].rejected == 6


def test_rejected_records_that_the_mapping_can_use_today_become_rows(store: Store) -> None:
    (row,) = owe(store, window())
    commit(store, row, [{"id": "a"}, "junk", {"name": "\ud800"}])
    with store.engine.begin() as connection:
        mended = '{"id":"b","updatedAt":"2026-03-01T00:00:00.000Z","value":5}'
        connection.exec_driver_sql(f"UPDATE rejected_records SET payload = '{mended}' WHERE reason = 'no updatedAt'")
    assert store.replay(KINDS[KIND], START) == (1, 2)
    assert [each["id"] for each in rows(store)] == ["b"]
    assert len(rows(store, "rejected_records")) == 2


def test_a_replay_never_brings_an_older_version_back(store: Store) -> None:
    put(store, [record(id="b", value=9)])
    (row,) = owe(store, window())
    commit(store, row, ["junk"])
    with store.engine.begin() as connection:
        older = '{"id":"b","updatedAt":"2026-02-01T00:00:00.000Z","value":5}'
        connection.exec_driver_sql(f"UPDATE rejected_records SET payload = '{older}'")
    assert store.replay(KINDS[KIND], START) == (1, 0)
    assert rows(store)[0]["value"] == 9


# --- failures -------------------------------------------------------------------------------------


def fail(store: Store, row: WindowRow, **facts: Any) -> WindowRow:
    defaults: dict[str, Any] = {"error": "HTTP 500", "now": START, "not_before": START + SECOND, "state": row.state}
    return store.fail(row, **{**defaults, **facts})


def test_a_failure_is_counted_and_noted(store: Store) -> None:
    (row,) = owe(store, window())
    failed = fail(store, fail(store, row), walk=Walk(limit=250), state=State.FAILED)
    found = store.row(row.id)
    assert found == (failed, store.kind(KIND))
    assert (failed.state, failed.attempts, failed.epoch, failed.walk.limit) == (State.FAILED, 2, 2, 250)
    assert (failed.last_error, failed.not_before) == ("HTTP 500", START + SECOND)
    assert (store.kind(KIND).last_error, store.kind(KIND).last_error_at) == ("HTTP 500", START)
    assert store.totals()[KIND].requests == 2


def test_a_wait_is_no_failure(store: Store) -> None:
    (row,) = owe(store, window())
    waiting = fail(store, row, counted=False)
    assert waiting.attempts == 0
    assert waiting.epoch == 1
    assert store.kind(KIND).last_error is None


def test_a_success_ends_the_row_of_failures(store: Store) -> None:
    (row,) = owe(store, window())
    _, (on,) = commit(store, fail(store, row), settle=lambda _: walking())
    assert (on.attempts, on.last_error, on.not_before) == (0, None, None)
    found = store.row(row.id)
    assert found is not None
    assert found[0] == on


def test_find_prefers_the_live_window_of_the_same_bounds(store: Store) -> None:
    owe(store, window(), purpose=SWEEP)
    (live,) = owe(store, window(), purpose=LIVE)
    found = store.find(KIND, window())
    assert found is not None
    assert found[0] == live
    commit(store, live)
    found = store.find(KIND, window())
    assert found is not None
    assert found[0].purpose is Purpose.SWEEP
    assert store.find(KIND, Window(START, START + SECOND)) is None
