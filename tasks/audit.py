"""Prove history, little by little."""

from typing import Any

from celery import Task, shared_task

from config.schedule import AUDIT_EVERY_S
from humansync import audit
from humansync.errors import StoreUnavailable
from tasks.runtime import runtime

#: A deployment that is at work is left alone for so long, this many times: then the turn is over.
LATER_S, TIMES = 30, 10


@shared_task(name="sync.audit", bind=True, max_retries=TIMES)
def sync_audit(self: "Task[..., Any]") -> dict[str, int | str]:
    """Compare a window of old history with the API, behind everything else. Safe to run twice."""
    held = runtime()
    requests = audit.allowance(held.settings.rate, AUDIT_EVERY_S)
    try:
        outcome = audit.audit(
            held.parts, held.settings.kinds, held.shared.slot, requests=requests, turn_s=AUDIT_EVERY_S
        )
    except StoreUnavailable as error:
        raise self.retry(exc=error, countdown=LATER_S) from error
    if outcome.busy and self.request.retries < TIMES:
        raise self.retry(countdown=LATER_S)
    return outcome.counts()
