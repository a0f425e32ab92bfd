"""Compare ranges of kinds with the API: which range for each kind, several at once, and what it proves."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from humansync import errors, plan
from humansync.check import Check, Findings
from humansync.kinds import KINDS, Read
from humansync.parts import Parts
from humansync.proofs import Proof
from humansync.reread import Slot
from humansync.windows import Window, floor_second, split_by_width

log = logging.getLogger(__name__)

#: Windows compared at the same time: the API's latency is waited for in parallel, the budget holds for all.
THREADS = 4
#: A range is not cut into windows narrower than this only to have several: each costs at least a request.
_NARROWEST_S = 86_400.0

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be compared."""

    kinds: Sequence[str]
    #: None: from where the kind begins
    since: datetime | None = None
    #: None: up to the kind's cursor, all that it claims to be complete
    before: datetime | None = None
    repair: bool = False
    #: how long a kind may wait for its next pass: what is newer than that is not owed yet
    every_s: Callable[[str], float] = lambda _kind: 0.0


class Incomplete(errors.HumansyncError):
    """A kind could not be compared to the end: nothing is known of it."""


def verify(
    parts: Parts,
    asked: Asked,
    *,
    slot: Slot | None,
    progress: Callable[[str, int, int], None] = lambda _kind, _requests, _records: None,
) -> list[Findings]:
    """Return what differs, by kind in the order asked. Raises Incomplete, or what the database or a stop raises.

    slot: the shared rate budget; None: without Redis. progress: told of kind, requests and records, from any thread.
    """
    stop = threading.Event()

    def check(kind: str) -> Check:
        def told(requests: int, records: int) -> None:
            progress(kind, requests, records)

        return Check(parts, KINDS[kind], slot, asked.repair, stop.is_set, progress=told)

    def compared(kind: str, window: Window) -> Check:
        one = check(kind)
        one.compare(window)
        return one

    with ThreadPoolExecutor(THREADS, thread_name_prefix="verify") as pool:
        try:
            work = [
                (kind, window, [pool.submit(compared, kind, piece) for piece in _pieces(kind, window)])
                for kind in asked.kinds
                for window in [ranged(parts, kind, asked)]
            ]
            return [_whole(parts, check(kind), window, pieces) for kind, window, pieces in work]
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _pieces(kind: str, window: Window | None) -> list[Window]:
    if window is None:
        return []
    if KINDS[kind].read is Read.WHOLE:
        return [window]
    return split_by_width(window, min(plan.WINDOW_MAX.total_seconds(), max(window.seconds / THREADS, _NARROWEST_S)))


def _whole(parts: Parts, check: Check, window: Window | None, pieces: "Sequence[Future[Check]]") -> Findings:
    """Return the findings of a kind's range once all of its pieces are compared."""
    state = parts.store.kind(check.kind.name)
    check.findings.disabled = state.disabled
    if window is None:
        return check.findings
    check.findings.window = window
    try:
        for piece in pieces:
            check.absorb(piece.result())
        check.settle(window)
    except errors.NotOffered as error:
        if parts.store.coverage(check.kind.name):
            raise Incomplete(f"{check.kind.name} cannot be compared: {error}") from error
        check.findings.disabled = str(error)
        return check.findings
    except errors.ApiError as error:
        raise Incomplete(f"{check.kind.name} cannot be compared: {error}") from error
    found = check.findings
    counts = {name: len(getattr(found, name)) for name in ("missing", "stale", "extra")}
    facts = {"kind": found.kind, "range": str(window), "upstream": found.upstream, "mended": found.mended, **counts}
    log.log(logging.WARNING if found.differences else logging.INFO, "compared with the API", extra=facts)
    prove(parts, found, window, check.began_at)
    return found


def prove(parts: Parts, found: Findings, window: Window, at: datetime | None) -> None:
    """Note in the ledger what the comparison of a range came to."""
    if KINDS[found.kind].read is Read.WHOLE:  # each comparison takes the place of all before
        window = Window(_BEGINNING, window.before)
    if at is not None:
        parts.store.prove(found.kind, Proof(window, at, found.left))


def ranged(parts: Parts, kind: str, asked: Asked) -> Window | None:
    """Return the range of a kind to compare; None where it owes nothing there. Never closer to now than settled."""
    state, now = parts.store.kind(kind), parts.api_now()
    end = plan.horizon(parts.policy, now)
    if state.disabled is not None:
        return None
    if KINDS[kind].read is Read.WHOLE:
        return Window(end - plan.WINDOW_MAX, end)
    coverage = parts.store.coverage(kind)
    first = [state.start] if state.start else [each.since for each in coverage[:1]]
    since = asked.since or next(iter(first), None)
    cursor = plan.cursor(state, coverage)
    before = asked.before or cursor or (end if asked.since else None)
    if since is None or before is None:
        return None
    if cursor is not None:  # what a kind that keeps its period has not asked for yet is no finding
        end = max(cursor, end - timedelta(seconds=asked.every_s(kind)))
    since, before = floor_second(since), floor_second(min(before, end))
    return Window(since, before) if since < before else None
