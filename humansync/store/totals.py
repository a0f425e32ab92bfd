"""What is stored and what it has cost: figures for `status`, `run` and their like."""

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from humansync.kinds import KINDS
from humansync.ledger import Purpose, State
from humansync.store.tables import KIND_TABLES, UNFINISHED, sync_kinds, sync_windows


@dataclass(frozen=True, slots=True)
class Totals:
    """Figures of one kind since the beginning; no later step takes any of them back, save `records`."""

    #: rows in the kind's table; 0 where they were not asked for
    records: int = 0
    #: windows by state; `done` counts every complete read there ever was
    windows: dict[State, int] = field(default_factory=lambda: dict.fromkeys(State, 0))
    #: unfinished windows by purpose
    active: dict[Purpose, int] = field(default_factory=lambda: dict.fromkeys(Purpose, 0))
    requests: int = 0
    #: records received
    rows: int = 0
    #: records inserted or updated
    changed: int = 0
    rejected: int = 0


def totals(connection: sa.Connection, *, records: bool) -> dict[str, Totals]:
    """Return the figures of every kind of the catalogue. `records` counts the tables' rows, which takes time."""
    stored = _records(connection) if records else {}
    facts: dict[str, dict[str, Any]] = {name: {"records": stored.get(name, 0)} for name in KINDS}
    counts = {name: (dict.fromkeys(State, 0), dict.fromkeys(Purpose, 0)) for name in KINDS}
    sums = dict.fromkeys(KINDS, (0, 0, 0, 0))
    for row in connection.execute(sa.select(sync_kinds)):
        if row.kind in sums:
            sums[row.kind] = (row.requests, row.rows, row.changed, row.rejected)
            counts[row.kind][0][State.DONE] = row.windows_done
    for row in connection.execute(_BY_STATE):
        if row.kind not in sums:
            continue
        states, active = counts[row.kind]
        states[State(row.state)] += row.windows
        if row.state in UNFINISHED:
            active[Purpose(row.purpose)] += row.windows
        before = sums[row.kind]
        more = (row.requests, row.received, row.changed, row.rejected)
        sums[row.kind] = (before[0] + more[0], before[1] + more[1], before[2] + more[2], before[3] + more[3])
    names = ("requests", "rows", "changed", "rejected")
    return {
        name: Totals(
            windows=counts[name][0], active=counts[name][1], **facts[name], **dict(zip(names, sums[name], strict=True))
        )
        for name in KINDS
    }


_COLUMNS = sync_windows.c
_BY_STATE = sa.select(
    _COLUMNS.kind,
    _COLUMNS.state,
    _COLUMNS.purpose,
    sa.func.count().filter(_COLUMNS.folded.is_(sa.false())).label("windows"),
    sa.cast(sa.func.sum(_COLUMNS.requests), sa.BigInteger).label("requests"),
    sa.cast(sa.func.sum(_COLUMNS.rows), sa.BigInteger).label("received"),
    sa.cast(sa.func.sum(_COLUMNS.changed), sa.BigInteger).label("changed"),
    sa.cast(sa.func.sum(_COLUMNS.rejected), sa.BigInteger).label("rejected"),
).group_by(_COLUMNS.kind, _COLUMNS.state, _COLUMNS.purpose)


def _records(connection: sa.Connection) -> dict[str, int]:
    counts = [
        sa.select(sa.literal(name).label("kind"), sa.func.count().label("records")).select_from(table)
        for name, table in KIND_TABLES.items()
    ]
    return {row.kind: row.records for row in connection.execute(sa.union_all(*counts))}
