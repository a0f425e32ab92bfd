"""Many writers at once: none waits for another in a circle, none loses what another wrote."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest

from humansync.errors import StaleEpoch, StoreUnavailable
from humansync.ledger import Purpose, State, Walk, WindowRow
from humansync.pages import Step
from humansync.plan import Planned
from humansync.store import Store, make_engine, migrate
from humansync.store import store as store_module
from humansync.windows import Window
from tests.factories import START, record, window
from tests.integration.store.ledgers import KIND, LIVE, commit, done, look, owe, rows

SECOND = timedelta(seconds=1)
WRITERS = 6


def together(count: int, work: Callable[[int], None]) -> None:
    """Let threads start at one moment; what one raises, the test raises."""
    barrier = threading.Barrier(count)

    def start(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for finished in [pool.submit(start, number) for number in range(count)]:
            finished.result()


def always(step: Step, _changed: int) -> Step:
    return step


def test_a_writer_does_not_wait_for_ever_for_others_of_its_process(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_engine(sqlite_url)
    migrate(engine)
    store = Store(engine)
    assert store._turn is not None
    monkeypatch.setattr(store_module, "LOCK_WAIT_S", 0.05)
    with store._turn, pytest.raises(StoreUnavailable, match="busy"):
        store.set_meta("key", "value")
    store.set_meta("key", "value")
    store.close()


# The mechanism: `records._order`, without which PostgreSQL reports deadlocks here.
def test_overlapping_pages_of_many_writers_end_with_the_newest_versions(store: Store) -> None:
    pages, ids = 8, 120
    windows = owe(store, *(window(i, i + 1) for i in range(WRITERS * pages)))

    def write(number: int) -> None:
        chance = random.Random(number)
        for page in range(pages):
            version = page * WRITERS + number
            picked = chance.sample(range(ids), 90)
            records = [record(number=i, value=version, updated=START + version * SECOND) for i in picked]
            commit(store, windows[version], [*records, f"junk {chance.randrange(5)}"])

    together(WRITERS, write)
    newest = [0] * ids
    for number in range(WRITERS):
        chance = random.Random(number)
        for page in range(pages):
            for i in chance.sample(range(ids), 90):
                newest[i] = max(newest[i], page * WRITERS + number)
            chance.randrange(5)
    assert [row["value"] for row in rows(store)] == newest
    totals = store.totals()[KIND]
    assert (totals.done, totals.rows, totals.rejected) == (WRITERS * pages, WRITERS * pages * 91, WRITERS * pages)
    assert len(rows(store, "rejected_records")) == 5


# The mechanism: the epoch in `_FENCE`, store/windows.py.
def test_of_many_commits_of_one_window_one_counts(store: Store) -> None:
    row: WindowRow
    (row,) = owe(store, window())
    for turn in range(4):
        won: list[int] = []

        def write(number: int, row: WindowRow = row, turn: int = turn, won: list[int] = won) -> None:
            try:
                commit(store, row, [record(number=turn * 100 + number)], lambda _: Step(State.WALKING, Walk(), ""))
            except StaleEpoch:
                return
            won.append(number)

        together(WRITERS, write)
        assert len(won) == 1
        assert len(rows(store)) == turn + 1
        found = store.row(row.id)
        assert found is not None
        row = found[0]
        assert row.epoch == turn + 1


# The mechanism: the lock on the kind's row in `Store.plan`.
def test_many_planners_owe_a_window_once(store: Store) -> None:
    owed: list[WindowRow] = []

    def plan(number: int) -> None:
        def decide(
            _state: object, covered: list[Window], active: list[tuple[Window, Purpose]], _density: object
        ) -> Planned:
            known = len(covered) + len(active)
            return Planned([(window(known, known + 1), LIVE)])

        one = Store(store.engine)  # as another process: its writers do not queue with ours
        for _ in range(5):
            owed.extend(one.plan(KIND, decide, START + number * SECOND))

    together(WRITERS, plan)
    assert len(owed) == len({row.window for row in owed}) == WRITERS * 5


def test_planning_cutting_failing_and_reading_at_once_neither_block_nor_lose(store: Store) -> None:
    def work(number: int) -> None:
        for turn in range(6):
            place = (number * 6 + turn) * 10
            (row,) = owe(store, window(place, place + 10))
            cut = Step(
                State.OWED,
                Walk(),
                "",
                children=(window(place, place + 5), window(place + 5, place + 10)),
                largest=place,
                cap=100,
            )
            _, children = commit(store, row, [record(number=place)], partial(always, cut))
            for child in children:
                failed = store.fail(child, error="x", now=START, not_before=None, state=State.OWED)
                commit(store, failed, [record(number=place + child.id)], done(largest=place))
            look(store)
            store.owed(START, START, 10)
            store.totals()

    together(WRITERS, work)
    look(store)
    totals = store.totals()[KIND]
    turns = WRITERS * 6
    assert (totals.done, totals.requests, totals.rows, totals.owed) == (2 * turns, 5 * turns, 3 * turns, 0)
    assert store.coverage(KIND) == [window(0, turns * 10)]
    assert len(rows(store, "sync_windows")) == 1
    assert store.kind(KIND).largest_page == (turns - 1) * 10
