"""Re-issue what was lost."""

from celery import shared_task

from humansync import sync
from tasks import publish
from tasks.runtime import runtime


@shared_task(name="sync.sweep")
def sync_sweep() -> dict[str, int | str]:
    """Find ledger work that no message and no worker carries, and enqueue it again. Safe to run twice."""
    held = runtime()
    sync.rebuild_cursors(held.parts)
    outcome = sync.sweep(held.parts)
    publish.follow_ups(outcome.follow_ups, held.shared)
    return {"outcome": outcome.what, "windows": len(outcome.follow_ups)}
