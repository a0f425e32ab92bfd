"""Bring one window into the database, page by page."""

from datetime import UTC, datetime
from typing import Any

from celery import Task, shared_task

from humansync import reading
from humansync.errors import StoreUnavailable
from tasks import arguments, publish
from tasks.runtime import runtime


@shared_task(name="sync.window", bind=True, max_retries=10)
def sync_window(
    self: "Task[..., Any]",
    kind: str,
    since: str,
    before: str,
    *,
    window_id: int | None = None,
    epoch: int | None = None,
    purpose: str | None = None,
    covered_to: str | None = None,
    sized: bool = False,
) -> dict[str, int | str]:
    """Read the first page of a window, or cut it. Safe to run twice.

    since, before: UTC instants, ISO 8601, half-open. window_id, epoch: its row in the ledger where
    the sender knows it; without them the window is looked up by its bounds, or added as a backfill. purpose, covered_to,
    sized: the rest of a row that nothing has happened to; without them it is looked up.
    """
    bounds = arguments.known(kind), arguments.window(since, before, datetime.now(UTC))
    at = told = None
    if window_id is not None and epoch is not None:
        at = arguments.number("window_id", window_id), arguments.number("epoch", epoch)
        if purpose is not None:
            told = arguments.untouched(*at, *bounds, purpose=purpose, covered_to=covered_to, sized=sized)
    held = runtime()
    try:
        outcome = reading.read_bounds(held.parts, *bounds) if at is None else reading.read(held.parts, *at, told)
    except StoreUnavailable as error:
        raise self.retry(exc=error, countdown=2 ** min(self.request.retries, 6)) from error
    publish.follow_ups(outcome.follow_ups, held.shared)
    return outcome.counts()


@shared_task(name="sync.page", bind=True, max_retries=10)
def sync_page(self: "Task[..., Any]", window_id: int, epoch: int) -> dict[str, int | str]:
    """Read the next page of a window that is being walked. Safe to run twice."""
    window_id, epoch = arguments.number("window_id", window_id), arguments.number("epoch", epoch)
    held = runtime()
    try:
        outcome = reading.read(held.parts, window_id, epoch)
    except StoreUnavailable as error:
        raise self.retry(exc=error, countdown=2 ** min(self.request.retries, 6)) from error
    publish.follow_ups(outcome.follow_ups, held.shared)
    return outcome.counts()
