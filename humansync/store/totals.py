"""What is stored and what it has cost: figures for `status`, `run` and their like."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from humansync.kinds import KINDS
from humansync.ledger import ACTIVE, Purpose, State
from humansync.store.tables import KIND_TABLES, sync_kinds, sync_windows


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures of one kind since the beginning; sums never go back."""

    #: rows in the kind's table; 0 where they were not asked for
    records: int = 0
    #: windows in this state now
    owed: int = 0
    walking: int = 0
    failed: int = 0
    #: complete reads there ever were
    done: int = 0
    #: the latest of them
    done_at: datetime | None = None
    requests: int = 0
    #: records received
    rows: int = 0
    #: records inserted or updated
    changed: int = 0
    rejected: int = 0
    #: windows owed or walking now, by purpose
    active: dict[Purpose, int] = field(default_factory=dict)


_COLUMNS = sync_windows.c
_SUMS = ("requests", "rows", "changed", "rejected")
_BY_STATE = sa.select(
    _COLUMNS.kind,
    _COLUMNS.state,
    _COLUMNS.purpose,
    sa.func.count().filter(_COLUMNS.folded.is_(sa.false())).label("windows"),
    sa.func.max(_COLUMNS.done_at).label("done_at"),
    *(sa.cast(sa.func.sum(_COLUMNS[name]), sa.BigInteger).label(f"sum_{name}") for name in _SUMS),
).group_by(_COLUMNS.kind, _COLUMNS.state, _COLUMNS.purpose)


def totals(connection: sa.Connection, *, records: bool) -> dict[str, Totals]:
    """Return the figures of every kind of the catalogue. `records` counts the tables' rows, which takes time."""
    stored = _records(connection) if records else {}
    kinds = {row.kind: row for row in connection.execute(sa.select(sync_kinds))}
    groups: dict[str, list[Any]] = {name: [] for name in KINDS}
    for row in connection.execute(_BY_STATE):
        if row.kind in groups:
            groups[row.kind].append(row)
    return {name: _of_kind(kinds.get(name), groups[name], stored.get(name, 0)) for name in KINDS}


def _of_kind(kind: Any, groups: Iterable[Any], records: int) -> Totals:
    """Return one kind's figures: what its row remembers and what its windows add."""
    states = dict.fromkeys(State, 0)
    sums = {name: getattr(kind, name) if kind else 0 for name in _SUMS}
    active: dict[Purpose, int] = {}
    instants: list[datetime] = []
    for group in groups:
        state, purpose = State(group.state), Purpose(group.purpose)
        states[state] += group.windows
        if state in ACTIVE:
            active[purpose] = active.get(purpose, 0) + group.windows
        if group.done_at is not None:
            instants.append(group.done_at)
        for name in _SUMS:
            sums[name] += getattr(group, f"sum_{name}")
    return Totals(
        records=records,
        owed=states[State.OWED],
        walking=states[State.WALKING],
        failed=states[State.FAILED],
        done=states[State.DONE] + (kind.windows_done if kind else 0),
        done_at=max(instants, default=None),
        active=active,
        **sums,
    )


def _records(connection: sa.Connection) -> dict[str, int]:
    counts = [
        sa.select(sa.literal(name).label("kind"), sa.func.count().label("records")).select_from(table)
        for name, table in KIND_TABLES.items()
    ]
    return {row.kind: row.records for row in connection.execute(sa.union_all(*counts))}
