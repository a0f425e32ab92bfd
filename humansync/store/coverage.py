"""What is done: folded so that the ledger stays small, measured for its density, forgotten on demand.

A folded row stands for many windows that touch; what they have cost and brought goes to the kind's
sums, so that no figure is lost when rows are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from humansync.ledger import Purpose, State
from humansync.store import kind_rows
from humansync.store.kind_rows import Sums
from humansync.store.tables import UNFINISHED, sync_kinds, sync_windows
from humansync.windows import Window, merge

_COLUMNS = sync_windows.c
_SUMS = (_COLUMNS.requests, _COLUMNS.rows, _COLUMNS.changed, _COLUMNS.rejected)
#: Windows that a kind's density is taken from.
RECENT = 50
#: Values of a bound list: well below what SQLite takes in one statement.
_LIST = 500


@dataclass(frozen=True, slots=True)
class Done:
    """A done row: what folding needs of it."""

    id: int
    window: Window
    folded: bool


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that become one."""

    keep: int
    window: Window
    #: the others
    gone: tuple[int, ...]


def folds(done: Iterable[Done]) -> list[Fold]:
    """Return which rows of one kind and purpose become one: those that touch or overlap. Pure."""
    rows = sorted(done, key=lambda row: (row.window, row.id))
    found: list[Fold] = []
    place = 0
    for window in merge(row.window for row in rows):
        first = place
        while place < len(rows) and rows[place].window.since < window.before:
            place += 1
        ids = [row.id for row in rows[first:place]]
        if len(ids) > 1:
            found.append(Fold(ids[0], window, tuple(ids[1:])))
    return found


# Statements that each pass or page needs are built once: building one costs more than the query.
_DONE = sa.select(
    _COLUMNS.id, _COLUMNS.since, _COLUMNS.before, _COLUMNS.purpose, _COLUMNS.folded, _COLUMNS.done_at, *_SUMS
).where(_COLUMNS.kind == sa.bindparam("kind"), _COLUMNS.state == State.DONE.value)
_LATEST = (
    sa.select(_COLUMNS.rows, _COLUMNS.since, _COLUMNS.before)
    .where(
        _COLUMNS.kind == sa.bindparam("kind"),
        _COLUMNS.state == State.DONE.value,
        _COLUMNS.folded.is_(sa.false()),
    )
    .order_by(_COLUMNS.done_at.desc())
    .limit(RECENT)
)
_REMEMBERED = sa.select(sync_kinds.c.recent_rows, sync_kinds.c.recent_s).where(
    sync_kinds.c.kind == sa.bindparam("kind")
)


def fold(connection: sa.Connection, kind: str) -> None:
    """Fold a kind's done rows. The caller holds the kind's row."""
    found = connection.execute(_DONE, {"kind": kind}).all()
    changes = [
        each
        for purpose in Purpose
        for each in folds(
            Done(row.id, Window(row.since, row.before), row.folded) for row in found if row.purpose == purpose
        )
    ]
    if not changes:
        return
    touched = {id_ for each in changes for id_ in (each.keep, *each.gone)}
    counted = [row for row in found if row.id in touched and not row.folded]
    _remember_density(connection, kind, counted)
    kind_rows.add(connection, kind, _total(counted))
    delete(connection, [id_ for each in changes for id_ in each.gone])
    done_at = {row.id: row.done_at for row in found}
    for each in changes:
        stands_for = {
            "since": each.window.since,
            "before": each.window.before,
            "done_at": max(done_at[id_] for id_ in (each.keep, *each.gone)),
            "folded": True,
            **{column.name: 0 for column in _SUMS},
        }
        connection.execute(sa.update(sync_windows).where(_COLUMNS.id == each.keep).values(stands_for))


def _total(rows: Sequence[Any]) -> Sums:
    return Sums(
        windows_done=len(rows),
        requests=sum(row.requests for row in rows),
        rows=sum(row.rows for row in rows),
        changed=sum(row.changed for row in rows),
        rejected=sum(row.rejected for row in rows),
    )


def delete(connection: sa.Connection, ids: Sequence[int]) -> None:
    """Delete rows whose sums have been taken care of."""
    for i in range(0, len(ids), _LIST):
        connection.execute(sa.delete(sync_windows).where(_COLUMNS.id.in_(ids[i : i + _LIST])))


# --- density --------------------------------------------------------------------------------------


def _remember_density(connection: sa.Connection, kind: str, rows: Sequence[Any]) -> None:
    """Add windows to the kind's recent sums; older ones fade as new ones come."""
    kept = max(0.0, 1 - len(rows) / RECENT)
    recent = {
        "recent_rows": sync_kinds.c.recent_rows * kept + sum(row.rows for row in rows),
        "recent_s": sync_kinds.c.recent_s * kept + sum(Window(row.since, row.before).seconds for row in rows),
    }
    connection.execute(sa.update(sync_kinds).where(sync_kinds.c.kind == kind).values(recent))


def density(connection: sa.Connection, kind: str) -> float | None:
    """Return rows per second over recent windows; None where there are none.

    Empty windows count: a burst that was read second by second would else make every later window look
    dense, be cut into hundreds of empty ones, and never be contradicted by them.
    """
    found = connection.execute(_LATEST, {"kind": kind}).all()
    past = connection.execute(_REMEMBERED, {"kind": kind}).one_or_none()
    kept = max(0.0, 1 - len(found) / RECENT) if past else 0.0
    rows = sum(row.rows for row in found) + (past.recent_rows * kept if past else 0.0)
    seconds = sum(Window(row.since, row.before).seconds for row in found) + (past.recent_s * kept if past else 0.0)
    return float(rows / seconds) if seconds else None


# --- forgetting -----------------------------------------------------------------------------------


def drop_unfinished(connection: sa.Connection, kind: str, purpose: Purpose | None = None) -> int:
    """Delete a kind's windows that are not done; return how many. What they cost stays in the sums."""
    kind_rows.locked(connection, kind)
    where = [_COLUMNS.kind == kind, _COLUMNS.state.in_(UNFINISHED)]
    if purpose is not None:
        where.append(_COLUMNS.purpose == purpose.value)
    rows = connection.execute(sa.delete(sync_windows).where(*where).returning(*_SUMS)).all()
    kind_rows.add(connection, kind, _spent(rows))
    return len(rows)


def _spent(rows: Sequence[Any]) -> Sums:
    """Return the sums of rows that were no complete reads."""
    total = _total(rows)
    return Sums(0, total.requests, total.rows, total.changed, total.rejected)


def forget_after(connection: sa.Connection, kind: str, to: datetime) -> None:
    """Forget live coverage after an instant: done rows beyond it are deleted, those across it are cut."""
    beyond = [_COLUMNS.kind == kind, _COLUMNS.purpose == Purpose.LIVE.value, _COLUMNS.state == State.DONE.value]
    gone = connection.execute(
        sa.delete(sync_windows).where(*beyond, _COLUMNS.since >= to).returning(_COLUMNS.folded, *_SUMS)
    ).all()
    kind_rows.add(connection, kind, _total([row for row in gone if not row.folded]))
    connection.execute(
        sa.update(sync_windows).where(*beyond, _COLUMNS.since < to, _COLUMNS.before > to).values(before=to)
    )


def spent_on(connection: sa.Connection, window_id: int) -> Sums:
    """Return what one unfinished window has cost and brought so far."""
    found = connection.execute(sa.select(*_SUMS).where(_COLUMNS.id == window_id)).all()
    return _spent(found)
