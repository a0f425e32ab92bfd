"""Put steps on the queues. A message may be lost or doubled: the ledger knows what is owed."""

import logging
from collections.abc import Sequence

from celery import current_app
from kombu import Producer
from kombu.exceptions import OperationalError

from config.queues import Queue
from humansync import errors, sync
from humansync.state.shared import Shared

log = logging.getLogger(__name__)

#: A longer wait is left to the ledger's `not_before` and the sweep: a message with an ETA sits
#: unacknowledged in one worker's memory.
LONGEST_COUNTDOWN_S = 60.0


def follow_ups(steps: Sequence[sync.FollowUp], shared: Shared) -> None:
    """Send what must follow a step, after its commit. Never raises: the sweep sends what was not."""
    due = [step for step in steps if step.delay_s <= LONGEST_COUNTDOWN_S]
    if not due:
        return
    try:
        # Marked first: a marker without a message costs a wait, a message without one a duplicate.
        shared.mark_issued([step.window_id for step in due])
        with current_app.producer_or_acquire() as producer:
            for step in due:
                _send(step, producer)
    except (OperationalError, errors.StateUnavailable, OSError) as error:
        log.warning("not sent, left to the sweep", extra={"steps": len(due), "error": type(error).__name__})


def _send(step: sync.FollowUp, producer: Producer) -> None:
    queue = Queue.LIVE if step.live else Queue.BACKFILL
    since, before = sync.describe(step.window)
    row = {"window_id": step.window_id, "epoch": step.epoch}
    current_app.send_task(
        "sync.window" if step.first else "sync.page",
        args=[step.kind, since, before] if step.first else [],
        kwargs=row,
        # Window and epoch name the step: a doubled message is seen as such in Flower.
        task_id=f"{step.kind}-{step.window_id}-{step.epoch}",
        queue=queue.value,
        countdown=step.delay_s or None,
        producer=producer,
        ignore_result=True,
    )


def kind(name: str, since: str | None = None, before: str | None = None, *, force: bool = False) -> None:
    """Ask for a planner pass over one kind; raises OperationalError where Redis is away.

    since, before: ISO 8601 instants of a backfill. force: also when the last pass is seconds old.
    """
    headers = {"force": True} if force else {}
    current_app.send_task(
        "sync.kind",
        args=[name],
        kwargs={"since": since, "before": before},
        queue=Queue.LIVE.value,
        headers=headers,
        ignore_result=True,
    )
