"""`sync_kinds`: what lasts about a kind, and the sums of windows that are rows no more."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from humansync.ledger import KindState
from humansync.store.tables import sync_kinds
from humansync.store.writing import insert

_COLUMNS = sync_kinds.c
_STATE = tuple(_COLUMNS[field.name] for field in fields(KindState))
_EMPTY: dict[str, object] = {
    "paused": False,
    "largest_page": 0,
    "windows_done": 0,
    "requests": 0,
    "rows": 0,
    "changed": 0,
    "rejected": 0,
    "recent_rows": 0.0,
    "recent_s": 0.0,
}


@dataclass(frozen=True, slots=True)
class Sums:
    """What windows have cost and brought."""

    windows_done: int = 0
    requests: int = 0
    #: received
    rows: int = 0
    #: inserted or updated
    changed: int = 0
    rejected: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


_ONE = sa.select(*_STATE).where(_COLUMNS.kind == sa.bindparam("kind"))
_LOCKED = _ONE.with_for_update()


def one(connection: sa.Connection, kind: str) -> KindState:
    """Return a kind's state; a kind without a row has the state of a new one."""
    found = connection.execute(_ONE, {"kind": kind}).one_or_none()
    return KindState(kind) if found is None else KindState(*found)


def every(connection: sa.Connection) -> dict[str, KindState]:
    """Return the states of all kinds that have a row."""
    return {found.kind: KindState(*found) for found in connection.execute(sa.select(*_STATE))}


def locked(connection: sa.Connection, kind: str) -> KindState:
    """Return a kind's state and keep others from changing it until the transaction ends."""
    found = connection.execute(_LOCKED, {"kind": kind}).one_or_none()
    if found is None:
        ensure(connection, kind)
        found = connection.execute(_LOCKED, {"kind": kind}).one()
    return KindState(*found)


def ensure(connection: sa.Connection, kind: str) -> None:
    """Make the kind's row if there is none."""
    connection.execute(insert(connection, sync_kinds).values(kind=kind, **_EMPTY).on_conflict_do_nothing())


def change(connection: sa.Connection, kind: str, changes: Mapping[str, object]) -> None:
    """Set columns of an existing row. KeyError for a name that is no field of KindState."""
    if changes:
        known = {field.name for field in fields(KindState)} - {"kind"}
        if unknown := set(changes) - known:
            raise KeyError(f"not a fact about a kind: {sorted(unknown)}")
        connection.execute(sa.update(sync_kinds).where(_COLUMNS.kind == kind).values(dict(changes)))


def add(connection: sa.Connection, kind: str, sums: Sums) -> None:
    """Add what windows that are rows no more have cost and brought."""
    added: dict[str, Any] = {
        field.name: _COLUMNS[field.name] + value for field in fields(sums) if (value := getattr(sums, field.name))
    }
    if added:
        connection.execute(sa.update(sync_kinds).where(_COLUMNS.kind == kind).values(added))


def note_error(connection: sa.Connection, kind: str | None, error: str, now: datetime) -> None:
    """Note the latest error of a kind; of every kind where it is None."""
    query = sa.update(sync_kinds).values(last_error=error, last_error_at=now)
    connection.execute(query if kind is None else query.where(_COLUMNS.kind == kind))


def learn(
    connection: sa.Connection,
    kind: str,
    *,
    cap: int | None = None,
    largest: int | None = None,
    gives_lists: bool = False,
    whole_read_at: datetime | None = None,
) -> None:
    """Note what a page taught; the largest page only grows, a complete read only becomes newer."""
    learned: dict[str, Any] = {}
    if cap is not None:
        learned["page_cap"] = cap
    if largest is not None:
        learned["largest_page"] = _later(_COLUMNS.largest_page, largest)
    if gives_lists:
        learned["gives_lists"] = True
    if whole_read_at is not None:
        learned["whole_read_at"] = _later(_COLUMNS.whole_read_at, whole_read_at)
    if learned:
        connection.execute(sa.update(sync_kinds).where(_COLUMNS.kind == kind).values(learned))


def _later(column: sa.Column[Any], value: object) -> sa.Case[Any]:
    return sa.case((column >= value, column), else_=sa.literal(value, column.type))
