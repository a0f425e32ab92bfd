"""`sync_windows`: the ledger's rows. Functions take the caller's transaction; none commits.

Locks are taken in one order by every transaction, so that none waits for another in a circle: records,
then the kind's row, then windows.
"""

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, fields, replace
from datetime import UTC, datetime
from typing import Any, get_type_hints

import sqlalchemy as sa
from sqlalchemy import exc

from humansync.errors import StaleEpoch
from humansync.ledger import ACTIVE, KindState, Purpose, State, Walk, WindowRow
from humansync.store.kind_rows import Sums
from humansync.store.tables import UNFINISHED, UNFINISHED_SQL, sync_kinds, sync_windows
from humansync.store.writing import insert
from humansync.windows import Window, merge

_COLUMNS = sync_windows.c
_ROW = (
    _COLUMNS.id,
    _COLUMNS.kind,
    _COLUMNS.since,
    _COLUMNS.before,
    _COLUMNS.purpose,
    _COLUMNS.state,
    _COLUMNS.epoch,
    _COLUMNS.walk,
    _COLUMNS.attempts,
    _COLUMNS.not_before,
    _COLUMNS.last_error,
    _COLUMNS.covered_to,
)
_KIND = tuple(sync_kinds.c[field.name].label(f"kind_{field.name}") for field in fields(KindState))
#: Values of a bound list: well below what SQLite takes in one statement.
_LIST = 500


# --- walks as JSON --------------------------------------------------------------------------------

_HINTS = get_type_hints(Walk)
_DEFAULTS = {field.name: field.default for field in fields(Walk) if field.default is not MISSING}
_INSTANTS = {name for name, hint in _HINTS.items() if hint == datetime | None}
_TUPLES = {name for name, hint in _HINTS.items() if hint == tuple[str, ...]}


def walk_to_json(walk: Walk) -> dict[str, Any]:
    """Return the fields that are not as in a new walk."""
    return {name: value for name, default in _DEFAULTS.items() if (value := getattr(walk, name)) != default}


def walk_from_json(stored: dict[str, Any]) -> Walk:
    """Return the walk; what another version of the program has stored beside it is ignored."""
    if not stored:
        return Walk()
    facts = {name: value for name, value in stored.items() if name in _DEFAULTS}
    for name in _INSTANTS & facts.keys():
        facts[name] = datetime.fromisoformat(facts[name]).astimezone(UTC)
    for name in _TUPLES & facts.keys():
        facts[name] = tuple(facts[name])
    return Walk(**facts)


def _window_row(found: Any) -> WindowRow:
    return WindowRow(
        id=found[0],
        kind=found[1],
        window=Window(found[2], found[3]),
        purpose=Purpose(found[4]),
        state=State(found[5]),
        epoch=found[6],
        walk=walk_from_json(found[7]),
        attempts=found[8],
        not_before=found[9],
        last_error=found[10],
        covered_to=found[11],
    )


def _kind_state(found: Any, kind: str) -> KindState:
    facts = found[len(_ROW) :]
    return KindState(kind) if facts[0] is None else KindState(*facts)


# --- reading --------------------------------------------------------------------------------------

_WITH_KIND = sa.select(*_ROW, *_KIND).select_from(
    sync_windows.outerjoin(sync_kinds, sync_kinds.c.kind == _COLUMNS.kind)
)
_BY_ID = _WITH_KIND.where(_COLUMNS.id == sa.bindparam("window_id"))
_BY_BOUNDS = (
    _WITH_KIND.where(
        _COLUMNS.kind == sa.bindparam("kind"),
        _COLUMNS.since == sa.bindparam("since"),
        _COLUMNS.before == sa.bindparam("before"),
        _COLUMNS.state.in_(UNFINISHED),
    )
    .order_by(sa.case((_COLUMNS.purpose == Purpose.LIVE.value, 0), else_=1), _COLUMNS.id)
    .limit(1)
)
_UNFINISHED_BOUNDS = sa.select(_COLUMNS.since, _COLUMNS.before, _COLUMNS.purpose).where(
    _COLUMNS.kind == sa.bindparam("kind"), _COLUMNS.state.in_(UNFINISHED)
)
_DONE_BOUNDS = sa.select(_COLUMNS.since, _COLUMNS.before).where(
    _COLUMNS.kind == sa.bindparam("kind"),
    _COLUMNS.purpose == sa.bindparam("purpose"),
    _COLUMNS.state == State.DONE.value,
)
_DUE = _COLUMNS.not_before <= sa.bindparam("now")
_OWED = (
    sa.select(*_ROW)
    .select_from(sync_windows.outerjoin(sync_kinds, sync_kinds.c.kind == _COLUMNS.kind))
    .where(
        sa.or_(
            sa.and_(_COLUMNS.state.in_([state.value for state in ACTIVE]), sa.or_(_COLUMNS.not_before.is_(None), _DUE)),
            sa.and_(_COLUMNS.state == State.FAILED.value, _DUE),
        ),
        _COLUMNS.touched_at < sa.bindparam("idle_since"),
        sync_kinds.c.disabled.is_(None),
        sa.func.coalesce(sync_kinds.c.paused, sa.false()).is_(sa.false()),
    )
    .order_by(_COLUMNS.touched_at, _COLUMNS.id)
    .limit(sa.bindparam("most"))
)
_ON = (
    sa.select(_COLUMNS.since, _COLUMNS.before)
    .where(
        _COLUMNS.kind == sa.bindparam("kind"),
        _COLUMNS.purpose == Purpose.LIVE.value,
        _COLUMNS.state == State.DONE.value,
        _COLUMNS.before > sa.bindparam("reached"),
    )
    .order_by(_COLUMNS.since)
    .limit(64)
)


def by_id(connection: sa.Connection, window_id: int) -> tuple[WindowRow, KindState] | None:
    """Return a window and its kind."""
    found = connection.execute(_BY_ID, {"window_id": window_id}).one_or_none()
    return None if found is None else (_window_row(found), _kind_state(found, found[1]))


def by_bounds(connection: sa.Connection, kind: str, window: Window) -> tuple[WindowRow, KindState] | None:
    """Return the unfinished window of these bounds, a live one first."""
    bounds = {"kind": kind, "since": window.since, "before": window.before}
    found = connection.execute(_BY_BOUNDS, bounds).one_or_none()
    return None if found is None else (_window_row(found), _kind_state(found, kind))


def unfinished(connection: sa.Connection, kind: str) -> list[tuple[Window, Purpose]]:
    """Return what is owed, walking or parked, of every purpose, by bounds."""
    found = connection.execute(_UNFINISHED_BOUNDS, {"kind": kind})
    return sorted((Window(since, before), Purpose(purpose)) for since, before, purpose in found)


def coverage(connection: sa.Connection, kind: str, purpose: Purpose) -> list[Window]:
    """Return what is done, as sorted, disjoint, non-touching windows."""
    found = connection.execute(_DONE_BOUNDS, {"kind": kind, "purpose": purpose.value})
    return merge(Window(since, before) for since, before in found)


def coverage_from(connection: sa.Connection, kind: str, instant: datetime) -> datetime:
    """Return the end of the gapless live coverage that holds `instant`; `instant` where nothing does."""
    reached = instant
    while True:
        found = connection.execute(_ON, {"kind": kind, "reached": reached}).all()
        came_from = reached
        for since, before in found:
            if since > reached:
                return reached
            reached = max(reached, before)
        if reached == came_from:
            return reached


def owed(connection: sa.Connection, now: datetime, idle_since: datetime, limit: int) -> list[WindowRow]:
    """Return windows of kinds that are neither paused nor disabled, due and untouched since an instant; stalest first."""
    times = {"now": now, "idle_since": idle_since, "most": limit}
    return [_window_row(found) for found in connection.execute(_OWED, times)]


# --- writing --------------------------------------------------------------------------------------


#: Rows in one statement: that of a thousand takes megabytes, which the process keeps.
_ROWS_AT_ONCE = {"insertmanyvalues_page_size": 100}


def add(
    connection: sa.Connection,
    kind: str,
    windows: Iterable[tuple[Window, Purpose]],
    now: datetime,
    *,
    covered: Sequence[Window] = (),
    walk: Walk | None = None,
) -> list[WindowRow]:
    """Insert owed windows, less those that are owed already; return the inserted rows, in the order given.

    covered: what was complete when they were planned, sorted and disjoint; reading that again shows what came late.
    walk: what is known of all of them already.
    """
    wanted = list(dict.fromkeys(windows))
    if not wanted:
        return []
    statement = insert(connection, sync_windows)
    statement = statement.on_conflict_do_nothing(
        index_elements=[_COLUMNS.kind, _COLUMNS.purpose, _COLUMNS.since, _COLUMNS.before], index_where=UNFINISHED_SQL
    )
    rows = [
        _new(kind, window, purpose, State.OWED, now)
        | {"covered_to": _covered_to(window, purpose, covered), "walk": walk_to_json(walk or Walk())}
        for window, purpose in sorted(wanted)
    ]
    found = connection.execute(statement.returning(*_ROW), rows, execution_options=_ROWS_AT_ONCE)
    inserted = {(row.window, row.purpose): row for row in map(_window_row, found)}
    return [inserted[each] for each in wanted if each in inserted]


def _covered_to(window: Window, purpose: Purpose, covered: Sequence[Window]) -> datetime | None:
    """Return the end of what was complete where the window begins; a backfill is not asked for its lateness."""
    if purpose is Purpose.BACKFILL:
        return None
    return next((each.before for each in covered if each.since <= window.since < each.before), None)


def add_done(
    connection: sa.Connection,
    row: WindowRow,
    window: Window,
    sums: Sums,
    *,
    read_at: datetime | None,
    now: datetime,
) -> None:
    """Insert a part of a window that is complete."""
    done = _new(row.kind, window, row.purpose, State.DONE, now) | {
        "requests": sums.requests,
        "rows": sums.rows,
        "changed": sums.changed,
        "rejected": sums.rejected,
        "done_at": now,
        "read_at": read_at,
    }
    connection.execute(sa.insert(sync_windows), done)


def _new(kind: str, window: Window, purpose: Purpose, state: State, now: datetime) -> dict[str, Any]:
    return {
        "kind": kind,
        "since": window.since,
        "before": window.before,
        "purpose": purpose.value,
        "state": state.value,
        "epoch": 0,
        "walk": {},
        "attempts": 0,
        "requests": 0,
        "rows": 0,
        "changed": 0,
        "rejected": 0,
        "folded": False,
        "created_at": now,
        "touched_at": now,
    }


#: The fence: nobody has moved the window on since it was read.
_FENCE = sa.and_(
    _COLUMNS.id == sa.bindparam("fence_id"),
    _COLUMNS.epoch == sa.bindparam("fence_epoch"),
    _COLUMNS.state != State.DONE.value,
)
_ADVANCE = (
    sa.update(sync_windows)
    .where(_FENCE)
    .values(
        since=sa.bindparam("to_since"),
        before=sa.bindparam("to_before"),
        state=sa.bindparam("to_state"),
        epoch=_COLUMNS.epoch + 1,
        walk=sa.bindparam("to_walk", type_=sa.JSON()),
        attempts=0,
        requests=_COLUMNS.requests + sa.bindparam("more_requests"),
        rows=_COLUMNS.rows + sa.bindparam("more_rows"),
        changed=_COLUMNS.changed + sa.bindparam("more_changed"),
        rejected=_COLUMNS.rejected + sa.bindparam("more_rejected"),
        not_before=sa.null(),
        touched_at=sa.bindparam("now"),
        done_at=sa.bindparam("to_done_at"),
        read_at=sa.func.coalesce(sa.bindparam("to_read_at", type_=_COLUMNS.read_at.type), _COLUMNS.read_at),
        last_error=sa.null(),
    )
)
_REMOVE = sa.delete(sync_windows).where(_FENCE)


def advance(
    connection: sa.Connection,
    row: WindowRow,
    *,
    state: State,
    walk: Walk,
    window: Window,
    sums: Sums,
    read_at: datetime | None,
    now: datetime,
) -> WindowRow:
    """Bring a window to its next state; return it. Raises StaleEpoch if somebody else already has."""
    facts = {
        "fence_id": row.id,
        "fence_epoch": row.epoch,
        "to_since": window.since,
        "to_before": window.before,
        "to_state": state.value,
        "to_walk": {} if state is State.DONE else walk_to_json(walk),
        "more_requests": sums.requests,
        "more_rows": sums.rows,
        "more_changed": sums.changed,
        "more_rejected": sums.rejected,
        "now": now,
        "to_done_at": now if state is State.DONE else None,
        "to_read_at": read_at,
    }
    try:
        moved = connection.execute(_ADVANCE, facts).rowcount
    except exc.IntegrityError:
        # the new bounds are those of another unfinished window: that one goes first
        raise StaleEpoch("another window owes the same read") from None
    _fenced(row, moved)
    return replace(
        row,
        window=window,
        state=state,
        epoch=row.epoch + 1,
        walk=Walk() if state is State.DONE else walk,
        attempts=0,
        not_before=None,
        last_error=None,
    )


def remove(connection: sa.Connection, row: WindowRow) -> None:
    """Delete a window that others take the place of, or that is owed no more. Raises StaleEpoch as `advance` does."""
    _fenced(row, connection.execute(_REMOVE, {"fence_id": row.id, "fence_epoch": row.epoch}).rowcount)


def fail(
    connection: sa.Connection,
    row: WindowRow,
    *,
    error: str,
    state: State,
    walk: Walk,
    attempts: int,
    requests: int,
    not_before: datetime | None,
    now: datetime,
) -> WindowRow:
    """Note a failure; return the row as it is now. Raises StaleEpoch if somebody else has moved it on."""
    changes: dict[str, Any] = {
        "state": state.value,
        "walk": walk_to_json(walk),
        "attempts": attempts,
        "not_before": not_before,
        "last_error": error,
        "touched_at": now,
        "epoch": row.epoch + 1,
        "requests": _COLUMNS.requests + requests,
    }
    fence = {"fence_id": row.id, "fence_epoch": row.epoch}
    _fenced(row, connection.execute(sa.update(sync_windows).where(_FENCE).values(changes), fence).rowcount)
    return replace(
        row,
        state=state,
        walk=walk,
        attempts=attempts,
        not_before=not_before,
        last_error=error,
        epoch=row.epoch + 1,
    )


def _fenced(row: WindowRow, moved: int) -> None:
    if moved != 1:
        raise StaleEpoch(f"window {row.id} is no longer at epoch {row.epoch}")


def touch(connection: sa.Connection, ids: Sequence[int], now: datetime) -> None:
    """Note that these windows have been put on the queue again."""
    for some in _slices(ids):
        connection.execute(sa.update(sync_windows).where(_COLUMNS.id.in_(some)).values(touched_at=now))


def park_all(connection: sa.Connection, error: str, not_before: datetime, now: datetime) -> int:
    """Park every active window; return how many. Epochs stay: a page that is in flight may still be committed."""
    query = sa.update(sync_windows).where(_COLUMNS.state.in_([state.value for state in ACTIVE]))
    parked = {"state": State.FAILED.value, "not_before": not_before, "last_error": error, "touched_at": now}
    return connection.execute(query.values(parked)).rowcount


def parked(connection: sa.Connection, limit: int) -> list[WindowRow]:
    """Return parked windows of every kind, the oldest of each first."""
    query = sa.select(*_ROW).where(_COLUMNS.state == State.FAILED.value)
    return [
        _window_row(found) for found in connection.execute(query.order_by(_COLUMNS.kind, _COLUMNS.since).limit(limit))
    ]


def any_parked(connection: sa.Connection, kind: str) -> bool:
    """Return whether a kind has a parked window."""
    query = sa.select(sa.exists().where(_COLUMNS.kind == kind, _COLUMNS.state == State.FAILED.value))
    return bool(connection.execute(query).scalar_one())


def unpark(connection: sa.Connection, kind: str) -> list[WindowRow]:
    """Owe parked windows again, as if they had never failed; return them."""
    query = sa.update(sync_windows).where(_COLUMNS.kind == kind, _COLUMNS.state == State.FAILED.value)
    changes = {"state": State.OWED.value, "attempts": 0, "not_before": sa.null(), "epoch": _COLUMNS.epoch + 1}
    return sorted(
        map(_window_row, connection.execute(query.values(changes).returning(*_ROW))), key=lambda row: row.window
    )


def _slices(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[i : i + _LIST] for i in range(0, len(ids), _LIST))
