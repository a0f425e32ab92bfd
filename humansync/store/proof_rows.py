"""`sync_proofs` and `sync_lateness`: what was compared with the API, and how late records were. None commits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from humansync import lateness, proofs
from humansync.kinds import Kind
from humansync.lateness import Late
from humansync.proofs import Proof
from humansync.store import kind_rows
from humansync.store.tables import KIND_TABLES, sync_lateness, sync_proofs
from humansync.store.writing import insert
from humansync.windows import Window

_PROOFS, _LATE = sync_proofs.c, sync_lateness.c


def of_kind(connection: sa.Connection, kind: str) -> list[Proof]:
    """Return what was compared of one kind: sorted, disjoint."""
    found = connection.execute(sa.select(sync_proofs).where(_PROOFS.kind == kind).order_by(_PROOFS.since))
    return [_proof(row) for row in found]


def every(connection: sa.Connection) -> dict[str, list[Proof]]:
    """Return what was compared, by kind."""
    found: dict[str, list[Proof]] = {}
    for row in connection.execute(sa.select(sync_proofs).order_by(_PROOFS.kind, _PROOFS.since)):
        found.setdefault(row.kind, []).append(_proof(row))
    return found


def _proof(row: Any) -> Proof:
    return Proof(Window(row.since, row.before), row.proven_at, row.differences)


def add(connection: sa.Connection, kind: str, new: Proof) -> None:
    """Note that a range was compared; what was known of it before gives way."""
    kind_rows.locked(connection, kind)
    before = of_kind(connection, kind)
    after = proofs.add(before, new)
    gone = [proof.window.since for proof in before if proof not in after]
    for since in gone:
        connection.execute(sa.delete(sync_proofs).where(_PROOFS.kind == kind, _PROOFS.since == since))
    rows = [
        {
            "kind": kind,
            "since": proof.window.since,
            "before": proof.window.before,
            "proven_at": proof.proven_at,
            "differences": proof.differences,
        }
        for proof in after
        if proof not in before
    ]
    if rows:
        connection.execute(sa.insert(sync_proofs), rows)


# --- lateness -------------------------------------------------------------------------------------


def note_late(
    connection: sa.Connection, kind: Kind, updated: Sequence[datetime], covered_to: datetime, now: datetime
) -> None:
    """Count the rows that this transaction has changed although their time was covered before.

    updated: of the page's records. The rows that were changed are those it has just stamped; where the page
    holds nothing from behind `covered_to`, no statement is sent.
    """
    behind = [each for each in updated if each < covered_to]
    if not behind:
        return
    table = KIND_TABLES[kind.name].c
    query = sa.select(table.updated_at).where(
        table.updated_at >= min(behind), table.updated_at < covered_to, table.synced_at == now
    )
    late = lateness.count(connection.execute(query).scalars(), covered_to, now)
    for each in late:
        statement = insert(connection, sync_lateness).values(
            kind=kind.name,
            up_to_s=each.up_to_s,
            records=each.records,
            longest_s=each.longest_s,
            latest_at=each.latest_at,
        )
        longest = statement.excluded.longest_s
        added = {
            "records": _LATE.records + statement.excluded.records,
            "longest_s": sa.case((_LATE.longest_s > longest, _LATE.longest_s), else_=longest),
            "latest_at": statement.excluded.latest_at,
        }
        connection.execute(statement.on_conflict_do_update(index_elements=["kind", "up_to_s"], set_=added))


def late(connection: sa.Connection) -> dict[str, list[Late]]:
    """Return what is known of late records, by kind."""
    found: dict[str, list[Late]] = {}
    for row in connection.execute(sa.select(sync_lateness)):
        found.setdefault(row.kind, []).append(Late(row.up_to_s, row.records, row.longest_s, row.latest_at))
    return found
