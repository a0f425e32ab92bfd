"""How long until interrupted work is under way again."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import redis
import sqlalchemy as sa

from humansync.errors import StoreUnavailable
from humansync.state import keys
from humansync.store.store import Store
from humansync.store.tables import sync_windows
from humansync.windows import format_instant
from tests.chaos.stage import DAYS, KINDS, Stage
from tests.processes import until

#: Work that is not under way again by then is lost for practical purposes.
PATIENCE_S = 150.0
#: So many windows must be read, and so many be owed, before anything is broken.
READ, OWED = 3, 12

_TASK_ID = re.compile(r'"id": ?"[a-z_]+-(\d+)-(\d+)"')


@dataclass(frozen=True, slots=True)
class Interrupted:
    """One window that is owed: in a worker's hands, or its message on a queue."""

    window_id: int
    epoch: int
    #: a worker has its message
    taken: bool
    #: who reads it; None while the message waits, on a queue or in a worker's memory
    lease: str | None


def owed(stage: Stage) -> list[Interrupted]:
    """Return the windows that are owed, and where they are."""
    with stage.cache() as cache:
        taken = {int(id_) for text in cache.hvals("unacked") for id_, _ in _TASK_ID.findall(str(text))}
        leases = {
            int(str(key).rpartition(":")[2]): str(cache.get(key)) for key in cache.scan_iter(f"{keys.PREFIX}lease:*")
        }
    table = sync_windows.c
    query = sa.select(table.id, table.epoch).where(table.state.in_(("owed", "walking")))
    with stage.store() as store, store.engine.connect() as connection:
        rows = list(connection.execute(query))
    return [Interrupted(id_, epoch, id_ in taken or id_ in leases, leases.get(id_)) for id_, epoch in rows]


def keep_busy(stage: Stage) -> None:
    """Have history read again, and wait until several windows are under way."""
    now = datetime.now(UTC)
    for number, kind in enumerate(KINDS):
        # other bounds each time: what is under way already is not planned again
        since = now - timedelta(days=DAYS - 1, seconds=number)
        stage.ask(kind, format_instant(since), format_instant(now - timedelta(hours=1)))

    def enough() -> bool:
        found = owed(stage)
        return len(found) >= OWED and len([each for each in found if each.lease]) >= READ

    until("work is under way", enough, 90)


class Recovery:
    """Watches interrupted windows."""

    def __init__(self, stage: Stage, interrupted: Sequence[Interrupted]) -> None:
        self.stage = stage
        self.interrupted = list(interrupted)
        self.began = time.monotonic()
        #: seconds after the mending, by window
        self.after_s: dict[int, float] = {}

    def watch(self) -> "Recovery":
        """Wait until all of it is under way again, or done."""
        with self.stage.store() as store:
            while len(self.after_s) < len(self.interrupted) and time.monotonic() - self.began < PATIENCE_S:
                self._look(store)
                time.sleep(0.2)
        return self

    def _look(self, store: Store) -> None:
        left = [each for each in self.interrupted if each.window_id not in self.after_s]
        try:
            rows = _rows(store, [each.window_id for each in left])
            with self.stage.cache() as cache:
                leases = [cache.get(keys.lease(each.window_id)) for each in left]
                queued = [not each.taken and bool(cache.exists(keys.issued(each.window_id))) for each in left]
        except (StoreUnavailable, redis.RedisError):
            return
        for each, lease, waits in zip(left, leases, queued, strict=True):
            epoch, state = rows.get(each.window_id, (None, "gone"))
            if waits or epoch != each.epoch or state == "done" or (lease is not None and lease != each.lease):
                self.after_s[each.window_id] = max(0.0, time.monotonic() - self.began)

    @property
    def lost(self) -> int:
        """How much was not under way again in time."""
        return len(self.interrupted) - len(self.after_s)

    @property
    def longest_s(self) -> float:
        """How long the last of it took."""
        return max(self.after_s.values(), default=0.0) if not self.lost else PATIENCE_S


def _rows(store: Store, ids: Sequence[int]) -> dict[int, tuple[int, str]]:
    """Return epoch and state of windows."""
    table = sync_windows.c
    query = sa.select(table.id, table.epoch, table.state).where(table.id.in_(ids))
    try:
        with store.engine.connect() as connection:
            return {id_: (epoch, state) for id_, epoch, state in connection.execute(query)}
    except sa.exc.DBAPIError as error:
        raise StoreUnavailable(type(error).__name__) from error
