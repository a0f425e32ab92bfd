"""A page of the API against the rows in the database: set-wise, every typed column and the payload.

PostgreSQL compares inside: it is given the page as an upsert is, so that "equal" means that the upsert would
have written the same. SQLite hands its cells over raw. Neither breaks on a cell that somebody has spoilt.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any, TypeAlias

import orjson
import sqlalchemy as sa

from humansync.compare import Stored
from humansync.kinds import KINDS, Kind, Read, Type, columns
from humansync.records import SEPARATOR, Batch, identity_of
from humansync.store.upsert import POSTGRESQL_CASTS, page_text, quoted
from humansync.values import Value, instant_text
from humansync.windows import Window

#: Values of a bound list: well below what SQLite takes in one statement.
_LIST = 300
#: `updated_at` as SQLite stores it anyway.
_PG_INSTANT = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"

_Cells: TypeAlias = tuple[Any, ...]


def differing(connection: sa.Connection, kind: Kind, batch: Batch) -> dict[str, Stored]:
    """Return, by identity, what is stored in place of those rows of the batch that are not stored as they are."""
    if not batch.rows:
        return {}
    if connection.dialect.name == "sqlite":
        return _differing_sqlite(connection, kind, batch)
    found = connection.exec_driver_sql(_postgresql(kind.name), (page_text(batch),))
    return {SEPARATOR.join(row[2:]): Stored(row[0], row[1]) for row in found}


def within(connection: sa.Connection, kind: Kind, window: Window) -> dict[str, str]:
    """Return `updated_at` as the cell has it, by identity, of the rows updated within a window."""
    sqlite = connection.dialect.name == "sqlite"
    mark = "?" if sqlite else "%s::timestamptz"
    query = f"SELECT {_instant(kind, sqlite=sqlite)}, {_key(kind)} FROM {quoted(kind.name)} AS t "
    query += f"WHERE t.updated_at >= {mark} AND t.updated_at < {mark}"
    zone = "" if sqlite else "+00"
    bounds = tuple(instant_text(each) + zone for each in (window.since, window.before))
    return {SEPARATOR.join(row[1:]): row[0] for row in connection.exec_driver_sql(query, bounds)}


def count_within(connection: sa.Connection, kind: Kind, window: Window) -> int:
    """Return how many rows were updated within a window."""
    sqlite = connection.dialect.name == "sqlite"
    mark, zone = ("?", "") if sqlite else ("%s::timestamptz", "+00")
    query = f"SELECT count(*) FROM {quoted(kind.name)} AS t WHERE t.updated_at >= {mark} AND t.updated_at < {mark}"
    bounds = tuple(instant_text(each) + zone for each in (window.since, window.before))
    return int(connection.exec_driver_sql(query, bounds).scalar_one())


def stored_of(connection: sa.Connection, kind: Kind, identities: Iterable[str]) -> dict[str, str]:
    """Return `updated_at` as the cell has it, by identity, of those of the identities that are stored; "" for none."""
    sqlite = connection.dialect.name == "sqlite"
    found: dict[str, str] = {}
    for keys in _some(sorted(identities)):
        where, values = _where_key_in(kind, keys, sqlite=sqlite)
        query = f"SELECT {_instant(kind, sqlite=sqlite)}, {_key(kind)} FROM {quoted(kind.name)} AS t WHERE {where}"
        found |= {SEPARATOR.join(row[1:]): row[0] or "" for row in connection.exec_driver_sql(query, values)}
    return found


def identities(connection: sa.Connection, kind: Kind, after: str | None, limit: int) -> list[str]:
    """Return the identities that follow one in the order of the primary key."""
    sqlite = connection.dialect.name == "sqlite"
    mark = "?" if sqlite else "%s"
    where, values = "", tuple[str, ...]()
    if after is not None:
        values = tuple(after.split(SEPARATOR))
        where = f"WHERE ({_key(kind)}) > ({', '.join([mark] * len(values))})"
    query = f"SELECT {_key(kind)} FROM {quoted(kind.name)} AS t {where} ORDER BY {_key(kind)} LIMIT {int(limit)}"
    return [SEPARATOR.join(row) for row in connection.exec_driver_sql(query, values)]


def set_back(connection: sa.Connection, kind: Kind, batch: Batch, seen: Mapping[str, str | None]) -> None:
    """Give rows the batch's `updated_at` where they still have the wrong one that was seen, so that it can win.

    seen: identity -> the cell's text. A row that has changed since is left alone.
    """
    sqlite = connection.dialect.name == "sqlite"
    place = [field.column for field in columns(kind)].index("updated_at")
    key = " AND ".join(f"{quoted(column)} = {'?' if sqlite else '%s'}" for column in kind.identity)
    name = quoted(kind.name)
    if sqlite:
        query = f"UPDATE {name} SET updated_at = ? WHERE updated_at IS ? AND {key}"
    else:
        cell = _PG_INSTANT.format("updated_at")
        query = f"UPDATE {name} SET updated_at = %s::timestamptz WHERE {cell} IS NOT DISTINCT FROM %s::text AND {key}"
    for row in batch.rows:
        identity = identity_of(kind, row)
        if identity in seen:
            upstream = f"{row[place]}{'' if sqlite else '+00'}"
            connection.exec_driver_sql(query, (upstream, seen[identity], *identity.split(SEPARATOR)))


def remove(connection: sa.Connection, kind: Kind, seen: Mapping[str, str]) -> list[str]:
    """Delete rows that still are at the version that was seen; return the identities of those that were."""
    sqlite = connection.dialect.name == "sqlite"
    key = " AND ".join(f"{quoted(column)} = {'?' if sqlite else '%s'}" for column in kind.identity)
    cell = "updated_at" if sqlite else _PG_INSTANT.format("updated_at")
    query = f"DELETE FROM {quoted(kind.name)} WHERE {key} AND coalesce({cell}, '') = {'?' if sqlite else '%s'}"
    return [
        identity
        for identity in sorted(seen)
        if connection.exec_driver_sql(query, (*identity.split(SEPARATOR), seen[identity])).rowcount
    ]


# --- PostgreSQL -----------------------------------------------------------------------------------


@cache
def _postgresql(name: str) -> str:
    kind = KINDS[name]
    fields = columns(kind)
    cells = {field.column: POSTGRESQL_CASTS[field.type].format(f"e ->> {i}") for i, field in enumerate(fields)}
    same_key = " AND ".join(f"t.{quoted(column)} = {cells[column]}" for column in kind.identity)
    others = [f"t.{quoted(column)} IS DISTINCT FROM {cell}" for column, cell in cells.items()]
    differs = " OR ".join([*others, f"t.payload IS DISTINCT FROM e -> {len(fields)}"])
    key = ", ".join(cells[column] for column in kind.identity)
    return (
        f"SELECT t.payload IS NOT NULL, {_instant(kind, sqlite=False)}, {key} "
        f"FROM jsonb_array_elements(%s::jsonb) AS e LEFT JOIN {quoted(name)} AS t ON {same_key} WHERE {differs}"
    )


def _instant(kind: Kind, *, sqlite: bool) -> str:
    if kind.read is Read.WHOLE:
        return "NULL"
    return "t.updated_at" if sqlite else _PG_INSTANT.format("t.updated_at")


def _key(kind: Kind) -> str:
    return ", ".join(f"t.{quoted(column)}" for column in kind.identity)


# --- SQLite ---------------------------------------------------------------------------------------


def _differing_sqlite(connection: sa.Connection, kind: Kind, batch: Batch) -> dict[str, Stored]:
    fields = columns(kind)
    types = [field.type for field in fields]
    updated = None if kind.read is Read.WHOLE else [field.column for field in fields].index("updated_at")
    expected = {
        identity_of(kind, row): (*_as_stored(types, row), payload.decode())
        for row, payload in zip(batch.rows, batch.payloads, strict=True)
    }
    found: dict[str, Stored] = {}
    for keys in _some(expected):
        there = _cells(connection, kind, keys)
        for identity in keys:
            cells = there.get(identity)
            if cells is None:
                found[identity] = Stored(present=False, updated=None)
            elif cells != expected[identity] and not _same(types, cells, expected[identity]):
                found[identity] = Stored(True, None if updated is None else str(cells[updated]))
    return found


def _cells(connection: sa.Connection, kind: Kind, keys: Sequence[str]) -> dict[str, _Cells]:
    names = [field.column for field in columns(kind)]
    chosen = ", ".join(f"t.{quoted(name)}" for name in [*names, "payload"])
    where, values = _where_key_in(kind, keys, sqlite=True)
    rows = connection.exec_driver_sql(f"SELECT {chosen} FROM {quoted(kind.name)} AS t WHERE {where}", values)
    return {identity_of(kind, row): tuple(row) for row in rows}


def _as_stored(types: Sequence[Type], row: Sequence[Value]) -> list[Value]:
    """Return the cells as SQLite gives them back: every number of a DOUBLE column is a float."""
    return [
        float(value) if type_ is Type.NUMBER and value is not None else value
        for type_, value in zip(types, row, strict=True)
    ]


def _same(types: Sequence[Type], cells: _Cells, expected: Sequence[object]) -> bool:
    """Whether two rows say the same; JSON may be spelt in different ways."""
    *columns_, payload = zip([*types, Type.JSON], cells, expected, strict=True)
    return all(a == b or (type_ is Type.JSON and _json(a) == _json(b)) for type_, a, b in [*columns_, payload])


def _json(cell: object) -> object:
    """Return JSON in its one spelling; a cell that holds the text of a number is that number in SQLite."""
    if cell is None:
        return None
    try:
        value = orjson.loads(cell) if isinstance(cell, str | bytes) else cell
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError):
        return cell


def _where_key_in(kind: Kind, keys: Sequence[str], *, sqlite: bool) -> tuple[str, tuple[str, ...]]:
    mark = "?" if sqlite else "%s"
    values = tuple(part for identity in keys for part in identity.split(SEPARATOR))
    if len(kind.identity) == 1:
        return f"t.{quoted(kind.identity[0])} IN ({', '.join([mark] * len(keys))})", values
    row = f"({', '.join([mark] * len(kind.identity))})"
    return f"({_key(kind)}) IN (VALUES {', '.join([row] * len(keys))})", values


def _some(keys: Iterable[str]) -> Iterable[list[str]]:
    left = iter(keys)
    while some := list(islice(left, _LIST)):
        yield some
