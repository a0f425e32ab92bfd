"""How many pages should one process have in hand, from the request to the commit, and store at once, and why? Pure.

More at once are faster until the API, or who stores the pages, has enough to do; from then on each only takes longer.
So the number grows while answers come as fast as they usually do, and pages are stored about as fast as they can be, or
wait longer for the API than for that. It shrinks when the API refuses (429, 503) or its answers get slow, and where pages
wait for each other to be stored, back to where it began. What all hosts may send together is another matter:
`humansync/state/shared.py`.

Answers that were asked for together come together. Stored all at once they would share the processors and all be done
late; one after the other the first ones' threads ask again meanwhile. So few are stored at once: more only where that
takes no longer, as with a database far away or a slow disk.
"""

from dataclasses import dataclass, replace

#: Pages in hand at the beginning: enough for an API at hand, few for one that is busy.
FIRST = 8.0
#: Storing a page takes about so long, seconds, as far as anybody knows before the first.
STORED_S = 0.05
#: Who stores is busy when it takes this many times as long as it can; a database that is far away is not.
BUSY = 2.0
#: ... which is told by the quickest of late: with each page it counts for so much more.
FORGOTTEN = 1.005
#: What is left of the number after a refusal, and after answers have become slow.
REFUSED, SLOWED = 0.5, 0.8
#: Answers are slow when they take this many times as long as usual ...
SLOW = 2.0
#: ... and longer than this: below it is the noise of a busy machine, in seconds.
SLOW_AT_LEAST_S = 0.05
#: How much one answer counts in what is recent, and in what is usual.
RECENT, USUAL = 0.2, 0.02
#: Signs of trouble closer together than this are one, seconds: those requests were under way together.
CUT_EVERY_S = 1.0


#: Pages that are stored at once, at the beginning and at least: one is prepared while the database is busy with another.
STORING = 2.0
#: There may be more while storing one takes less than the first as many times as long as it did when they were few, and
#: less from the second.
EASY, HARD = 1.15, 1.3
#: How much a page adds to their number, and takes back at the least; of few it takes back more: those that share a
#: processor are mostly left at few.
ONE_MORE = 0.05
#: How much one page counts in how long storing takes when they are few; as no more than so many times as long as that.
#: One that was held up would make those after it look quick.
FEW, ODD = 0.1, 2.0
#: Until so many pages are stored there are no more: the first ones wait for connections and plans.
COLD = 20
#: Whoever has a page to store waits as long as so many take, within these limits, seconds: one of them may hang.
WAIT_PAGES, WAIT_LEAST_S, WAIT_MOST_S = 8, 1.0, 5.0


@dataclass(frozen=True, slots=True)
class Limit:
    """How many pages may be in hand, and what led to it."""

    #: more than these the process has no threads for
    most: int
    #: counted in parts, so that it can grow by less than one
    requests: float = FIRST
    #: seconds that answers have taken lately, and in the long run; None before the first
    recent_s: float | None = None
    usual_s: float | None = None
    #: seconds that storing a page has taken lately, and at the least; the latter 0 before the first
    stored_s: float = STORED_S
    quickest_s: float = 0.0
    #: no sign of trouble yet: one more with each answer, which doubles the number with each round
    searching: bool = True
    #: when it was last cut, on the clock of `now`
    cut_at: float = float("-inf")

    @property
    def places(self) -> int:
        """How many pages may be in hand: at least one."""
        return max(1, min(self.most, int(self.requests)))

    @property
    def busy(self) -> bool:
        """Whether more pages in hand than at first would only wait for each other to be stored."""
        waits_for_us = self.recent_s is not None and self.recent_s < self.stored_s
        return self.requests >= FIRST and waits_for_us and self.stored_s > BUSY * self.quickest_s


def answered(limit: Limit, took_s: float, in_hand: int, now: float) -> Limit:
    """Return the limit after an answer.

    took_s: from sending to the last byte. in_hand: pages that are, this one included: what is not used does not grow.
    now: seconds on any clock that only goes forward.
    """
    recent_s = took_s if limit.recent_s is None else limit.recent_s + RECENT * (took_s - limit.recent_s)
    usual_s = took_s if limit.usual_s is None else limit.usual_s + USUAL * (took_s - limit.usual_s)
    limit = replace(limit, recent_s=recent_s, usual_s=usual_s)
    if recent_s > max(SLOW * usual_s, SLOW_AT_LEAST_S):
        return _cut(limit, SLOWED, now)
    if limit.busy:
        searching = limit.searching and not limit.quickest_s  # nothing was stored: nothing is known, either
        return replace(limit, requests=max(FIRST, limit.requests - 1.0 / limit.requests), searching=searching)
    if in_hand < limit.places:
        return limit
    more = 1.0 if limit.searching else 1.0 / limit.requests
    return replace(limit, requests=min(float(limit.most), limit.requests + more))


def stored(limit: Limit, took_s: float) -> Limit:
    """Return the limit after a page was stored.

    took_s: from its answer to its commit. Pages less than half full are quick however busy the database is: they are no
    measure, and are not told.
    """
    # While more are in hand than at first they may all wait for each other: that is not how quick storing can be.
    forgotten = FORGOTTEN if limit.requests <= FIRST else 1.0
    quickest_s = min(took_s, limit.quickest_s * forgotten or took_s)
    return replace(limit, stored_s=limit.stored_s + RECENT * (took_s - limit.stored_s), quickest_s=quickest_s)


@dataclass(frozen=True, slots=True)
class Storing:
    """How many pages may be stored at once, and what led to it."""

    #: as of `Limit`
    most: int
    at_once: float = STORING
    #: seconds that storing a page has taken lately, once it was its turn, and when few were stored; 0 before the first.
    #: Means, not the quickest: of a database whose commits vary that would say little.
    recent_s: float = 0.0
    few_s: float = 0.0
    #: pages stored so far, as far as `COLD`
    pages: int = 0

    @property
    def places(self) -> int:
        """How many may be stored at once."""
        return max(1, min(self.most, int(self.at_once)))

    @property
    def wait_s(self) -> float:
        """How long to wait for a turn before it is taken without one."""
        return min(WAIT_MOST_S, max(WAIT_LEAST_S, WAIT_PAGES * self.recent_s))


def was_stored(storing: Storing, took_s: float, at_once: int) -> Storing:
    """Return the limit after a page was stored.

    took_s: once it was its turn, as of `stored` half full at least. at_once: how many were being stored, this one
    included: what is not used does not grow.
    """
    recent_s = storing.recent_s + RECENT * (took_s - storing.recent_s) if storing.recent_s else took_s
    few_s = recent_s
    if storing.pages >= COLD:
        few_s = storing.few_s
        if storing.at_once < STORING + 1:
            few_s += FEW * (min(took_s, ODD * few_s) - few_s)
    change = 0.0
    if recent_s > HARD * few_s:
        change = -max(ONE_MORE, 1.0 / storing.at_once)
    elif recent_s < EASY * few_s and at_once >= storing.places and storing.pages >= COLD:
        change = ONE_MORE
    more = min(float(storing.most), max(STORING, storing.at_once + change))
    return Storing(storing.most, more, recent_s, few_s, min(COLD, storing.pages + 1))


def refused(limit: Limit, now: float) -> Limit:
    """Return the limit after the API has said that it is too much."""
    return _cut(limit, REFUSED, now)


def _cut(limit: Limit, share: float, now: float) -> Limit:
    if now - limit.cut_at < CUT_EVERY_S:
        return limit
    return replace(limit, requests=max(1.0, limit.requests * share), searching=False, cut_at=now)
