"""A small part of history compared with the API now and then, behind everything else: what `sync.audit` does.

What is missing or stale is mended: the next read of that time would have done the same. What the API does not show is
reported alone: to delete on the word of a task that nobody watches is too much.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from humansync import errors, plan, proofs, reread
from humansync.check import Check
from humansync.kinds import KINDS, Read
from humansync.ledger import Purpose
from humansync.parts import Parts
from humansync.reread import Slot
from humansync.verify import prove
from humansync.windows import Window, merge

log = logging.getLogger(__name__)

#: A turn may spend this share of the requests that the rate allows from one turn to the next ...
SHARE = 0.005
#: ... but so many in any case, and never more than so many.
LEAST, MOST = 4, 40
#: A burst may take so many before the first part of it is complete: it must not stay unproven for ever.
MOST_FOR_A_PART = 100
#: What it takes beyond that to look for records that have moved meanwhile.
BEYOND = 8
#: A turn ends after this long, well before a task's limit.
LONGEST = timedelta(seconds=60)
#: Windows touched this far in the future: any.
_ANY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Audited:
    """What a turn came to."""

    what: str
    differences: int = 0
    requests: int = 0
    #: live work or a backfill is under way: it makes sense to come back soon
    busy: bool = False

    def counts(self) -> dict[str, int | str]:
        """Return the task's result: counts only."""
        return {"outcome": self.what, "differences": self.differences, "requests": self.requests}


def allowance(rate_per_s: float, turn_s: float) -> int:
    """Return how many requests a turn may spend. rate_per_s: 0 for no limit."""
    return max(LEAST, min(MOST, int(rate_per_s * turn_s * SHARE))) if rate_per_s else MOST


def audit(parts: Parts, kinds: Sequence[str], slot: Slot, *, requests: int, turn_s: float) -> Audited:
    """Compare one window that is old, and note what it proves. Raises StoreUnavailable.

    requests: what may be spent on it. turn_s: how far apart turns are; a second one within half of it does nothing.
    """
    now = parts.clock.now()
    if parts.store.owed(now, now + _ANY, 1):
        return Audited("busy", busy=True)
    try:
        if not parts.shared.lock("audit", parts.owner, turn_s / 2):
            return Audited("another turn was just now")
    except errors.StateUnavailable:
        return Audited("Redis is away")
    chosen = _chosen(parts, kinds, requests)
    if chosen is None:
        return Audited("all is proven")
    try:
        return _Turn(parts, chosen[0], slot, requests).take(chosen[1])
    except (errors.ApiError, reread.Stopped) as error:
        facts = {"kind": chosen[0], "range": str(chosen[1]), "error": str(error)}
        log.warning("an audit came to no end", extra=facts)
        return Audited("not to be had")


def claimed(parts: Parts, kind: str) -> list[Window]:
    """Return what a kind claims to be complete, by passes and backfills."""
    return merge(each for purpose in (Purpose.LIVE, Purpose.BACKFILL) for each in parts.store.coverage(kind, purpose))


def _chosen(parts: Parts, kinds: Sequence[str], requests: int) -> tuple[str, Window] | None:
    """Return a kind and a window of it, by lot; None where nothing is left to prove."""
    known, now, states = parts.store.proofs(), parts.api_now(), parts.store.kinds()
    drawn: list[tuple[str, Window]] = []
    for kind in kinds:
        # A collection without times is read whole each day anyway.
        if KINDS[kind].read is Read.WHOLE or states[kind].paused or states[kind].disabled is not None:
            continue
        density, chance = parts.density(kind), parts.clock.random()
        window = proofs.pick(claimed(parts, kind), known.get(kind, ()), density, now, requests=requests, chance=chance)
        if window is not None:
            drawn.append((kind, window))
    return drawn[int(parts.clock.random() * len(drawn))] if drawn else None


class _Turn:
    """One window, as far as the allowance reaches."""

    def __init__(self, parts: Parts, kind: str, slot: Slot, requests: int) -> None:
        self._parts = parts
        self._most = requests
        self._until = parts.clock.now() + LONGEST
        self._check = Check(parts, KINDS[kind], slot, repair=True, stopped=self._spent, delete=False)

    def _spent(self) -> bool:
        most = self._most if self._check.compared else MOST_FOR_A_PART
        return self._check.requests >= most or self._parts.clock.now() > self._until

    def take(self, window: Window) -> Audited:
        """Compare the window, or its beginning; note what that proves."""
        check, found = self._check, self._check.findings
        try:
            check.compare(window)
        except reread.Stopped:
            log.debug("an audit's window holds more than its turn", extra={"kind": found.kind})
        # Parts come oldest first: what is complete hangs together. Were it not so, the rest would wait for its turn.
        complete = next(iter(merge(check.compared)), None)
        if complete is None:
            raise reread.Stopped("the allowance was spent before any part was complete")
        self._most = check.requests + BEYOND
        check.settle(complete, moved_from=self._reached(found.kind))
        facts = {"kind": found.kind, "range": str(complete), "upstream": found.upstream, "requests": check.requests}
        if found.differences:
            counts = {name: len(getattr(found, name)) for name in ("missing", "stale", "extra")}
            log.warning("an audit found differences", extra={**facts, **counts, "mended": found.mended})
        else:
            log.info("an audit found all equal", extra=facts)
        prove(self._parts, found, complete, check.began_at)
        return Audited("compared", found.differences, check.requests)

    def _reached(self, kind: str) -> datetime | None:
        """Return the kind's cursor: a record that changed before it should be stored where it moved to."""
        state = self._parts.store.kind(kind)
        return plan.cursor(state, self._parts.store.coverage(kind))
