"""Records into their kind's table: one statement a page, and the newest version wins inside the SQL.

This is the hot path. Of the ways measured (docs/decisions), these cost the worker least: PostgreSQL
takes the page as one JSON parameter and unpacks it itself, in most cases the very text that the API sent;
SQLite takes tuples, some in one step.
"""

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import chain
from typing import NamedTuple

import orjson
import sqlalchemy as sa

from humansync.kinds import KINDS, Field, Kind, Read, Type, columns
from humansync.records import Batch
from humansync.store.tables import KIND_TABLES
from humansync.values import Value, instant_text

log = logging.getLogger(__name__)

#: How a value of the page, `e ->> i`, becomes a cell.
POSTGRESQL_CASTS = {
    Type.TEXT: "{}",
    Type.UNIT: "{}",
    Type.NUMBER: "({})::double precision",
    Type.BOOLEAN: "({})::boolean",
    Type.INSTANT: "({} || '+00')::timestamptz",
    Type.DATE: "({})::date",
    Type.JSON: "({})::jsonb",
}
#: Rows that go to SQLite in one step: between two steps the driver waits for Python's lock, which other threads want.
ROWS_AT_ONCE = 50
#: What a new row's `synced_at` says until its pass is noted: `mark_seen`.
NOT_YET = datetime(1970, 1, 1, tzinfo=UTC)
#: A complete read of a kind without times that seems to delete more than this is not believed ...
DELETED_SHARE = 0.2
#: ... unless it is so few rows.
DELETED_FEW = 10


class _Statements(NamedTuple):
    upsert: str
    #: the same, given the page as received; empty where there is none
    received: str
    #: the same, also over what differs from the page at the same instant: a repair
    mend: str
    #: only where seeing an unchanged row must be noted: kinds read whole
    seen: str


def upsert(
    connection: sa.Connection,
    kind: Kind,
    batch: Batch,
    now: datetime,
    *,
    seen: datetime | None = None,
    mending: bool = False,
) -> int:
    """Insert or update the batch's rows; return how many were. Older and equal versions change nothing.

    seen: `synced_at` of new rows, where it is not `now`. mending: what is stored at the same instant is
    overwritten whatever it is.
    """
    if not batch.rows and batch.text is None:
        return 0
    if connection.dialect.name == "sqlite":
        return _upsert_sqlite(connection, kind, batch, (now, seen or now), mending=mending)
    statements = _postgresql(kind.name)
    stamps = (f"{instant_text(now)}+00", f"{instant_text(seen or now)}+00")
    if batch.text is not None:
        return connection.exec_driver_sql(statements.received, (*stamps, batch.text)).rowcount
    statement = statements.mend if mending else statements.upsert
    return connection.exec_driver_sql(statement, (*stamps, page_text(batch))).rowcount


def page_text(batch: Batch) -> str:
    """Return the batch as PostgreSQL takes it: an array of rows, the payload last in each."""
    rows = [(*row, orjson.Fragment(payload)) for row, payload in zip(batch.rows, batch.payloads, strict=True)]
    return orjson.dumps(rows).decode()


def _upsert_sqlite(
    connection: sa.Connection, kind: Kind, batch: Batch, stamps: tuple[datetime, datetime], *, mending: bool
) -> int:
    now, seen = map(instant_text, stamps)
    rows = [(*row, payload.decode(), now, seen) for row, payload in zip(batch.rows, batch.payloads, strict=True)]
    driver = connection.connection.dbapi_connection
    before: int = driver.total_changes  # type: ignore[union-attr]  # sqlite3's own
    statements = _sqlite(kind.name)
    statement = statements.mend if mending else statements.upsert
    whole = len(rows) - len(rows) % ROWS_AT_ONCE
    for first in range(0, whole, ROWS_AT_ONCE):
        cells = tuple(chain.from_iterable(rows[first : first + ROWS_AT_ONCE]))
        connection.exec_driver_sql(_of_many(statement), cells)
    if rows[whole:]:
        connection.exec_driver_sql(statement, rows[whole:])
    after: int = driver.total_changes  # type: ignore[union-attr]  # sqlite3's own
    return after - before


def mark_seen(connection: sa.Connection, kind: Kind, batch: Batch, at: datetime) -> None:
    """Note on every row of the batch, changed or not, that it was seen at this instant.

    A row keeps the latest: of two passes at once, the one that began earlier must not age what the other has seen.
    """
    if not batch.rows:
        return
    keys = _keys(kind, batch)
    if connection.dialect.name == "sqlite":
        stamp = instant_text(at)
        connection.exec_driver_sql(_sqlite(kind.name).seen, [(stamp, *key) for key in keys])
    else:
        page = orjson.dumps(keys).decode()
        connection.exec_driver_sql(_postgresql(kind.name).seen, (f"{instant_text(at)}+00", page))


def count_unseen(connection: sa.Connection, kind: Kind, batch: Batch, since: datetime) -> int:
    """Return how many rows of the batch, which is stored, were not marked as seen since an instant."""
    table = KIND_TABLES[kind.name]
    keys = _keys(kind, batch)
    persons = {key[0] for key in keys}
    known = sa.select(*(table.c[column] for column in kind.identity)).where(
        table.c[kind.identity[0]].in_(persons), table.c.synced_at >= since
    )
    return len(set(keys).difference(map(tuple, connection.execute(known))))


def _keys(kind: Kind, batch: Batch) -> list[tuple[Value, ...]]:
    names = [field.column for field in columns(kind)]
    places = [names.index(column) for column in kind.identity]
    return [tuple(row[i] for i in places) for row in batch.rows]


def delete_unseen(connection: sa.Connection, kind: Kind, since: datetime) -> int:
    """Delete rows of persons seen since this instant that were not seen themselves; return how many.

    Refuses to delete a large part of the table: a read that looks like that is not believed.
    """
    table = KIND_TABLES[kind.name]
    persons = sa.select(table.c.human_id).where(table.c.synced_at >= since)
    unseen = sa.and_(table.c.synced_at < since, table.c.human_id.in_(persons))
    count = sa.select(sa.func.count(), sa.func.count().filter(unseen)).select_from(table)
    stored, doomed = connection.execute(count).one()
    if not doomed:
        return 0
    if doomed > DELETED_FEW and doomed > DELETED_SHARE * stored:
        log.warning("too many rows vanished at once: kept", extra={"kind": kind.name, "rows": doomed, "of": stored})
        return 0
    return connection.execute(sa.delete(table).where(unseen)).rowcount


# --- statements, built once -----------------------------------------------------------------------


@cache
def _postgresql(name: str) -> _Statements:
    kind = KINDS[name]
    fields = columns(kind)
    cells = [POSTGRESQL_CASTS[field.type].format(f"e ->> {i}") for i, field in enumerate(fields)]
    select = f"SELECT {', '.join(cells)}, e -> {len(fields)}, %s::timestamptz, %s::timestamptz"
    same_key = " AND ".join(f"t.{quoted(column)} = e ->> {i}" for i, column in enumerate(kind.identity))
    received = f"SELECT {', '.join(_of_record(kind, field) for field in fields)}, e, %s::timestamptz, %s::timestamptz"
    in_order = "jsonb_array_elements(%s::jsonb) AS e ORDER BY e ->> 'id' COLLATE \"C\""
    return _Statements(
        upsert=f"{_insert(kind)} {select} FROM jsonb_array_elements(%s::jsonb) AS e {_on_conflict(kind)}",
        received=f"{_insert(kind)} {received} FROM {in_order} {_on_conflict(kind)}",
        mend=f"{_insert(kind)} {select} FROM jsonb_array_elements(%s::jsonb) AS e {_on_conflict(kind, mending=True)}",
        seen=f"UPDATE {quoted(name)} AS t SET synced_at = greatest(t.synced_at, %s::timestamptz) "
        f"FROM jsonb_array_elements(%s::jsonb) AS e WHERE {same_key}",
    )


@cache
def _sqlite(name: str) -> _Statements:
    kind = KINDS[name]
    values = ", ".join("?" * (len(columns(kind)) + 3))
    same_key = " AND ".join(f"{quoted(column)} = ?" for column in kind.identity)
    return _Statements(
        upsert=f"{_insert(kind)} VALUES ({values}) {_on_conflict(kind)}",
        received="",
        mend=f"{_insert(kind)} VALUES ({values}) {_on_conflict(kind, mending=True)}",
        seen=f"UPDATE {quoted(name)} SET synced_at = max(synced_at, ?) WHERE {same_key}",
    )


@cache
def _of_many(statement: str) -> str:
    """Return a statement for SQLite that takes `ROWS_AT_ONCE` rows in place of one."""
    before, row, after = re.split(r"(?<= VALUES )(\([?, ]+\))", statement)
    return f"{before}{', '.join([row] * ROWS_AT_ONCE)}{after}"


def _of_record(kind: Kind, field: Field) -> str:
    """Return a column's cell as an expression of a record `e` as the API sends it; parameters are `%s`."""
    outer, _, inner = field.key.partition(".")
    record, key = (f"e -> {_literal(outer)}", _literal(inner)) if inner else ("e", _literal(outer))
    if field.type is Type.JSON:
        return f"nullif({record} -> {key}, 'null')"
    text = f"{record} ->> {key}"
    if field.type is Type.INSTANT:
        return f"({text})::timestamptz"  # it names its zone
    if field.type is Type.UNIT:
        spellings = " ".join(f"WHEN {_literal(raw)} THEN {_literal(unit)}" for raw, unit in kind.units.items())
        return f"CASE {text} {spellings} END"
    return POSTGRESQL_CASTS[field.type].format(text)


def _literal(text: str) -> str:
    """Return a text of the catalogue as SQL, for a statement with parameters."""
    return "'" + text.replace("'", "''").replace("%", "%%") + "'"


def _insert(kind: Kind) -> str:
    names = [*_names(kind), "payload", "first_seen_at", "synced_at"]
    return f"INSERT INTO {quoted(kind.name)} AS t ({', '.join(map(quoted, names))})"


def _on_conflict(kind: Kind, *, mending: bool = False) -> str:
    """Return the clause that lets only a newer version, or other content at the same instant, overwrite."""
    # of a kind read whole it says when the row was last seen: `mark_seen` alone moves that
    stamps = ["synced_at"] if kind.read is Read.WINDOWED else []
    updated = [name for name in [*_names(kind), "payload", *stamps] if name not in kind.identity]
    assignments = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in updated)
    if mending:
        newer = "excluded.updated_at >= t.updated_at" if kind.read is Read.WINDOWED else "true"
    elif kind.read is Read.WHOLE:  # no times to go by: the last one read is the newest
        newer = "excluded.payload <> t.payload"
    else:
        newer = (
            "excluded.updated_at > t.updated_at "
            "OR (excluded.updated_at = t.updated_at AND excluded.payload <> t.payload)"
        )
    keys = ", ".join(map(quoted, kind.identity))
    return f"ON CONFLICT ({keys}) DO UPDATE SET {assignments} WHERE {newer}"


def _names(kind: Kind) -> Sequence[str]:
    return [field.column for field in columns(kind)]


def quoted(name: str) -> str:
    """Return a name of the catalogue as SQL."""
    return f'"{name}"'
