"""Records that cannot be rows: kept with their reason, once each, until a later mapping can use them."""

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from operator import itemgetter
from typing import NamedTuple

import orjson
import sqlalchemy as sa

from humansync.errors import StoreRefused
from humansync.kinds import Kind
from humansync.records import NOTHING, Batch, Rejected, parse
from humansync.store.engine import translated
from humansync.store.tables import rejected_records
from humansync.store.upsert import upsert
from humansync.store.writing import insert
from humansync.windows import Window

_COLUMNS = rejected_records.c
#: Records given to the mapping in one transaction.
_AT_ONCE = 500


class Replayed(NamedTuple):
    """What today's mapping made of records rejected earlier."""

    restored: int
    #: rejected again
    left: int


def add(connection: sa.Connection, kind: str, window: Window, rejected: Sequence[Rejected], now: datetime) -> None:
    """Keep rejected records; one that is kept already is only seen again."""
    rows = {
        _hash(each.payload): {
            "kind": kind,
            "since": window.since,
            "before": window.before,
            "reason": each.reason,
            "payload": each.payload,
            "payload_hash": _hash(each.payload),
            "seen_at": now,
        }
        for each in rejected
    }
    statement = insert(connection, rejected_records)
    statement = statement.on_conflict_do_update(
        index_elements=[_COLUMNS.kind, _COLUMNS.payload_hash],
        set_={"reason": statement.excluded.reason, "seen_at": statement.excluded.seen_at},
    )
    connection.execute(statement, [rows[key] for key in sorted(rows)])  # one order for all writers: no deadlock


def by_reason(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """Return how many records are set aside, by kind and reason."""
    query = sa.select(_COLUMNS.kind, _COLUMNS.reason, sa.func.count()).group_by(_COLUMNS.kind, _COLUMNS.reason)
    found: dict[str, dict[str, int]] = {}
    for kind, reason, records in connection.execute(query.order_by(_COLUMNS.kind, _COLUMNS.reason)):
        found.setdefault(kind, {})[reason] = records
    return found


def replay(connection: sa.Connection, kind: Kind, now: datetime, after: int) -> tuple[Replayed, int | None]:
    """Give the next rejected records to today's mapping; return what came of it and where to go on, None at the end."""
    query = sa.select(_COLUMNS.id, _COLUMNS.payload).where(_COLUMNS.kind == kind.name, _COLUMNS.id > after)
    found = connection.execute(query.order_by(_COLUMNS.id).limit(_AT_ONCE)).all()
    usable: list[tuple[list[str], int, Batch]] = []
    for id_, payload in found:
        batch = _parsed(kind, payload)
        if batch.rows:
            usable.append((batch.identities, id_, batch))
    restored: list[int] = []
    for _, id_, batch in sorted(usable, key=itemgetter(0)):  # in the order of every writer
        if _stored(connection, kind, batch, now):
            restored.append(id_)
    if restored:
        connection.execute(sa.delete(rejected_records).where(_COLUMNS.id.in_(restored)))
    going_on = found[-1].id if len(found) == _AT_ONCE else None
    return Replayed(len(restored), len(found) - len(restored)), going_on


def _stored(connection: sa.Connection, kind: Kind, batch: Batch, now: datetime) -> bool:
    """Store one record; False where the database refuses it, with nothing else of the transaction lost."""
    try:
        with translated(), connection.begin_nested():
            upsert(connection, kind, batch, now)
    except StoreRefused as error:
        if not error.of_a_value:
            raise
        return False
    return True


def _parsed(kind: Kind, payload: str) -> Batch:
    try:
        return parse(kind, [_loaded(payload)])
    except RecursionError:  # still nested too deeply
        return NOTHING


def _loaded(payload: str) -> object:
    try:
        return orjson.loads(payload)
    except ValueError:  # a lone surrogate, written as an escape
        return json.loads(payload)


def _hash(payload: str) -> str:
    return blake2b(payload.encode(), digest_size=16).hexdigest()
