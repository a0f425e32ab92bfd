"""Which versions are stored: what `verify` compares with the API."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from humansync.kinds import Kind
from humansync.records import SEPARATOR
from humansync.store.tables import KIND_TABLES
from humansync.windows import Window

#: Values of a bound list: well below what SQLite takes in one statement.
_LIST = 500


def within(connection: sa.Connection, kind: Kind, window: Window | None) -> dict[str, datetime | None]:
    """Return `updated_at` by identity of the records updated within a window; of all, where it is None."""
    table = KIND_TABLES[kind.name]
    query = _query(table, kind)
    if window is not None:
        query = query.where(table.c.updated_at >= window.since, table.c.updated_at < window.before)
    return {SEPARATOR.join(row[1:]): row[0] for row in connection.execute(query)}


def of(connection: sa.Connection, kind: Kind, identities: Sequence[str]) -> dict[str, datetime | None]:
    """Return `updated_at` by identity of those of the given identities that are stored."""
    table = KIND_TABLES[kind.name]
    keys = sa.tuple_(*(table.c[column] for column in kind.identity))
    found: dict[str, datetime | None] = {}
    for i in range(0, len(identities), _LIST):
        some = [tuple(identity.split(SEPARATOR)) for identity in identities[i : i + _LIST]]
        for row in connection.execute(_query(table, kind).where(keys.in_(some))):
            found[SEPARATOR.join(row[1:])] = row[0]
    return found


def _query(table: sa.Table, kind: Kind) -> sa.Select[Any]:
    return sa.select(table.c.updated_at, *(table.c[column] for column in kind.identity))
