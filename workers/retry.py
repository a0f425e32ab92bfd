"""`humansync retry`: what was set aside is tried again, at once."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from config.queues import Queue
from config.settings import Settings
from humansync import plan
from humansync.errors import StateUnavailable
from humansync.kinds import KINDS
from humansync.ledger import WindowRow
from humansync.store import Store
from workers import deployment
from workers.tables import count

#: how long messages are believed to wait on their queue before the sweep sends others
WAITS_S = 600


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of what was set aside of one kind."""

    kind: str
    #: parked windows that are owed again
    windows: Sequence[WindowRow]
    #: rejected records that are stored now
    restored: int
    #: rejected records that this version cannot use either
    rejected: int
    #: nobody reads the kind's windows
    paused: bool


def retry(kinds: Sequence[str], *, as_json: bool) -> int:
    """Owe parked windows again, replay rejected records, say what came of it; return the exit status."""
    settings = deployment.settings()
    with deployment.store(settings) as store:
        found = [_retried(store, kind) for kind in kinds or settings.kinds]
        away = _issue(settings, [row for each in found if not each.paused for row in each.windows])
    print(json.dumps(document(found, enqueued=away is None)) if as_json else report(found, away))
    return 0


def _retried(store: Store, kind: str) -> Retried:
    replayed = store.replay(KINDS[kind], datetime.now(UTC))
    return Retried(kind, store.unpark(kind), replayed.restored, replayed.left, store.kind(kind).paused)


def _issue(settings: Settings, rows: Sequence[WindowRow]) -> str | None:
    """Send windows to the workers; return why that is not possible, None where it is done."""
    if not rows:
        return None
    queues: dict[Queue, list[WindowRow]] = {}
    for row in rows:
        live = plan.is_live(row.window, row.purpose, datetime.now(UTC))
        queues.setdefault(Queue.LIVE if live else Queue.BACKFILL, []).append(row)
    try:
        with deployment.shared(settings) as shared:
            for queue, some in queues.items():
                shared.mark_issued([row.id for row in some], WAITS_S, queue=queue.value)
        from workers import broker  # noqa: PLC0415 -- not without Redis

        for queue, some in queues.items():
            broker.issue(some, queue)
    except StateUnavailable as error:
        return str(error).rstrip(".")
    return None


def document(found: Sequence[Retried], *, enqueued: bool) -> dict[str, object]:
    """Return the document that `--json` prints."""
    return {
        "enqueued": enqueued,
        "kinds": [
            {
                "kind": each.kind,
                "windows": len(each.windows),
                "restored": each.restored,
                "rejected": each.rejected,
            }
            for each in found
        ],
    }


def report(found: Sequence[Retried], away: str | None) -> str:
    """Return a sentence for each kind of which anything was set aside, and what happens next."""
    lines = [f"{each.kind}: {_sentence(each)}" for each in found if each.windows or each.restored or each.rejected]
    if not lines:
        return "Nothing is parked, and no record is rejected."
    if away is not None:
        lines.append(f"{away}; the next `humansync run`, or the workers once Redis is back, read the windows")
    return "\n".join(lines)


def _sentence(each: Retried) -> str:
    again = "owed again, but the kind is paused" if each.paused else "tried again"
    facts = {
        f"parked windows {again}": len(each.windows),
        "rejected records stored": each.restored,
        "rejected records that still cannot be used": each.rejected,
    }
    return ", ".join(f"{what}: {count(number)}" for what, number in facts.items() if number)
