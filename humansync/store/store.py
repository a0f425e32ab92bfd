"""The database as the rest of the program sees it: every method is one transaction.

Methods raise StoreUnavailable when the database is away, locked or full (nothing is half-stored then)
and StoreRefused when it turns a statement down.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from humansync.compare import Stored
from humansync.errors import StoreRefused, StoreUnavailable
from humansync.kinds import KINDS, Kind, Read
from humansync.lateness import Late
from humansync.ledger import KindState, Purpose, State, Walk, WindowRow
from humansync.proofs import Proof
from humansync.records import Batch, part
from humansync.store import coverage, differences, kind_rows, proof_rows, rejects, versions, windows
from humansync.store.engine import LOCK_WAIT_S, WRITES, translated
from humansync.store.kind_rows import Sums
from humansync.store.rejects import Replayed
from humansync.store.tables import sync_meta
from humansync.store.totals import Totals, totals
from humansync.store.upsert import NOT_YET, count_unseen, delete_unseen, mark_seen, upsert
from humansync.store.writing import insert
from humansync.windows import Window, floor_second

if TYPE_CHECKING:
    from humansync.pages import Step
    from humansync.plan import Planned

#: What `Store.plan` asks: kind, live coverage (sorted, disjoint), unfinished windows of every purpose, rows a second.
Decide = Callable[[KindState, list[Window], list[tuple[Window, Purpose]], float | None], "Planned"]


class Store:
    """Records and ledger in one database. Safe to use from several threads."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._writer = engine.execution_options(**{WRITES: True})
        # single statements need no transaction: that saves PostgreSQL two round trips each
        sqlite = engine.dialect.name == "sqlite"
        # SQLite has one writer at a time: of each process one waits for its turn, and the others for that one
        self._turn = threading.Lock() if sqlite else None
        self._reader = engine if sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")

    @property
    def unpacks(self) -> bool:
        """Whether the database makes rows of a page's own text: `humansync.received`."""
        return self.engine.dialect.name == "postgresql"

    @contextlib.contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with self._in_turn(), translated(), self._writer.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
        elif self._turn.acquire(timeout=LOCK_WAIT_S):
            try:
                yield
            finally:
                self._turn.release()
        else:
            raise StoreUnavailable("the database is busy: other writers have not come to an end in time")

    @contextlib.contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with translated(), self._reader.connect() as connection:
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        self.engine.dispose()

    # --- kinds ------------------------------------------------------------------------------------

    def kind(self, kind: str) -> KindState:
        """Return what lasts about a kind."""
        with self._read() as connection:
            return kind_rows.one(connection, kind)

    def kinds(self) -> dict[str, KindState]:
        """Return what lasts about every kind of the catalogue, by name."""
        with self._read() as connection:
            known = kind_rows.every(connection)
        return {name: known.get(name, KindState(name)) for name in KINDS}

    def set_kind(self, kind: str, **changes: object) -> None:
        """Set fields of KindState. KeyError for any other name."""
        with self._write() as connection:
            kind_rows.locked(connection, kind)
            kind_rows.change(connection, kind, changes)

    def note_requests(self, kind: str, requests: int) -> None:
        """Add requests that were sent for no window to a kind's sum."""
        with self._write() as connection:
            kind_rows.locked(connection, kind)
            kind_rows.add(connection, kind, Sums(requests=requests))

    def disable(self, kind: str, why: str, now: datetime) -> None:
        """Note that the API does not offer a kind, and drop what it owes."""
        with self._write() as connection:
            coverage.drop_unfinished(connection, kind)
            kind_rows.change(connection, kind, {"disabled": why, "disabled_at": now})

    def reset(self, kind: str, to: datetime) -> None:
        """Forget live coverage after `to`, so that it is read again; figures stay."""
        to = floor_second(to)
        with self._write() as connection:
            state = kind_rows.locked(connection, kind)
            coverage.drop_unfinished(connection, kind, Purpose.LIVE)
            coverage.forget_after(connection, kind, to)
            start = to if state.start is None else min(state.start, to)
            kind_rows.change(connection, kind, {"start": start, "whole_read_at": None})

    # --- planning ---------------------------------------------------------------------------------

    def plan(self, kind: str, decide: Decide, now: datetime) -> list[WindowRow]:
        """Add the windows that `decide` finds owed; return those that were not owed already, in its order.

        One planner at a time: the kind's row is locked. `decide` is pure. Done rows are folded on the way.
        """
        with self._write() as connection:
            state = kind_rows.locked(connection, kind)
            coverage.fold(connection, kind)
            covered = windows.coverage(connection, kind, Purpose.LIVE)
            density = coverage.density(connection, kind)
            planned = decide(state, covered, windows.unfinished(connection, kind), density)
            kind_rows.change(connection, kind, planned.changes)
            kind_rows.add(connection, kind, Sums(requests=planned.requests))
            return windows.add(connection, kind, planned.windows, now, covered=covered)

    def density(self, kind: str) -> float | None:
        """Return the kind's rows per second over recent windows; None where there are none."""
        with self._read() as connection:
            return coverage.density(connection, kind)

    # --- a window's way ---------------------------------------------------------------------------

    def row(self, window_id: int) -> tuple[WindowRow, KindState] | None:
        """Return a window and its kind; None when the window is a row no more."""
        with self._read() as connection:
            return windows.by_id(connection, window_id)

    def find(self, kind: str, window: Window) -> tuple[WindowRow, KindState] | None:
        """Return the unfinished window of these bounds, a live one before others, and its kind."""
        with self._read() as connection:
            return windows.by_bounds(connection, kind, window)

    def commit(
        self, row: WindowRow, kind: Kind, batch: Batch, settle: "Callable[[int], Step]", now: datetime
    ) -> "tuple[Step, list[WindowRow]]":
        """Store a page and what it means for its window, or nothing of it.

        settle: pure; given how many rows were news, returns the step; what it raises undoes the page. News are rows
        that were inserted or updated; of a kind read whole, once its read is under way, those that it had not shown
        before: there, records that keep changing are no sign that some were never seen. Returns the step and the
        windows that are to be read on: the row itself, its children, or none.
        Raises StaleEpoch, with nothing changed, if somebody else has moved the window on.
        """
        with self._write() as connection:
            whole = kind.read is Read.WHOLE
            changed = upsert(connection, kind, batch, now, seen=NOT_YET if whole else None)
            if batch.rejected:
                rejects.add(connection, kind.name, row.window, batch.rejected, now)
            if changed and row.covered_to is not None:
                proof_rows.note_late(connection, kind, batch.updated, row.covered_to, now)
            began_at = row.walk.began_at if whole else None
            step = settle(changed if began_at is None else count_unseen(connection, kind, batch, began_at))
            if whole:
                # the clock that `stale_before` is read from: the API's, at the beginning of the pass
                mark_seen(connection, kind, batch, step.walk.began_at or now)
                if step.stale_before is not None:
                    delete_unseen(connection, kind, step.stale_before)
            sums = Sums(0, step.requests, batch.received, changed, len(batch.rejected))
            return step, _apply(connection, row, step, sums, now)

    def fail(
        self,
        row: WindowRow,
        *,
        error: str,
        now: datetime,
        not_before: datetime | None,
        state: State,
        requests: int = 1,
        walk: Walk | None = None,
        counted: bool = True,
    ) -> WindowRow:
        """Note a failed request; return the row as it is now. Raises StaleEpoch as `commit` does.

        counted: whether it is one of the window's failures in a row, and the kind's latest error; a wait that
        the API asked for is neither.
        """
        with self._write() as connection:
            if counted:
                kind_rows.note_error(connection, row.kind, error, now)
            return windows.fail(
                connection,
                row,
                error=error,
                state=state,
                walk=walk or row.walk,
                attempts=row.attempts + counted,
                requests=requests,
                not_before=not_before,
                now=now,
            )

    def owed(self, now: datetime, idle_since: datetime, limit: int) -> list[WindowRow]:
        """Return windows that are due and that nobody has touched since an instant, the longest untouched first.

        Windows of paused and disabled kinds are not due; parked ones are once their time has come.
        """
        with self._read() as connection:
            return windows.owed(connection, now, idle_since, limit)

    def touch(self, ids: Sequence[int], now: datetime) -> None:
        """Note that these windows have been put on the queue again."""
        with self._write() as connection:
            windows.touch(connection, sorted(ids), now)

    def park_all(self, error: str, *, now: datetime, not_before: datetime) -> int:
        """Park every window of every kind until an instant; return how many."""
        with self._write() as connection:
            kind_rows.note_error(connection, None, error, now)
            return windows.park_all(connection, error, not_before, now)

    def unpark(self, kind: str) -> list[WindowRow]:
        """Owe a kind's parked windows again, as if they had never failed; return them, oldest first."""
        with self._read() as connection:  # a writer keeps others waiting, and there is rarely one
            if not windows.any_parked(connection, kind):
                return []
        with self._write() as connection:
            return windows.unpark(connection, kind)

    def parked(self, limit: int) -> list[WindowRow]:
        """Return parked windows of every kind, each with its reason; of each kind the oldest first."""
        with self._read() as connection:
            return windows.parked(connection, limit)

    def drop_windows(self, kind: str, purpose: Purpose | None = None) -> int:
        """Drop a kind's windows that are not done; return how many."""
        with self._write() as connection:
            return coverage.drop_unfinished(connection, kind, purpose)

    # --- what is covered --------------------------------------------------------------------------

    def coverage(self, kind: str, purpose: Purpose = Purpose.LIVE) -> list[Window]:
        """Return what is done, as sorted, disjoint, non-touching windows."""
        with self._read() as connection:
            return windows.coverage(connection, kind, purpose)

    def coverage_from(self, kind: str, instant: datetime) -> datetime:
        """Return the end of the gapless live coverage that holds `instant`; `instant` itself where nothing does."""
        with self._read() as connection:
            return windows.coverage_from(connection, kind, instant)

    # --- figures and the rest ---------------------------------------------------------------------

    def totals(self, *, records: bool = True) -> dict[str, Totals]:
        """Return the figures of every kind. Without `records` the tables' rows are not counted, which is quick."""
        with self._read() as connection:
            return totals(connection, records=records)

    def rejected(self) -> dict[str, dict[str, int]]:
        """Return how many records are set aside in `rejected_records`, by kind and reason."""
        with self._read() as connection:
            return rejects.by_reason(connection)

    def late(self) -> dict[str, list[Late]]:
        """Return the classes of late records, by kind."""
        with self._read() as connection:
            return proof_rows.late(connection)

    # --- comparing with the API -------------------------------------------------------------------

    def differing(self, kind: Kind, batch: Batch) -> dict[str, Stored]:
        """Return, by identity, what is stored in place of the rows of the batch that are not stored as they are."""
        with self._read() as connection:
            return differences.differing(connection, kind, batch)

    def stored_within(self, kind: Kind, window: Window) -> dict[str, str]:
        """Return the `updated_at` cells, by identity, of the rows updated within a window."""
        with self._read() as connection:
            return differences.within(connection, kind, window)

    def stored_of(self, kind: Kind, identities: Iterable[str]) -> dict[str, str]:
        """Return the `updated_at` cells, by identity, of those of the identities that are stored; "" where empty."""
        with self._read() as connection:
            return differences.stored_of(connection, kind, identities)

    def identities(self, kind: Kind, after: str | None, limit: int) -> list[str]:
        """Return the identities that follow one, in order; the first ones after None."""
        with self._read() as connection:
            return differences.identities(connection, kind, after, limit)

    def mend(self, kind: Kind, batch: Batch, wrong: Mapping[str, str | None], now: datetime) -> int:
        """Store the batch over what is there, unless that has become newer; return how many rows were written.

        wrong: cells of `updated_at`, by identity, that are known to be wrong though they sort after the batch's.
        """
        with self._write() as connection:
            differences.set_back(connection, kind, batch, wrong)
            return upsert(connection, kind, batch, now, mending=True)

    def remove(self, kind: Kind, seen: Mapping[str, str]) -> list[str]:
        """Delete rows whose `updated_at` cell is still the one seen; return the identities of those that were."""
        with self._write() as connection:
            return differences.remove(connection, kind, seen)

    def refused(self, kind: Kind, batch: Batch, now: datetime, most: int) -> dict[int, str] | None:
        """Return which rows of a batch the database refuses, with its reason; None if they are more than `most`.

        Found by trial: halves of the batch are written and taken back, until a refused row stands alone.
        """
        found: dict[int, str] = {}
        ahead = [range(len(batch.rows))] if batch.rows else []
        while ahead:
            places = ahead.pop()
            reason = self._refusal(kind, part(batch, places), now)
            if reason is None:
                continue
            if len(places) > 1:
                middle = len(places) // 2
                ahead += [places[:middle], places[middle:]]
                continue
            found[places[0]] = reason
            if len(found) > most:
                return None
        return found

    def _refusal(self, kind: Kind, batch: Batch, now: datetime) -> str | None:
        try:
            with self._in_turn(), translated(), self._writer.connect() as connection:
                upsert(connection, kind, batch, now)
                connection.rollback()
        except StoreRefused as error:
            if not error.of_a_value:
                raise
            return str(error)
        return None

    def prove(self, kind: str, proof: Proof) -> None:
        """Note that a range was compared with the API; what was known of it before gives way."""
        with self._write() as connection:
            proof_rows.add(connection, kind, proof)

    def proofs(self) -> dict[str, list[Proof]]:
        """Return what was compared with the API, by kind: sorted, disjoint."""
        with self._read() as connection:
            return proof_rows.every(connection)

    # --- versions, replay and the rest ------------------------------------------------------------

    def versions(self, kind: Kind, window: Window | None = None) -> dict[str, datetime | None]:
        """Return `updated_at` by identity of the records updated within a window; of all, where it is None."""
        with self._read() as connection:
            return versions.within(connection, kind, window)

    def versions_of(self, kind: Kind, identities: Sequence[str]) -> dict[str, datetime | None]:
        """Return `updated_at` by identity of those of the given identities that are stored."""
        with self._read() as connection:
            return versions.of(connection, kind, identities)

    def replay(self, kind: Kind, now: datetime) -> Replayed:
        """Give all rejected records of a kind to today's mapping; those it can use become rows."""
        restored = left = 0
        after: int | None = 0
        while after is not None:
            with self._write() as connection:
                some, after = rejects.replay(connection, kind, now, after)
            restored, left = restored + some.restored, left + some.left
        return Replayed(restored, left)

    def meta(self, key: str) -> str | None:
        """Return a fact about the installation."""
        with self._read() as connection:
            return connection.execute(sa.select(sync_meta.c.value).where(sync_meta.c.key == key)).scalar_one_or_none()

    def set_meta(self, key: str, value: str) -> None:
        """Note a fact about the installation."""
        with self._write() as connection:
            statement = insert(connection, sync_meta).values(key=key, value=value)
            connection.execute(statement.on_conflict_do_update(index_elements=["key"], set_={"value": value}))


def _apply(connection: sa.Connection, row: WindowRow, step: "Step", sums: Sums, now: datetime) -> list[WindowRow]:
    """Bring the ledger to where the step leads; return the windows to be read on."""
    kind_rows.learn(
        connection,
        row.kind,
        cap=step.cap,
        largest=step.largest,
        gives_lists=step.gives_lists,
        whole_read_at=step.whole_read_at,
    )
    # what this page cost and brought belongs to the part it completes, else to the window it was read for
    own = Sums() if step.done else sums
    if step.children or step.dropped:
        kind_rows.add(connection, row.kind, coverage.spent_on(connection, row.id) + own)
        windows.remove(connection, row)
        covered = [Window(row.window.since, row.covered_to)] if row.covered_to else []
        owed = [(child, row.purpose) for child in step.children]
        on = windows.add(connection, row.kind, owed, now, covered=covered, walk=step.walk)
    else:
        advanced = windows.advance(
            connection,
            row,
            state=step.state,
            walk=step.walk,
            window=step.window or row.window,
            sums=own,
            read_at=step.read_at,
            now=now,
        )
        on = [] if step.state is State.DONE else [advanced]
    if step.done:
        windows.add_done(connection, row, step.done, sums, read_at=step.read_at, now=now)
    return on
