"""The beat table: a doorbell for each kind, one for what was lost, one for the audit.

What is owed is computed from coverage.
"""

from datetime import UTC, datetime

from config.queues import Queue
from config.settings import Settings

#: Lost work is looked for this often.
SWEEP_EVERY_S = 15
#: History is proven a window at a time, this often, and not before a deployment has settled.
AUDIT_EVERY_S = 600
#: A tick that nobody heard within its period is worthless, but clocks of hosts may differ by this much.
TICK_KEPT_AT_LEAST_S = 60

#: Each entry but the audit's begins overdue: a beat that has just started rings at once, and a beat that keeps being
#: restarted rings all the same. There is no file of last runs to be lost or corrupted.
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


def table(settings: Settings) -> dict[str, dict[str, object]]:
    """Return Celery's `beat_schedule`: entry name -> task, period in seconds, arguments."""
    ticks = {f"sync.kind {kind}": _entry("sync.kind", settings.every(kind), kind) for kind in settings.kinds}
    audit = _entry("sync.audit", AUDIT_EVERY_S, queue=Queue.BACKFILL, last_run_at=datetime.now(UTC))
    return {**ticks, "sync.sweep": _entry("sync.sweep", SWEEP_EVERY_S), "sync.audit": audit}


def _entry(
    task: str, every_s: int, *args: str, queue: Queue = Queue.LIVE, last_run_at: datetime = _LONG_AGO
) -> dict[str, object]:
    return {
        "task": task,
        "schedule": float(every_s),
        "args": args,
        "last_run_at": last_run_at,
        "options": {
            "queue": queue.value,
            # While no worker runs, ticks must not pile up.
            "expires": max(every_s, TICK_KEPT_AT_LEAST_S),
            # Tells a tick from a call by hand: the ticks of two beats make one pass.
            "headers": {"tick": True},
        },
    }
