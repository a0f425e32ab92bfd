"""On each tick, or by hand: which windows does a kind owe? Enqueue them."""

from datetime import UTC, datetime
from typing import Any

from celery import Task, shared_task

from humansync import sync
from humansync.errors import StoreUnavailable
from tasks import arguments, publish
from tasks.runtime import Runtime, runtime


@shared_task(name="sync.kind", bind=True, max_retries=10)
def sync_kind(
    self: "Task[..., Any]", kind: str, since: str | None = None, before: str | None = None
) -> dict[str, int | str]:
    """Plan one kind: from its cursor to now, or a backfill of `[since, before)`. Safe to run twice.

    since, before: `2026-01-31`, an ISO 8601 instant, or a span back from now.
    """
    kind = arguments.known(kind)
    held = runtime()
    try:
        outcome = plan(held, kind, since, before, step_s=_step_s(self, kind), forced=_is(self, "force"))
    except StoreUnavailable as error:
        raise self.retry(exc=error, countdown=2 ** min(self.request.retries, 6)) from error
    publish.follow_ups(outcome.follow_ups, held.shared)
    return {"outcome": outcome.what, "windows": len(outcome.follow_ups)}


def plan(
    held: Runtime, kind: str, since: str | None, before: str | None, *, step_s: float, forced: bool
) -> sync.Outcome:
    """Plan a kind as `sync_kind` does; return what must follow. Raises ConfigError and StoreUnavailable."""
    now = datetime.now(UTC)
    bounds = None
    if since or before:
        first = arguments.instant("since", since or held.settings.since, now)
        bounds = (first, arguments.instant("before", before, now) if before else None)
    return sync.plan_kind(held.parts, kind, bounds, step_s=step_s, forced=forced)


def _is(task: "Task[..., Any]", flag: str) -> bool:
    return bool((task.request.headers or {}).get(flag))


def _step_s(task: "Task[..., Any]", kind: str) -> float:
    """Return how much new time makes a pass: ticks of two schedulers together make one each period."""
    if _is(task, "force"):
        return sync.STEP_FORCED_S
    if _is(task, "tick"):
        return max(sync.STEP_S, runtime().settings.every(kind) / 2)
    return sync.STEP_S
