"""Short ways to bring a ledger into a state."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from humansync.kinds import KINDS
from humansync.ledger import KindState, Purpose, State, Walk, WindowRow
from humansync.pages import Step
from humansync.plan import Planned
from humansync.records import NOTHING, parse
from humansync.store import Store
from humansync.store.tables import metadata
from humansync.windows import Window
from tests.factories import START

KIND = "heart_rates"
LIVE, BACKFILL, SWEEP = Purpose.LIVE, Purpose.BACKFILL, Purpose.SWEEP


def owe(
    store: Store, *windows: Window, kind: str = KIND, purpose: Purpose = LIVE, now: datetime = START
) -> list[WindowRow]:
    """Add owed windows."""
    planned = Planned([(window, purpose) for window in windows])
    return store.plan(kind, lambda *_: planned, now)


def look(store: Store, kind: str = KIND) -> tuple[KindState, list[Window], list[tuple[Window, Purpose]], float | None]:
    """Return what a planner is shown."""
    shown: list[tuple[KindState, list[Window], list[tuple[Window, Purpose]], float | None]] = []

    def decide(*facts: Any) -> Planned:
        shown.append(facts)
        return Planned()

    store.plan(kind, decide, START)
    return shown[0]


def done(**facts: Any) -> Callable[[int], Step]:
    """Return a decision: the window is done."""
    return lambda _: Step(State.DONE, Walk(), "", **facts)


def commit(
    store: Store,
    row: WindowRow,
    records: Sequence[object] = (),
    settle: Callable[[int], Step] | None = None,
    now: datetime = START,
) -> tuple[Step, list[WindowRow]]:
    """Commit a page of records; the window is done after it unless said otherwise."""
    batch = parse(KINDS[row.kind], list(records)) if records else NOTHING
    return store.commit(row, KINDS[row.kind], batch, settle or done(), now)


def put(store: Store, records: Sequence[object], kind: str = KIND, now: datetime = START) -> int:
    """Store records through a window of their own; return how many were inserted or updated."""
    changed: list[int] = []

    def settle(count: int) -> Step:
        changed.append(count)
        return Step(State.DONE, Walk(), "")

    (row,) = owe(store, Window(START, START.replace(hour=23)), kind=kind, purpose=BACKFILL)
    commit(store, row, records, settle, now)
    return changed[0]


def rows(store: Store, table: str = KIND, order: str = "id") -> list[dict[str, Any]]:
    """Return a table's rows."""
    selected = metadata.tables[table]
    with store.engine.connect() as connection:
        found = connection.execute(sa.select(selected).order_by(order))
        return [dict(row) for row in found.mappings()]


def everything(store: Store) -> dict[str, list[dict[str, Any]]]:
    """Return the whole database."""
    with store.engine.connect() as connection:
        return {
            name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
            for name, table in metadata.tables.items()
        }
