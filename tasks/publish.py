"""Put steps on the queues. A message may be lost or doubled: the ledger knows what is owed."""

import logging
import math
from collections.abc import Sequence
from itertools import groupby

from celery import current_app
from kombu import Producer
from kombu.exceptions import BatchPublishError, OperationalError  # type: ignore[attr-defined]  # newer than the stubs

from config.queues import Queue
from humansync import errors, sync
from humansync.ledger import WindowRow
from humansync.state.shared import Shared
from humansync.windows import format_instant

log = logging.getLogger(__name__)

#: A longer wait is left to the ledger's `not_before` and the sweep: a message with an ETA sits
#: unacknowledged in one worker's memory.
LONGEST_COUNTDOWN_S = 60.0
#: Messages sent in one round trip: others start on the first ones, and the whole of a long history is in no buffer.
AT_ONCE = 200
#: A message is believed to wait on its queue for so long. The live queue is soon through, or a few doubles do no harm;
#: history may really wait, and its markers end with its queue.
WAITS_S = {Queue.LIVE: 30, Queue.BACKFILL: 600}


def follow_ups(steps: Sequence[sync.FollowUp], shared: Shared) -> None:
    """Send what must follow a step, after its commit. Never raises: the sweep sends what was not."""
    due = [step for step in steps if step.delay_s <= LONGEST_COUNTDOWN_S]
    sent = 0
    try:
        while sent < len(due):
            some = due[sent : sent + AT_ONCE]
            _mark(some, shared)
            with current_app.producer_or_acquire() as producer:
                _send_all(some, producer)
            sent += len(some)
    except (OperationalError, errors.StateUnavailable, OSError) as error:
        log.warning("not sent, left to the sweep", extra={"steps": len(due) - sent, "error": type(error).__name__})


def _mark(steps: Sequence[sync.FollowUp], shared: Shared) -> None:
    """Note that messages are sent, before they are: a marker without one costs a wait, one without it a duplicate."""
    for (queue, delay_s), some in groupby(steps, lambda step: (_queue(step), step.delay_s)):
        ttl_s = math.ceil(WAITS_S[queue] + delay_s)
        shared.mark_issued([step.window_id for step in some], ttl_s, queue=queue.value, delay_s=delay_s)


def _queue(step: sync.FollowUp) -> Queue:
    return Queue.LIVE if step.live else Queue.BACKFILL


def _send_all(steps: Sequence[sync.FollowUp], producer: Producer) -> None:
    """Send many in one round trip; where that fails, one by one, as often as the policy for messages says."""
    if len(steps) > 1:
        try:
            with producer.batch():  # type: ignore[attr-defined]  # newer than the stubs
                for step in steps:
                    _send(step, producer)
        except (BatchPublishError, RuntimeError) as error:  # the latter: another connection in the middle of it
            log.info("sent again one by one", extra={"steps": len(steps), "error": str(error)})
        else:
            return
    for step in steps:
        _send(step, producer)


def tell(row: WindowRow) -> dict[str, object]:
    """Return the arguments that tell a worker what, beside its bounds, an untouched window's row says.

    `tasks.arguments.untouched` makes the row of them again.
    """
    return {
        "purpose": row.purpose.value,
        "covered_to": format_instant(row.covered_to) if row.covered_to else None,
        "sized": row.walk.sized,
    }


def _send(step: sync.FollowUp, producer: Producer) -> None:
    since, before = sync.describe(step.window)
    row: dict[str, object] = {"window_id": step.window_id, "epoch": step.epoch}
    if step.untouched is not None:
        row |= tell(step.untouched)
    current_app.send_task(
        "sync.window" if step.first else "sync.page",
        args=[step.kind, since, before] if step.first else [],
        kwargs=row,
        # Window and epoch name the step: a doubled message is seen as such in Flower.
        task_id=f"{step.kind}-{step.window_id}-{step.epoch}",
        queue=_queue(step).value,
        countdown=step.delay_s or None,
        producer=producer,
        ignore_result=True,
    )
