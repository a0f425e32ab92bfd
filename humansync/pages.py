"""What do we fetch next within a window, and why? Pure: no HTTP, no SQL, no clock.

`request` says what to ask, `settle` says what a page means. The whole art of not losing a record
lives here. The fact behind it (`docs/paging.md`): once a window's end lies in the past, a record
that changes leaves the window, and everything behind it moves one place to the left, so that
`offset + limit` skips a neighbour that no later window brings back. Hence, in this order:

1. A window that fits one page is read by one request, which is atomic.
2. A window that does not is cut into windows that do: by the total the API reports, by the span of
   the rows seen, or, where neither tells, by reading its newest eighth first as a pilot.
3. One second that holds more than a page, and a collection without times, cannot be cut: pages are
   walked with an overlap, and the tail of the page before (the anchor) must reappear, in order, at
   the head of the next. A missing anchor steps back; an order that changes between requests is
   answered by further passes until several in a row find nothing new.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from humansync.errors import FilterIgnored, Uncertain
from humansync.kinds import KINDS, Kind, Read
from humansync.ledger import KindState, State, Walk, WindowRow
from humansync.windows import SECOND, Window, floor_second, split

#: The API's maximum of records a request.
LIMIT = 500
#: Share of a page that a cut aims at: 50 places of 500 in reserve are over two standard
#: deviations of evenly spread rows, so that one window in a hundred overflows.
FILL = 0.9
#: No server is known to give fewer records a page than this: a shorter page is the last one.
SMALLEST_CAP = 20
#: A page short by this share of it, or by so few rows, may be a full one that a server filtered afterwards.
FILTERED, FILTERED_ROWS = 0.01, 3
#: A page that is asked to hold so few records may, filtered, hold none but those of the page before: it is never the
#: end, nor does it prove an order.
TINY = 3 * FILTERED_ROWS
#: A cut by the API's own total may make this many windows ...
PARTS_BY_TOTAL = 2048
#: ... and one by an estimate only so many ...
PARTS_BY_ESTIMATE = 128
#: ... but this many where it asks for more: then a burst, which the estimate spreads over the whole
#: window, does not scatter requests over empty time.
PARTS_OF_BURST = 16
#: A cut without a look makes at most this many; for more, a look costs next to nothing. Where a burst is
#: taken for the density of a day, cuts upon such cuts would fill the ledger with empty windows.
PARTS_UNSEEN = 48
#: A window of up to so many pages is walked: its second page costs one request, a cut two or more. A second
#: page that shows another order than the first leads to a cut after all.
SECOND_PAGE = 1.7
#: A pilot is this part of its window; a pilot that is full itself is halved.
PILOT = 8
#: From this many parts on, a cut allows for the error of the sample it is estimated from.
FEW_PARTS = 4
#: Rows spread over this share of their window, or more, are a sample of the whole of it. Of 500 such
#: rows the middle four fifths span that much with a standard deviation of a fiftieth.
SAMPLE_SPAN = 0.9
#: Rows asked for again on the next page of a walk: the anchor.
OVERLAP = 25
#: An order that less than one shuffled page in so many would show is no chance.
CHANCE = 1_000_000
#: Missing anchors in a row before the pass begins again, and empty pages of a pass over a changing order before it ends.
#: Of tiny pages, a pass ends behind so many more than they hold, in a row, that bring nothing but the anchor.
MISSES = 4
#: Passes over rows whose order changes: each unseen row escapes one with a probability of about
#: 1/e, so eight quiet ones in a row leave one row unseen in about three thousand such seconds.
QUIET_PASSES = 8
#: Servers that answer in turn, each in an order of its own, show the same places of it in each pass that begins at the
#: same one of them. A pass that begins with the same record as one of the last seven is therefore given up after its
#: first page, so that the next server in turn begins one ...
BEGINNINGS = QUIET_PASSES - 1
#: ... and if eight first pages in a row begin like that, a pass is walked when the number of requests since the last one
#: began has no factor in common with this: eight in a row then begin at each of up to eight servers.
APART = 2 * 3 * 5 * 7
#: A window of no more than a page, in an order that changes, is read once more up to this pass; after it, it is cut.
AGAIN = 2
#: Passes before the read is put off to a quieter time.
PASSES = 40
#: Most pages of one pass: a limit for servers that give some record behind every offset. By pages of 500 that is 47 million
#: records; by two at a time, of over 10 MB each, 100,000.
MOST_PAGES = 100_000
#: Rows outside the asked bounds by at most this much are the API's rounding.
SLACK = timedelta(seconds=1)
#: A collection without times is read completely at least this often; between, its first page tells.
WHOLE_EVERY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: bounds as sent (`updated_since`, `updated_before`), limit and offset."""

    since: datetime
    before: datetime
    limit: int
    offset: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What one page told. `updated` and `identities` stand in the order received, "" for what has no identity."""

    received: int
    identities: Sequence[str]
    updated: Sequence[datetime]
    #: the API's clock when it answered
    api_time: datetime
    #: `X-Total-Count`, a hint
    total: int | None = None
    #: whether `Link` names a next page, a hint
    has_next: bool | None = None
    #: rows of this page that were new to the database; of a kind read whole, on a further page, new to this read
    fresh: int = 0
    #: rows per second in the kind's history, None where nothing is known
    density: float | None = None
    #: an empty object or null stood in place of the list
    hollow: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What a page leads to; the store applies it in the page's own transaction."""

    #: of the row after the commit, or of those that take its place
    state: State
    walk: Walk
    why: str
    #: new bounds of the row; None leaves them
    window: Window | None = None
    #: a further row to insert as done: the part of the window that is complete
    done: Window | None = None
    #: owed rows that take this row's place
    children: tuple[Window, ...] = ()
    #: the row goes, and nothing takes its place: none of its window is settled yet
    dropped: bool = False
    requests: int = 1
    #: learned: rows a full page really has
    cap: int | None = None
    #: learned: the most rows seen in a page
    largest: int | None = None
    #: learned: an empty list stands for nothing
    gives_lists: bool = False
    #: end of a complete read of a collection without times: rows of persons seen since this
    #: instant that were not seen themselves are gone
    stale_before: datetime | None = None
    #: that complete read began at this instant
    whole_read_at: datetime | None = None
    #: the API's clock when the read began
    read_at: datetime | None = None


def lower_bound(row: WindowRow) -> datetime:
    """Return where the part being read begins: the window's start, or its pilot's."""
    return row.walk.lower or row.window.since


def page_size(row: WindowRow, state: KindState) -> int:
    """Return how many records the next request asks for, and a full page then holds."""
    return min(row.walk.limit or LIMIT, state.page_cap or LIMIT)


def request(row: WindowRow, state: KindState) -> Ask:
    """Return the next request of this window.

    The lower bound is moved back by a second: with whole seconds on both sides that is right
    whether the API's bounds are inclusive, exclusive, or compare whole seconds only.
    """
    since = lower_bound(row) - SECOND
    return Ask(since, row.window.before, page_size(row, state), row.walk.offset)


def presplit(row: WindowRow, state: KindState, density: float | None) -> Step | None:
    """Cut an untouched window that is known to hold more than a page, without asking first.

    density: rows per second of the kind's history, None where nothing is known. A window that was cut whole is asked
    for first: in a rush experience grows by the minute, and would cut a quiet history into ever smaller empty windows.
    """
    if KINDS[row.kind].read is Read.WHOLE or row.walk != Walk() or not density:
        return None
    page, expected = page_size(row, state), density * row.window.seconds
    if not page < expected <= PARTS_UNSEEN * FILL * page or row.window.seconds < 2 * PILOT:
        return None
    parts = split(row.window, _parts(expected, page, LIMIT))
    return Step(State.OWED, Walk(sized=True), "dense by experience", children=tuple(parts), requests=0)


def settle(row: WindowRow, state: KindState, facts: Facts, *, settle_s: float | None) -> Step:
    """Return what this page leads to.

    settle_s: how long before the API's present a finished window ends at the latest; None lets it end where it ends.
    Raises FilterIgnored if rows lie outside the bounds, Uncertain if the pages of this window
    contradict each other.
    """
    kind = KINDS[row.kind]
    if kind.read is Read.WINDOWED:
        _check_bounds(row, facts)
    part, page = Window(lower_bound(row), row.window.before), page_size(row, state)
    few = page <= TINY and kind.read is Read.WINDOWED and part.seconds > 1
    if few and (row.walk.offset or facts.received < page):
        step = _split(row, part, 2, "end to be confirmed")  # it may be a full page that was filtered
    elif row.walk.offset:
        step = _next_page(row, state, facts, kind)
    else:
        step = _first_page(row, state, facts, kind)
    step = _learn(row, step, state, facts)
    if kind.read is Read.WHOLE or settle_s is None:
        return step
    return _trim(row, step, settle_s)


def _check_bounds(row: WindowRow, facts: Facts) -> None:
    """Refuse a page that the API's filter did not make (human-api.md, section 9, lines 9 and 13)."""
    if not facts.updated:
        return
    since, before = lower_bound(row) - SECOND, row.window.before
    if min(facts.updated) < since - SLACK:
        raise FilterIgnored("the API returned records older than updated_since: it did not apply the filter")
    if max(facts.updated) > before + SLACK:
        raise FilterIgnored("the API returned records newer than updated_before: it did not apply the filter")


def _check_offset(walk: Walk, facts: Facts, page: int) -> None:
    """Refuse a further page that is not behind the one before, or no end of them."""
    # As rows only leave, the tail of a full page is not that of the next one, too, unless the walk has stepped back.
    whole = facts.received == page and not walk.misses and len(walk.anchor) == OVERLAP
    if (whole and walk.anchor == tuple(facts.identities[-OVERLAP:])) or walk.asked > MOST_PAGES:
        raise Uncertain(
            "later offsets bring the same records again, or no end of them: the API does not apply the offset"
        )


def _first_page(row: WindowRow, state: KindState, facts: Facts, kind: Kind) -> Step:
    """Decide on a page at offset 0: complete, to be cut, or the beginning of a walk."""
    walk = replace(row.walk, began_at=row.walk.began_at or facts.api_time, fresh=facts.fresh)
    row = replace(row, walk=walk)
    page, part = page_size(row, state), Window(lower_bound(row), row.window.before)
    divisible = kind.read is Read.WINDOWED and part.seconds > 1
    tiny = page <= TINY
    if tiny and not facts.received:
        return _end_of_pass(replace(row, walk=replace(walk, asked=1, repeats=0, unstable=True)), state, facts, kind)
    if facts.received < page and not tiny:
        fits = walk.shown == 1 or not _nearly_full(walk.shown, page)
        all_shown = facts.received <= walk.shown and fits and _too_short(facts.received, state)
        if all_shown or _is_last(row, state, facts):
            return _complete(row, state, facts, kind, "fits one page")
    if not divisible:
        head = next(filter(None, facts.identities), "")
        if walk.unstable and not facts.fresh and _begun_alike(walk, head):
            repeated = replace(row.walk, asked=walk.asked + 1, repeats=walk.repeats + 1)
            return Step(State.WALKING, repeated, "order changes: a pass has begun like this")
        heads = (*walk.heads, head)[-BEGINNINGS:]
        walk = replace(walk, heads=heads, asked=1, repeats=0, unstable=walk.unstable or tiny)
        row = replace(row, walk=walk)
    if facts.received < page:
        why = "end to be confirmed"
    elif kind.read is Read.WHOLE:
        if _unchanged(state, facts):
            return Step(State.DONE, walk, "first page unchanged since the last complete read", read_at=walk.began_at)
        why = "no times to cut by"
    elif not divisible:
        why = "one second holds more than a page"
    elif _little_more(part, facts, page):
        why = "little more than a page"
    else:
        return _cut(row, part, facts, page)
    return _walk_on(row, facts, page, why)


def _begun_alike(walk: Walk, head: str) -> bool:
    """Whether one of the last passes began with this record, and asking once more may still lead to another server."""
    return head in walk.heads and (walk.repeats < BEGINNINGS or math.gcd(walk.asked, APART) > 1)


def _little_more(part: Window, facts: Facts, page: int) -> bool:
    """Whether one more page will do: then a cut, which reads this one again, costs more."""
    if facts.total is not None and facts.total > page:
        return facts.total <= SECOND_PAGE * page
    return facts.density is not None and facts.density * part.seconds <= SECOND_PAGE * page


def _is_last(row: WindowRow, state: KindState, facts: Facts) -> bool:
    """Whether a page that is not full ends the data, without asking further.

    The server may cap pages below what we asked. A page shorter than one it has already given
    cannot be capped; nor can a very short one. Headers only cross-check, and may ask for more.
    """
    if facts.received == 0:
        return True
    if _promises_more(row, facts):
        return False
    return not _nearly_full(facts.received, page_size(row, state)) and _too_short(facts.received, state)


def _promises_more(row: WindowRow, facts: Facts) -> bool:
    """Whether a header names more than has come."""
    reached = row.walk.offset + facts.received
    return (facts.total is not None and facts.total > reached) or bool(facts.has_next)


def _nearly_full(received: int, full: int) -> bool:
    return received >= full - max(FILTERED_ROWS, FILTERED * full)


def _too_short(received: int, state: KindState) -> bool:
    """Whether so few records are no full page of this server's, not even one that it filtered."""
    if received < SMALLEST_CAP:
        return True
    return received < state.largest_page and not _nearly_full(received, state.largest_page)


def _unchanged(state: KindState, facts: Facts) -> bool:
    recent = state.whole_read_at is not None and facts.api_time - state.whole_read_at < WHOLE_EVERY
    return recent and facts.fresh == 0


def _cut(row: WindowRow, part: Window, facts: Facts, page: int) -> Step:
    """Cut a full window, or begin with a pilot where nothing tells how full it is."""
    expected = _expected(part, facts, page)
    if expected is None:
        share = PILOT if row.walk.lower is None else 2
        lower = row.window.before - timedelta(seconds=max(1, part.seconds // share))
        return Step(State.WALKING, Walk(lower=lower, limit=row.walk.limit), "full, density unknown: newest part first")
    sample = facts.received if facts.total is None or facts.total <= page else None
    return _split(row, part, max(2, _parts(expected, page, sample)), "full")


def _split(row: WindowRow, part: Window, parts: int, why: str) -> Step:
    """Let windows that ask for full pages take the place of this one."""
    children = split(part, parts)
    if part.since > row.window.since:
        children.insert(0, Window(row.window.since, part.since))
    walk = Walk(sized=part == row.window)
    return Step(State.OWED, walk, f"{why}: cut in {len(children)}", children=tuple(children))


def _parts(expected: float, page: int, sample: int | None) -> int:
    """Return into how many windows `expected` rows go, a page each.

    sample: from how many rows that was estimated, None where it is exact. Where the error of the
    sample would make most windows overflow, more windows are cheaper; with few windows it is not.
    """
    parts = expected / (FILL * page)
    if sample is None:
        return min(PARTS_BY_TOTAL, math.ceil(parts - 0.1))
    if parts > FEW_PARTS:
        parts *= 1 + 0.7 / math.sqrt(max(1, sample))
    return math.ceil(parts - 0.1) if parts <= PARTS_BY_ESTIMATE else PARTS_OF_BURST


def _expected(part: Window, facts: Facts, page: int) -> float | None:
    """Return how many rows the part holds: by the API's total, by experience, or by the span of the page.

    Rows sorted by time, or nearly, span little of the window: their density is a lower bound of
    its own. A page spread over the whole window is a sample that says nothing about the rest.
    """
    if facts.total is not None and facts.total > page:
        return facts.total
    if facts.density:
        return max(facts.density * part.seconds, 1.2 * page)
    if len(facts.updated) < max(1, page // 2):
        return None
    ordered = sorted(facts.updated)
    tenth = len(ordered) // 10
    span_s = max((ordered[-1 - tenth] - ordered[tenth]).total_seconds(), 1.0)
    if span_s > SAMPLE_SPAN * 0.8 * part.seconds:
        return None
    return max((len(ordered) - 2 * tenth) / span_s * part.seconds, 1.2 * page)


def _next_page(row: WindowRow, state: KindState, facts: Facts, kind: Kind) -> Step:
    """Decide on a further page of a walk: the anchor must reappear, in order, at its head."""
    page, part = page_size(row, state), Window(lower_bound(row), row.window.before)
    divisible = kind.read is Read.WINDOWED and part.seconds > 1
    tiny = page <= TINY
    walk = replace(row.walk, asked=row.walk.asked + 1, unstable=row.walk.unstable or tiny)
    row = replace(row, walk=walk)
    _check_offset(walk, facts, page)
    last = _end_of_anchor(walk.anchor, facts.identities)
    passes = walk.unstable and not divisible
    head = 0 if last is None else last + 1
    # In passes a missing anchor tells nothing: passes without news are the proof.
    if passes and (not facts.received or (not walk.overlap and head == facts.received == 1)):
        return _end_of_pass(row, state, facts, kind)
    if not passes and (not head or not walk.overlap):
        # Without an overlap no row of the page before would be on this one, and none tells whether others left meanwhile.
        alone = not walk.overlap and (head or not facts.received)
        return _from_the_front(row, facts) if alone else _step_back(row)
    stepped_back = walk.misses > 0
    unstable = walk.unstable or not _in_order(walk.anchor, facts.identities, head)
    # An anchor that reappears after a step back proves no order: among so many rows some of it reappears by chance, and
    # rows of a kind read whole, which move when they change, may have moved past others that no page has shown.
    unstable = unstable or stepped_back
    misses = walk.misses if passes else 0
    if tiny:
        # No others: that may be the end, or all that a filter has left. The pass goes on for a while.
        misses = misses + 1 if head == facts.received and not facts.fresh else 0
    walk = replace(walk, fresh=walk.fresh + facts.fresh, misses=misses, unstable=unstable)
    row = replace(row, walk=walk)
    beyond = facts.received - head
    again = _whole(row, state, facts) if unstable and divisible and not stepped_back else None
    if again is not None:
        return again
    maybe_full = _nearly_full(facts.received, page)
    short = facts.received < page and (beyond == 0 or (not maybe_full and _too_short(facts.received, state)))
    short = misses > _most_misses(page) if tiny else short
    # What passes have not seen need not be behind this page: to them headers say nothing.
    promised = short and beyond > 0 and not unstable and _promises_more(row, facts)
    if short and not promised and not (unstable and divisible):
        return _end_of_walk(row, state, facts, kind)
    if divisible and not (promised and walk.offset + walk.overlap >= page):
        # Only the end was to be confirmed, and there is more: the server gives shorter pages than
        # we asked for, or its order changes. Smaller windows are right in both cases. Where the first page was full,
        # the header may be wrong: one more page tells.
        size = min(page, walk.offset + walk.overlap)
        return _cut(row, part, replace(facts, total=None) if unstable else facts, size)
    return _walk_on(row, facts, page, "more pages")


def _most_misses(page: int) -> int:
    """Return after how many pages without others a pass is over."""
    return MISSES + page if page <= TINY else MISSES


def _whole(row: WindowRow, state: KindState, facts: Facts) -> Step | None:
    """Read no more than a page once more, the order of which changed; None where that proves nothing.

    If others left meanwhile, nothing tells which of those that are left have not been shown. Where they are fewer than
    a full page, one more page shows them all; if it shows more, others came late, and it may be a full one.
    """
    walk, page = row.walk, page_size(row, state)
    shown, left = walk.offset + walk.overlap, walk.offset + facts.received
    # As many as a full page may stand before others.
    if left > shown or _nearly_full(left, page) or not _too_short(left, state) or walk.number > AGAIN:
        return None
    again = replace(_again(walk, quiet=0), shown=left)
    return Step(State.WALKING, again, "no more than a page is left: all of it once more")


def _end_of_anchor(anchor: tuple[str, ...], page: Sequence[str]) -> int | None:
    """Return the place of the last row on this page that is one of the anchor's, None where none is there."""
    rows = set(anchor) - {""}
    places = [place for place, identity in enumerate(page) if identity in rows]
    others = [place for place in places if page[place] != anchor[-1]]
    if others:
        # A server may double a row across the end of a page: a copy of the anchor's last row that follows the others is
        # behind the anchor, wherever it is. Where none of the others is left, it may as well stand before the anchor.
        places = others + [place for place in places if place > others[-1]][: anchor.count(anchor[-1])]
    return places[-1] if places else None


def _in_order(anchor: tuple[str, ...], page: Sequence[str], head: int) -> bool:
    """Whether so many rows at the head of a page are what is left of the anchor, in its order, and not by chance.

    Rows only leave, so nothing can have come before them or between: not a row without an identity, and not one of the
    anchor's own twice, or one that moved over to where all was read already would go unnoticed.
    """
    left = iter(anchor)
    in_order = all(identity in left for identity in page[:head])
    found, named = sum(map(bool, page[:head])), sum(map(bool, page))
    # Of all orders that the page might have, one in so many begins like this. A page of twelve rows or fewer has too few
    # in common with the last one for that: there, all of the anchor must do.
    certain = found >= len(anchor) or math.perm(named, found) >= CHANCE
    return certain and in_order


def _walk_on(row: WindowRow, facts: Facts, page: int, why: str) -> Step:
    """Ask for the next page from a little before the end of this one."""
    overlap = min(OVERLAP, page // 2, facts.received // 2)
    reached = row.walk.offset + facts.received
    named = [place for place, identity in enumerate(facts.identities) if identity]
    # Passes over an order that changes need no anchor.
    if not named and not row.walk.unstable:
        raise Uncertain(
            "a page without one identifiable record, and perhaps more behind it: nothing to anchor the next page on"
        )
    # Rows before the overlap are no anchor, or it would stand at the head of a page that begins earlier than it should.
    # Where nothing in the overlap has an identity, the next page does not show the anchor, and the walk steps back.
    anchor = tuple(facts.identities[min([facts.received - max(1, overlap), *named[-1:]]) :])
    # With a page of one record there is no room for an overlap beside a new row: ask for two.
    limit = max(2, row.walk.limit) if row.walk.limit else None
    walk = replace(row.walk, offset=reached - overlap, overlap=overlap, anchor=anchor, limit=limit, shown=0)
    return Step(State.WALKING, walk, why)


def _from_the_front(row: WindowRow, facts: Facts) -> Step:
    """Nothing followed one record, or it came again: both may be so because others left. Read all of it once more."""
    walk = row.walk
    if walk.number >= PASSES:
        raise Uncertain(f"{PASSES} passes over one window did not agree")
    # Rows only leave: of one record with nothing behind it, one is left at most, and a page that has room for two tells.
    # Where that many were asked for, the first page would have shown others, but for those that are filtered for good: the
    # record may stand second, behind one of these, and come again.
    alone = not facts.received or (facts.received == 1 and (walk.limit or LIMIT) >= SMALLEST_CAP)
    shown = walk.offset if walk.offset == 1 and alone else 0
    again = replace(_again(walk, quiet=0), shown=shown)
    return Step(State.WALKING, again, "one record: all of it once more")


def _step_back(row: WindowRow) -> Step:
    """The anchor is gone: more rows left than the overlap holds. Go back, or begin again."""
    walk = row.walk
    if walk.number >= PASSES:
        raise Uncertain(f"{PASSES} passes over one window did not agree")
    if walk.misses >= MISSES or walk.offset <= 1 or not walk.overlap:
        # In a first pass others may have left; in a later one, there may be no order that an anchor could show.
        again = replace(_again(walk, quiet=0), unstable=walk.unstable or (walk.number > 1 and walk.overlap > 0))
        return Step(State.WALKING, again, "anchor lost: from the beginning")
    overlap = walk.overlap * 2
    back = replace(walk, offset=max(1, walk.offset - overlap), overlap=overlap, misses=walk.misses + 1)
    return Step(State.WALKING, back, "anchor missing: step back")


def _end_of_pass(row: WindowRow, state: KindState, facts: Facts, kind: Kind) -> Step:
    """Nothing follows, in an order that changes: others may have left, one of several servers have fewer, or one slip."""
    walk, page = row.walk, page_size(row, state)
    tiny = page <= TINY
    certain = not walk.overlap and not facts.received and not facts.hollow and not tiny
    if certain or walk.misses >= _most_misses(page):
        return _end_of_walk(row, state, facts, kind)
    if walk.overlap and not tiny:
        return _step_back(row)
    # Behind a few records that a filter has left out, others may stand. First the same is asked of another server.
    further = 1 if tiny and (walk.misses or not walk.offset) else 0
    again = replace(walk, offset=walk.offset + further, misses=walk.misses + 1)
    return Step(State.WALKING, again, "order changes: nothing follows, asked again")


def _end_of_walk(row: WindowRow, state: KindState, facts: Facts, kind: Kind) -> Step:
    """The last page is in: certified if the order held, else after enough passes without news."""
    walk = row.walk
    if not walk.unstable:
        return _complete(row, state, facts, kind, "walked to the end")
    quiet = walk.quiet + 1 if walk.fresh == 0 else 0
    if quiet >= QUIET_PASSES:
        return _complete(row, state, facts, kind, f"{quiet} passes found nothing new")
    if walk.number >= PASSES:
        raise Uncertain(f"{PASSES} passes over one window still found new rows")
    return Step(State.WALKING, _again(walk, quiet), "order changes: another pass")


def _again(walk: Walk, quiet: int) -> Walk:
    """Return a walk that begins anew: together the passes are one read, dated by its beginning.

    What was too large once may have been a slip: with pages of two records, passes would take hours. What is too large
    for good costs a request each time: larger ones are tried after the first, second, fourth, eighth … pass.
    """
    limit = walk.limit
    if limit and not walk.number & (walk.number - 1):
        limit = limit * 2 if limit * 2 < LIMIT else None
    return Walk(
        lower=walk.lower,
        limit=limit,
        number=walk.number + 1,
        unstable=walk.unstable,
        quiet=quiet,
        began_at=walk.began_at,
        heads=walk.heads,
        asked=walk.asked,
    )


def _complete(row: WindowRow, state: KindState, facts: Facts, kind: Kind, why: str) -> Step:
    """The part is read. A pilot leaves the rest of its window, cut by the density it found."""
    walk = row.walk
    if kind.read is Read.WHOLE:
        return Step(
            State.DONE, walk, why, read_at=walk.began_at, stale_before=walk.began_at, whole_read_at=walk.began_at
        )
    if walk.lower is None or walk.lower <= row.window.since:
        return Step(State.DONE, walk, why, read_at=walk.began_at)
    pilot, rest = Window(walk.lower, row.window.before), Window(row.window.since, walk.lower)
    expected = (walk.offset + facts.received) / pilot.seconds * rest.seconds
    # The window is known to hold more than a page: a pilot that found next to nothing says that
    # its rows lie elsewhere, not that there are none.
    page, rows = page_size(row, state), walk.offset + facts.received
    parts = _parts(expected, page, rows) if expected > page / 2 else FEW_PARTS
    children = tuple(split(rest, parts))
    return Step(State.OWED, Walk(), f"{why}; rest cut", done=pilot, children=children, read_at=walk.began_at)


def _learn(row: WindowRow, step: Step, state: KindState, facts: Facts) -> Step:
    """Note the largest page, how nothing is said, and the server's cap where two pages show the same size below ours."""
    page, walk = page_size(row, state), row.walk
    largest = facts.received if facts.received > state.largest_page else None
    cap = None
    first_size = walk.offset + walk.overlap
    if walk.offset and not walk.misses and SMALLEST_CAP <= facts.received == first_size < page:
        cap = facts.received
    gives_lists = not facts.received and not facts.hollow and not state.gives_lists
    return replace(step, largest=largest, cap=cap, gives_lists=gives_lists)


def _trim(row: WindowRow, step: Step, settle_s: float) -> Step:
    """Let a finished window end no closer to the API's clock than the settle delay.

    What it leaves out is covered by nothing, so that the next live pass owes it. It may be all: windows that were
    planned while the API's clock ran ahead, or the newest parts of one that was cut.
    """
    if step.read_at is None:
        return step
    edge = floor_second(step.read_at - timedelta(seconds=settle_s))
    whole = step.done or row.window
    if whole.before <= edge:
        return step
    if whole.since >= edge:
        why = f"{step.why}; not settled yet"
        return replace(step, why=why, state=State.OWED, done=None, read_at=None, dropped=not step.children)
    trimmed = Window(whole.since, edge)
    return replace(step, done=trimmed) if step.done else replace(step, window=trimmed)
