"""The page reader against a model of the API: every reading of bounds, order, headers and caps."""

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from humansync import pages
from humansync.errors import FilterIgnored, Uncertain
from humansync.ledger import KindState, Purpose, State, Walk, WindowRow
from humansync.windows import SECOND, Window, merge
from tests.unit.reader_model import NOW, SETTLE_S, ModelApi, read, spread

MONTH = Window(NOW - timedelta(days=30, hours=1), NOW - timedelta(hours=1))
HOT = Window(NOW - timedelta(hours=2), NOW - timedelta(hours=2) + SECOND)
ORDERS = ["event-desc", "updated-asc", "updated-desc", "per-user"]
FIRST = {f"{place:03}": HOT.since for place in range(500)}
NAMES = [f"{place}" for place in range(500)]


def missing(api: ModelApi, stored: dict[str, object], window: Window) -> list[str]:
    return [i for i, updated in api.rows.items() if window.since <= updated < window.before and i not in stored]


@pytest.mark.section9(1, 4, 5, 6, 7)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    count=st.integers(0, 2500),
    seed=st.integers(0, 10_000),
    order=st.sampled_from([*ORDERS, "shuffled"]),
    since_inclusive=st.booleans(),
    before_inclusive=st.booleans(),
    truncates=st.booleans(),
    cap=st.sampled_from([500, 500, 100, 50]),
    with_total=st.booleans(),
    with_link=st.booleans(),
    wrong_total=st.sampled_from([0, 0, 7, -3, 400, -400]),
    departures=st.sampled_from([0, 0, 1, 3, 20]),
    shortened=st.sampled_from([0.0, 0.0, 0.2]),
)
@example(  # one row of the anchor, at the head by chance, was taken for order
    count=102,
    seed=774,
    order="shuffled",
    since_inclusive=False,
    before_inclusive=False,
    truncates=False,
    cap=100,
    with_total=False,
    with_link=False,
    wrong_total=0,
    departures=5,
    shortened=0.0,
)
@example(  # three rows of the anchor, at the head of a short page by chance, were taken for order
    count=103,
    seed=289648106,
    order="shuffled",
    since_inclusive=True,
    before_inclusive=True,
    truncates=False,
    cap=100,
    with_total=False,
    with_link=False,
    wrong_total=0,
    departures=20,
    shortened=0.0,
)
@example(  # a row of the anchor that reappeared by chance, after a step back, was taken for order
    count=510,
    seed=4914,
    order="shuffled",
    since_inclusive=False,
    before_inclusive=False,
    truncates=False,
    cap=500,
    with_total=True,
    with_link=True,
    wrong_total=0,
    departures=1,
    shortened=0.0,
)
@example(  # a capped page after a step back was taken for the end
    count=1115,
    seed=500,
    order="shuffled",
    since_inclusive=False,
    before_inclusive=False,
    truncates=False,
    cap=50,
    with_total=False,
    with_link=False,
    wrong_total=0,
    departures=0,
    shortened=0.0,
)
def test_no_row_that_stays_is_ever_missed(count: int, seed: int, departures: int, **switches: object) -> None:
    api = ModelApi(spread(count, MONTH, seed), seed=seed, departures=departures, **switches)  # type: ignore[arg-type] # drawn by name
    reading = read(api, MONTH)
    assert reading.covered == [MONTH]
    assert missing(api, dict(reading.stored), MONTH) == []


@pytest.mark.section9(4, 5)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("departures", [0, 1, 5, 20])
def test_a_second_that_holds_many_pages_is_walked_without_loss(order: str, departures: int) -> None:
    for seed in range(3):
        api = ModelApi(spread(3000, HOT, seed), seed=seed, order=order, departures=departures)
        reading = read(api, HOT)
        assert missing(api, dict(reading.stored), HOT) == []
        assert reading.covered == [HOT]


def test_many_rows_that_leave_at_once_take_no_neighbour_along() -> None:
    """Switch off the overlap (`_walk_on`) and nothing can be read here, switch off the anchor and rows are lost."""
    api = ModelApi(spread(1500, HOT), order="updated-asc")
    first = sorted(api.rows, key=api.rows.__getitem__)[:100]

    def leave(_row: WindowRow, _step: pages.Step) -> None:
        api.rows.update(dict.fromkeys(first, NOW))

    reading = read(api, HOT, on_step=leave)
    assert missing(api, dict(reading.stored), HOT) == []
    assert "anchor missing: step back" in reading.steps


@pytest.mark.section9(4)
def test_a_hot_second_in_changing_order_is_read_until_nothing_new_comes() -> None:
    for seed in range(5):
        api = ModelApi(spread(1500, HOT, seed), seed=seed, order="shuffled")
        reading = read(api, HOT)
        assert missing(api, dict(reading.stored), HOT) == []


@pytest.mark.section9(4)
@pytest.mark.parametrize("kind", ["activities", "genetic_traits"])
@pytest.mark.parametrize("count", [600, 900, 1500, 2400])
@pytest.mark.parametrize("servers", [2, 3, 4, 5, 8])
def test_servers_that_answer_in_turn_show_all_of_their_places(servers: int, count: int, kind: str) -> None:
    """Each has an order of its own; a pass of as many requests as there are servers shows the same places every time."""
    api = ModelApi(spread(count, HOT), servers=servers)
    assert missing(api, dict(read(api, HOT, kind=kind, largest_page=500).stored), HOT) == []


@dataclass(slots=True)
class _AlikeAtFirst(ModelApi):
    """Servers whose orders differ behind the first page."""

    def _key(self, identity: str) -> tuple[float, str]:
        return (-2.0 if identity in FIRST else ModelApi._key(self, identity)[0]), identity


@pytest.mark.section9(4)
@pytest.mark.parametrize("servers", range(2, 9))
def test_servers_that_answer_in_turn_and_begin_alike_show_all_of_their_places(servers: int) -> None:
    """Nothing tells whose turn it is: passes begin at each, as they begin so many requests apart."""
    for count in (600, 1600, 2700):
        api = _AlikeAtFirst(FIRST | spread(count, HOT), servers=servers)
        assert missing(api, dict(read(api, HOT, kind="genetic_traits", largest_page=500).stored), HOT) == []


def test_eight_passes_in_a_row_begin_at_each_of_up_to_eight_servers() -> None:
    """Of more servers they begin at eight, if those begin unlike."""
    for servers, requests, alike in itertools.product(range(1, 13), range(2, 30), (False, True)):
        if alike and servers > pages.QUIET_PASSES:
            continue
        begun, walk, asked = list[int](), Walk(unstable=True, began_at=NOW), 0
        while len(begun) < 20:
            at = asked % servers
            names = ["first"] if alike else [f"server {at}"]
            step = settled(row(HOT, walk), pages.Facts(500, [*names, *NAMES[1:]], [HOT.since] * 500, NOW))
            walk, asked = step.walk, asked + 1
            if walk.offset:
                begun.append(at)
                asked += requests - 1
                walk = replace(walk, offset=0, asked=requests)
        for i in range(len(begun) - pages.QUIET_PASSES):
            together = len(set(begun[i : i + pages.QUIET_PASSES]))
            assert together == min(servers, pages.QUIET_PASSES), (servers, requests, alike)


def test_a_pass_that_begins_like_another_counts_for_none_and_forgets_none() -> None:
    """It has not shown all places. One that shows news is read on, as are those where no other beginning is to be had."""
    again = Walk(number=3, unstable=True, quiet=4, heads=("a", NAMES[0]), asked=4, began_at=NOW)
    page = pages.Facts(len(NAMES), NAMES, [HOT.since] * len(NAMES), NOW)
    step = settled(row(HOT, again), page)
    assert step.why == "order changes: a pass has begun like this"
    assert step.walk == replace(again, asked=5, repeats=1)
    for walk, shown in (
        (replace(again, heads=("a",)), page),
        (again, replace(page, fresh=1)),
        (replace(again, asked=11, repeats=7), page),
        (replace(again, unstable=False), page),
    ):
        on = settled(row(HOT, walk), shown)
        assert on.why == "one second holds more than a page"
        assert (on.walk.heads, on.walk.asked, on.walk.repeats) == ((*walk.heads, NAMES[0]), 1, 0)
    for asked, repeats in ((11, 6), (12, 7)):
        assert settled(row(HOT, replace(again, asked=asked, repeats=repeats)), page).why == step.why


@pytest.mark.parametrize("count", [10, 480, 501, 1000, 1500, 2000, 2500, 10_000, 20_000])
@pytest.mark.parametrize("order", ["event-desc", "updated-asc"])
@pytest.mark.parametrize("with_total", [False, True])
def test_evenly_spread_rows_cost_few_requests(count: int, order: str, with_total: bool) -> None:
    api = ModelApi(spread(count, MONTH), order=order, with_total=with_total)
    assert read(api, MONTH).requests <= 1.3 * math.ceil(count / 500) + 2


def test_known_density_costs_a_page_and_a_ninth() -> None:
    api = ModelApi(spread(20_000, MONTH))
    reading = read(api, MONTH, density=20_000 / MONTH.seconds, largest_page=500)
    assert reading.requests <= 1.15 * 40


def test_an_idle_window_costs_one_request() -> None:
    assert read(ModelApi({}), MONTH).requests == 1
    assert read(ModelApi(spread(19, MONTH)), MONTH).requests == 1


def test_a_burst_in_a_quiet_month_is_found_without_a_flood_of_requests() -> None:
    burst = Window(NOW - timedelta(days=20), NOW - timedelta(days=20) + timedelta(seconds=30))
    api = ModelApi(spread(3000, burst))
    reading = read(api, MONTH)
    assert missing(api, dict(reading.stored), MONTH) == []
    assert reading.requests < 200


def test_a_collection_without_times_in_changing_order_and_small_pages_is_read_all_the_same() -> None:
    for seed in range(2):
        api = ModelApi(spread(600, HOT, seed), seed=seed, order="shuffled", cap=50)
        reading = read(api, HOT, kind="genetic_traits")
        assert missing(api, dict(reading.stored), HOT) == []
        # about 20 passes of 24 pages; where a missing anchor sent the reader back, half as many again
        assert reading.requests < 400


def row(window: Window, walk: Walk = Walk()) -> WindowRow:  # noqa: B008 - a frozen value
    return WindowRow(1, "activities", window, Purpose.LIVE, State.OWED, 0, walk)


def facts(received: int, head: tuple[str, ...] = (), **more: Any) -> pages.Facts:
    """Return a page of so many rows that begins with these."""
    names = [*head, *(f"{i}" for i in range(received - len(head)))]
    return pages.Facts(received, names, [HOT.since] * received, NOW, **more)


def settled(row: WindowRow, facts: pages.Facts, *, largest: int = 500) -> pages.Step:
    return pages.settle(row, KindState("activities", largest_page=largest), facts, settle_s=SETTLE_S)


@pytest.mark.section9(9, 13)
def test_rows_outside_the_bounds_stop_the_kind() -> None:
    for outside in (MONTH.since - timedelta(seconds=3), MONTH.before + timedelta(seconds=2)):
        facts = pages.Facts(1, ["a"], [outside], NOW)
        with pytest.raises(FilterIgnored):
            pages.settle(row(MONTH), KindState("activities"), facts, settle_s=SETTLE_S)


@pytest.mark.section9(7)
def test_adjoining_windows_overlap_by_a_second() -> None:
    ask = pages.request(row(MONTH), KindState("activities"))
    assert (ask.since, ask.before) == (MONTH.since - SECOND, MONTH.before)


@pytest.mark.section9(14, 15)
def test_a_window_ends_no_closer_to_the_apis_clock_than_the_settle_delay() -> None:
    """The local clock may be wrong: what counts is the clock the answer carries."""
    api_time = MONTH.before + timedelta(seconds=SETTLE_S - 30)
    step = pages.settle(row(MONTH), KindState("activities"), pages.Facts(0, [], [], api_time), settle_s=SETTLE_S)
    assert step.window == Window(MONTH.since, MONTH.before - timedelta(seconds=30))


@pytest.mark.parametrize("api_time", [MONTH.since, MONTH.since + timedelta(seconds=SETTLE_S)])
def test_a_window_none_of_which_is_settled_by_the_apis_clock_is_left_to_the_planner(api_time: datetime) -> None:
    """Planned while that clock ran ahead, or the newest part of a window that was cut: nothing is wrong with it."""
    step = pages.settle(row(MONTH), KindState("activities"), pages.Facts(0, [], [], api_time), settle_s=SETTLE_S)
    assert (step.dropped, step.state, step.done, step.children) == (True, State.OWED, None, ())


def test_a_pilot_that_is_not_settled_leaves_the_rest_of_its_window_owed() -> None:
    pilot = Walk(lower=MONTH.before - timedelta(hours=1))
    facts = pages.Facts(0, [], [], MONTH.before - timedelta(hours=2))
    step = pages.settle(row(MONTH, pilot), KindState("activities"), facts, settle_s=SETTLE_S)
    assert (step.dropped, step.state, step.done) == (False, State.OWED, None)
    assert (step.children[0].since, step.children[-1].before) == (MONTH.since, pilot.lower)


def test_who_knows_what_an_unfinished_window_is_worth_may_read_it_all_the_same() -> None:
    facts = pages.Facts(0, [], [], MONTH.since)
    step = pages.settle(row(MONTH), KindState("activities"), facts, settle_s=None)
    assert (step.dropped, step.state, step.window) == (False, State.DONE, None)


@pytest.mark.parametrize(
    ("received", "limit", "largest", "state"),
    [
        (499, 500, 500, State.WALKING),  # a server that filters after it has paged
        (99, 100, 500, State.WALKING),  # the same, asked for less than it has given before
        (19, 20, 500, State.WALKING),  # and for very little
        (100, 500, 0, State.WALKING),  # nothing longer was ever seen
        (100, 500, 100, State.WALKING),  # nor here
        (101, 500, 104, State.WALKING),  # a capped page, filtered afterwards
        (100, 500, 104, State.DONE),
        (19, 500, 0, State.DONE),  # no server is known to cap as low
    ],
)
def test_a_short_page_that_could_be_all_that_the_server_gives_is_confirmed(
    received: int, limit: int, largest: int, state: State
) -> None:
    step = settled(row(MONTH, Walk(limit=limit)), facts(received), largest=largest)
    assert step.state is state


@pytest.mark.parametrize("hint", [{"total": 11}, {"has_next": True}])
def test_a_header_that_speaks_of_more_keeps_a_short_page_from_ending_its_window(hint: dict[str, Any]) -> None:
    assert settled(row(MONTH), facts(10)).state is State.DONE
    assert settled(row(MONTH), facts(10, **hint)).state is State.WALKING


ANCHOR = tuple(f"anchor {i}" for i in range(25))
WALK = Walk(offset=475, overlap=25, anchor=ANCHOR, began_at=NOW)


def test_a_walk_whose_anchor_is_gone_asks_for_what_lies_before_it() -> None:
    """Switch off the anchor or the step back in `_next_page` and this fails."""
    step = settled(row(HOT, WALK), facts(500))
    assert (step.state, step.why) == (State.WALKING, "anchor missing: step back")
    assert (step.walk.offset, step.walk.overlap, step.walk.anchor) == (425, 50, ANCHOR)
    for _ in range(pages.MISSES):
        step = settled(row(HOT, step.walk), facts(500))
    assert (step.walk.offset, step.walk.number, step.why) == (0, 2, "anchor lost: from the beginning")
    assert not step.walk.unstable


def test_an_anchor_that_is_lost_again_shows_no_order() -> None:
    """Three servers in turn, pages so small that a step back reaches the front: every pass would ask the same of each."""
    for overlap, unstable in ((25, True), (0, False)):  # without an overlap there is no anchor that could be lost
        walk = replace(WALK, offset=1, overlap=overlap, number=2)
        step = settled(row(HOT, walk), facts(1))
        assert (step.walk.offset, step.walk.number, step.walk.unstable) == (0, 3, unstable)
    api = ModelApi(spread(300, HOT), servers=3, cap=20)
    assert missing(api, dict(read(api, HOT, kind="genetic_traits", largest_page=20).stored), HOT) == []


@pytest.mark.parametrize(
    ("head", "unstable"),
    [
        (ANCHOR, False),
        (ANCHOR[3:20], False),  # rows leave
        ((*ANCHOR[:5], "stranger", *ANCHOR[5:]), True),  # and none comes between
        ((*ANCHOR[:5], *ANCHOR[4:]), True),  # not one of its own either, nor one without an identity
        ((*ANCHOR[:5], "", *ANCHOR[5:]), True),
        (ANCHOR[::-1], True),
    ],
)
def test_an_anchor_that_is_not_as_it_was_shows_an_order_that_changes(head: tuple[str, ...], unstable: bool) -> None:
    """Switch off either half of `_in_order` and this fails."""
    step = settled(row(HOT, WALK), facts(500, head))
    assert step.walk.unstable is unstable
    assert settled(row(MONTH, WALK), facts(500, head)).why.startswith("full: cut")


@pytest.mark.parametrize(("named", "unstable"), [(500, False), (20, True)])
def test_few_rows_with_an_identity_prove_no_order(named: int, unstable: bool) -> None:
    names = [*ANCHOR[:4], *(f"{i}" for i in range(named - 4)), *([""] * (500 - named))]
    page = pages.Facts(500, names, [HOT.since] * named, NOW)
    assert settled(row(HOT, WALK), page).walk.unstable is unstable


@pytest.mark.section9(16, 17)
@pytest.mark.parametrize(
    ("nameless", "first"),
    [(range(480, 481), 475), (range(475, 500), 474), (range(300, 500), 299), (range(474, 475), 475)],
)
def test_no_row_before_the_overlap_is_an_anchor_because_others_have_no_identity(nameless: range, first: int) -> None:
    """Except where no other has one: then the next page does not show it, and the walk steps back."""
    names = ["" if i in nameless else f"{i}" for i in range(500)]
    walk = settled(row(HOT), pages.Facts(500, names, [HOT.since] * 500, NOW)).walk
    assert (walk.offset, walk.overlap, walk.anchor) == (475, 25, tuple(names[first:]))


@pytest.mark.section9(30)
@pytest.mark.parametrize("kind", ["activities", "genetic_traits"])
@pytest.mark.parametrize("doubled", [475, 480, 499])
def test_a_record_that_a_server_doubles_makes_no_order_doubtful(kind: str, doubled: int) -> None:
    """Also across the end of a page."""
    api = ModelApi(spread(3000, HOT), doubled=doubled)
    reading = read(api, HOT, kind=kind, largest_page=500)
    assert (missing(api, dict(reading.stored), HOT), reading.requests) == ([], 7)


def test_a_record_that_comes_twice_and_is_all_of_the_anchor_proves_no_order() -> None:
    """The first of the two may stand before the anchor, because rows have moved there."""
    walk = Walk(offset=1, overlap=1, anchor=("last",), began_at=NOW)
    row = WindowRow(1, "genetic_traits", MONTH, Purpose.LIVE, State.WALKING, 1, walk)
    facts = pages.Facts(2, ["last", "last"], [], NOW)
    assert pages.settle(row, KindState("genetic_traits", largest_page=500), facts, settle_s=SETTLE_S).walk.unstable


@pytest.mark.parametrize("names", [[""], ["a"]])
def test_a_page_of_one_record_without_a_time_tells_no_density(names: list[str]) -> None:
    step = settled(row(MONTH, Walk(limit=1)), pages.Facts(1, names, [], NOW))
    assert step.why == "full, density unknown: newest part first"


def test_a_short_page_behind_the_anchor_ends_a_walk_only_where_longer_ones_were_seen() -> None:
    more = facts(100, ANCHOR)
    assert settled(row(HOT, WALK), more, largest=100).why == "more pages"
    assert settled(row(HOT, WALK), more, largest=500).state is State.DONE
    assert settled(row(HOT, WALK), facts(25, ANCHOR), largest=25).state is State.DONE


@pytest.mark.section9(6)
@pytest.mark.parametrize("unstable", [False, True])
@pytest.mark.parametrize(
    ("received", "limit", "more"), [(494, 497, True), (98, 100, True), (90, 100, False), (31, 34, True)]
)
def test_a_page_a_little_short_of_what_was_asked_for_ends_no_walk(
    received: int, limit: int, more: bool, unstable: bool
) -> None:
    """A server that filters after it has paged, asked for fewer rows than it has given before."""
    walk = replace(WALK, limit=limit, unstable=unstable)
    assert (settled(row(HOT, walk), facts(received, ANCHOR), largest=500).why == "more pages") is more


@pytest.mark.section9(6)
@pytest.mark.parametrize("unstable", [False, True])
@pytest.mark.parametrize(("received", "limit", "more"), [(9, 10, True), (7, 10, True), (6, 10, False), (14, 15, True)])
def test_a_page_of_few_records_is_no_end_because_it_has_few(
    received: int, limit: int, more: bool, unstable: bool
) -> None:
    """Records may be so large that pages hold a dozen: then so few are nearly a full page."""
    walk = replace(WALK, limit=limit, overlap=5, anchor=ANCHOR[:5], unstable=unstable)
    assert (settled(row(HOT, walk), facts(received, ANCHOR[:5])).why == "more pages") is more


@pytest.mark.section9(1, 6)
@pytest.mark.parametrize("header", [{"total": 1000}, {"has_next": True}])
def test_a_header_that_promises_more_is_heard_on_every_page_of_a_walk(header: dict[str, Any]) -> None:
    """Longer pages were seen, but the server may have begun to give shorter ones."""
    assert settled(row(HOT, WALK), facts(100, ANCHOR)).state is State.DONE
    for window in (HOT, MONTH):  # a cut would go by the header
        assert settled(row(window, WALK), facts(100, ANCHOR, **header)).why == "more pages"
    assert settled(row(HOT, WALK), facts(25, ANCHOR, **header)).state is State.DONE  # it was wrong
    for kind in ("activities", "genetic_traits"):
        api = ModelApi(spread(1000, HOT), cap=100, with_total="total" in header, with_link="has_next" in header)
        assert missing(api, dict(read(api, HOT, kind=kind, largest_page=500).stored), HOT) == []


@pytest.mark.section9(1, 6)
def test_a_window_whose_first_page_was_short_is_cut_where_a_header_promises_more() -> None:
    """The server gives shorter pages than we ask for; the last promises of such a walk may be wrong."""
    walk = Walk(offset=75, overlap=25, anchor=ANCHOR, began_at=NOW)
    assert settled(row(MONTH, walk), facts(90, ANCHOR, has_next=True)).why.startswith("full")
    assert settled(row(HOT, walk), facts(90, ANCHOR, has_next=True)).why == "more pages"


ALONE = Walk(offset=1, overlap=0, anchor=("a",), limit=pages.TINY + 1, began_at=NOW)


@pytest.mark.parametrize("limit", [pages.TINY + 1, None])
@pytest.mark.parametrize("window", [HOT, MONTH])
def test_one_record_with_nothing_behind_it_is_read_once_more(window: Window, limit: int | None) -> None:
    """It may have left, and what was behind it stands in its place: only a page with room for two tells."""
    again = settled(row(window, replace(ALONE, limit=limit)), facts(0))
    assert (again.state, again.walk.offset, again.walk.shown) == (State.WALKING, 0, 1)
    for left in (0, 1):
        assert settled(row(window, again.walk), facts(left, total=9), largest=0).state is State.DONE
    assert settled(row(window, again.walk), facts(2, total=9)).state is not State.DONE


def test_one_record_behind_itself_is_read_once_more_where_a_filter_would_leave_others() -> None:
    """It stands second, behind one that is counted and never shown."""
    again = settled(row(MONTH, replace(ALONE, limit=None)), facts(1, ("a",), total=2))
    assert (again.state, again.walk.offset, again.walk.shown) == (State.WALKING, 0, 1)
    assert settled(row(MONTH, again.walk), facts(1, ("a",), total=2)).state is State.DONE
    few = pages.SMALLEST_CAP - 1  # of which others may be filtered
    for limit, page in ((few, facts(1, ("a",))), (None, facts(2, ("a",)))):
        assert settled(row(MONTH, replace(ALONE, limit=limit)), page).walk.shown == 0


def test_one_record_that_comes_again_behind_itself_is_no_anchor() -> None:
    """Rows of a kind read whole move when they change, past others that no page has shown."""
    for page in (facts(1, ("a",)), facts(2, ("a",))):
        again = settled(row(HOT, ALONE), page)
        assert (again.state, again.walk.offset, again.walk.shown) == (State.WALKING, 0, 0)
    further = settled(row(HOT, replace(ALONE, offset=7)), facts(0))
    assert (further.state, further.walk.offset, further.walk.shown) == (State.WALKING, 0, 0)
    with pytest.raises(Uncertain, match="did not agree"):
        settled(row(HOT, replace(ALONE, number=pages.PASSES)), facts(0))


def test_in_changing_order_the_end_behind_one_record_ends_a_pass_and_a_refusal_or_itself_when_heard_again() -> None:
    walk = replace(ALONE, offset=7, unstable=True, quiet=3)
    ended = settled(row(HOT, walk), facts(0))
    assert (ended.why, ended.walk.quiet) == ("order changes: another pass", 4)
    for page in (facts(0, hollow=True), facts(1, ("a",))):
        asked = settled(row(HOT, walk), page)
        assert (asked.state, asked.walk) == (State.WALKING, replace(walk, asked=1, misses=1))
        believed = settled(row(HOT, replace(walk, misses=pages.MISSES)), page)
        assert (believed.why, believed.walk.quiet) == (ended.why, 4)
    behind = settled(row(HOT, replace(walk, limit=2)), replace(facts(2, ("b", "a")), fresh=1))
    assert (behind.why, behind.walk.fresh) == ("more pages", 1)


PASS = Walk(number=3, unstable=True, began_at=NOW)


def passed_over(answer: Callable[[int, int], list[str]], limit: int, walk: Walk = PASS) -> set[str]:
    """Return what passes over a second in changing order have shown at their end.

    answer: gives the names that stand at an offset, and is told how many requests came before. limit: of each page.
    """
    walk, stored = replace(walk, limit=limit), set[str]()
    for requests in range(2_000):
        place = row(HOT, walk)
        page = answer(pages.request(place, KindState("activities")).offset, requests)[:limit]
        step = settled(place, pages.Facts(len(page), page, [HOT.since] * len(page), NOW, fresh=len({*page} - stored)))
        stored |= set(page)
        if step.state is State.DONE:
            return stored
        walk = replace(step.walk, limit=limit)
    pytest.fail("no end")


@pytest.mark.parametrize(("limit", "walk"), [(2, Walk()), (3, Walk()), (6, Walk()), (7, PASS)])
@pytest.mark.parametrize("nameless", [[""], ["", ""]])
def test_passes_need_no_anchor(nameless: list[str], limit: int, walk: Walk) -> None:
    """Records without an identity may stand first or last, and be all of a page."""
    last, first = [*NAMES[:20], *nameless], [*nameless, *NAMES[:20]]
    assert passed_over(lambda offset, _: last[offset:], limit, walk) == {"", *NAMES[:20]}
    assert passed_over(lambda offset, _: first[offset:], limit, walk) == {"", *NAMES[:20]}


@pytest.mark.parametrize("limit", [3, 7, 12])
@pytest.mark.parametrize("lag", [1, 2, 5, 20])
@pytest.mark.parametrize("servers", [2, 3])
def test_passes_over_servers_that_do_not_hold_equally_many_records_come_to_an_end(
    servers: int, lag: int, limit: int
) -> None:
    """A page that is empty on one of them is not on the other: to step back and to go on would never end."""
    names = NAMES[:30]
    orders = [random.Random(server).sample(names, 30) for server in range(1, servers)]
    orders.append(random.Random(0).sample(names[lag:], 30 - lag))
    shown = passed_over(lambda offset, requests: orders[requests % servers][offset:], limit)
    assert set(names[lag:]) <= shown  # what all of them hold


def test_a_server_that_does_not_apply_the_offset_is_not_walked_for_ever() -> None:
    for kind, window in (("genetic_traits", MONTH), ("activities", HOT)):
        page = replace(facts(500, tuple(NAMES[:475])), identities=NAMES, updated=[])
        at = replace(row(window, replace(WALK, anchor=tuple(NAMES[-25:]))), kind=kind)
        with pytest.raises(Uncertain, match="does not apply the offset"):
            settled(at, page)
        back = replace(at, walk=replace(at.walk, misses=1))  # so many may have left that it ends where the last one did
        assert settled(back, page).state is State.WALKING
    with pytest.raises(Uncertain, match="does not apply the offset"):
        settled(row(HOT, replace(WALK, asked=pages.MOST_PAGES)), facts(500, ANCHOR))


@pytest.mark.parametrize("limit", [2, 10])
def test_passes_that_a_filter_cuts_short_at_one_place_prove_nothing(limit: int) -> None:
    """Once a walk has stepped back its order is not believed, though it is stable: all passes may end alike."""
    held = [f"{place:03}" for place in range(40 * limit)]

    def answer(offset: int, _: int) -> list[str]:
        return [name for name in held[offset : offset + limit] if name != "025"]

    assert set(held) - passed_over(answer, limit) == {"025"}


@pytest.mark.parametrize("orders", [1, 4, 1_000])
@pytest.mark.parametrize("limit", range(2, pages.TINY + 1))
def test_reads_by_a_few_records_a_page_that_a_filter_shortens_show_all(limit: int, orders: int) -> None:
    """The filter counts what it leaves out. First pages, those amidst others, and all of a steady order come short."""
    held, filtered = NAMES[:40], set(NAMES[:40:4])
    for seed in range(20):
        chance = random.Random(seed)
        kept = [chance.sample(held, 40) for _ in range(orders)]

        def answer(offset: int, _: int, kept: list[list[str]] = kept, chance: random.Random = chance) -> list[str]:
            return [name for name in chance.choice(kept)[offset : offset + limit] if name not in filtered]

        assert passed_over(answer, limit, Walk()) == {*held} - filtered, seed


@pytest.mark.parametrize("limit", range(2, pages.TINY + 1))
def test_in_pages_of_a_few_records_a_row_of_filtered_ones_is_looked_past(limit: int) -> None:
    """As many as a page and two more, wherever they stand, also where others before them leave but one on its page."""
    run = limit + 2
    for before, place in itertools.product(range(run + 1), (1, 2, 3, 9)):
        held = NAMES[: before + place + run + 9]
        shown = {*held[before : before + place], *held[before + place + run :]}

        def answer(offset: int, _: int, held: list[str] = held, shown: set[str] = shown) -> list[str]:
            return [name for name in held[offset : offset + limit] if name in shown]

        assert passed_over(answer, limit, Walk()) == shown, (before, place)


def test_a_walk_whose_pages_become_tiny_goes_on_in_passes() -> None:
    """What a page of twelve has shown is anchor enough for one of twelve, and not for one of six, which a filter may shorten."""
    walk = Walk(offset=6, overlap=6, anchor=ANCHOR[-6:], limit=6, began_at=NOW)
    step = settled(row(HOT, walk), facts(6, ANCHOR[-6:]))
    assert (step.state, step.walk.unstable) == (State.WALKING, True)
    nothing = settled(row(HOT, walk), facts(0))
    assert (nothing.walk.offset, nothing.walk.misses, nothing.walk.unstable) == (6, 1, True)


@pytest.mark.parametrize("offset", [0, 2])
@pytest.mark.parametrize("page", [pages.TINY, pages.TINY + 1])
def test_a_window_that_can_be_cut_is_not_done_by_a_page_of_a_few_records(page: int, offset: int) -> None:
    """A filter may have left none but the anchor, or nothing; its halves ask for full pages again."""
    walk = Walk(offset=offset, overlap=2, anchor=ANCHOR[:2], limit=page, began_at=NOW) if offset else Walk(limit=page)
    two = Window(HOT.since, HOT.since + SECOND * 2)
    for left, window in itertools.product((0, 2), (MONTH, two)):
        step = settled(row(window, walk), facts(left, ANCHOR[:2]))
        assert (step.why == "end to be confirmed: cut in 2") == (page <= pages.TINY), step
    further = settled(row(MONTH, replace(walk, offset=2, limit=pages.TINY)), facts(pages.TINY))
    assert further.why == "end to be confirmed: cut in 2"
    full = settled(row(MONTH, Walk(limit=pages.TINY)), facts(pages.TINY, total=90))  # by the total, as always
    assert len(full.children) > 2
    pilot = settled(row(MONTH, Walk(lower=MONTH.before - SECOND * 4, limit=pages.TINY)), facts(0))
    assert [child.seconds for child in pilot.children] == [MONTH.seconds - 4, 2, 2]


@pytest.mark.parametrize("order", ["updated-desc", "shuffled"])
@pytest.mark.parametrize("fits", [1, 2, 3, 7, 9])
def test_windows_of_which_a_few_records_fit_an_answer_are_read_whole(fits: int, order: str) -> None:
    """Their pages are made smaller until they fit, and a filter leaves some out."""
    for seed in range(3):
        rows = spread(40, MONTH if seed else Window(MONTH.since, MONTH.since + 20 * SECOND), seed)
        filtered = frozenset(random.Random(seed).sample(sorted(rows), 6))
        reading = read(ModelApi(rows, seed, order=order, filtered=filtered, fits=fits), MONTH)
        assert reading.stored.keys() == rows.keys() - filtered
        assert reading.covered == [MONTH]


def test_nothing_is_asked_for_in_pages_of_a_few_records_for_ever() -> None:
    """Nothing at all is quiet passes of a few requests; a page of which all is known ends a pass when it comes again."""
    asked: list[int] = []

    def nothing(offset: int, _: int) -> list[str]:
        asked.append(offset)
        return []

    assert passed_over(nothing, 2, Walk()) == set()
    assert asked == [*range(1 + pages.MISSES + 2)] * pages.QUIET_PASSES
    held = NAMES[:21]
    for limit, last in itertools.product((2, 3, 4, 6), (1, 2)):  # what a server gives behind its end, too

        def clamped(offset: int, _: int, last: int = last) -> list[str]:
            return held[min(offset, len(held) - last) :]

        assert passed_over(clamped, limit, Walk()) == {*held}


@pytest.mark.parametrize(
    "walk",
    [
        Walk(
            offset=1, overlap=50, anchor=ANCHOR, misses=1, began_at=NOW
        ),  # stepped back: 50 may be all the server gives
        Walk(
            offset=175, overlap=50, anchor=ANCHOR, limit=100, began_at=NOW
        ),  # several pages: one need not hold as many
    ],
)
def test_a_page_within_the_overlap_ends_no_read_in_changing_order_unless_all_was_shown(walk: Walk) -> None:
    assert settled(row(MONTH, walk), facts(44, ANCHOR[::-1])).why.startswith("full")
    shown = Walk(offset=25, overlap=50, anchor=ANCHOR, began_at=NOW)
    # As many as a page has held, or as one is asked for less what is filtered, may be a full page.
    assert settled(row(MONTH, shown), facts(46, ANCHOR[::-1]), largest=74).why.startswith("full")
    assert settled(row(MONTH, replace(shown, limit=76)), facts(48, ANCHOR[::-1])).why.startswith("full")
    assert settled(row(MONTH, shown), facts(51, ANCHOR[::-1])).why.startswith("full")
    assert settled(row(MONTH, replace(shown, number=3)), facts(46, ANCHOR[::-1])).why.startswith("full")
    again = settled(row(MONTH, shown), facts(46, ANCHOR[::-1]))
    assert (again.state, again.walk.offset, again.walk.shown) == (State.WALKING, 0, 71)
    assert settled(row(MONTH, again.walk), facts(71, total=99)).state is State.DONE
    for came, largest, limit in (
        (72, 500, None),
        (71, 74, None),
        (70, 500, 71),
        (71, 500, 74),
    ):  # late, or the page may be a full one
        asked = replace(again.walk, limit=limit)
        assert settled(row(MONTH, asked), facts(came, total=99), largest=largest).state is State.WALKING


@pytest.mark.parametrize(("largest", "most"), [(500, 3), (0, 20)])
@pytest.mark.parametrize("rows", [40, 150])
def test_a_wrong_header_makes_a_window_in_changing_order_not_dear(rows: int, largest: int, most: int) -> None:
    """One more page tells where longer ones are known; where none is, the window is cut, and its parts have that page."""
    api = ModelApi(spread(rows, MONTH), order="shuffled", with_total=True, wrong_total=400)
    reading = read(api, MONTH, largest_page=largest)
    assert missing(api, dict(reading.stored), MONTH) == []
    assert reading.requests <= most


def test_rows_that_leave_between_two_pages_in_changing_order_hide_no_other() -> None:
    """Take the second page for the end, in `_next_page`, and rows are lost here."""
    for seed in range(20):
        # one page shows 40 of 51 rows; the eleven that leave then are any of these, so that the other pages show 40
        api = ModelApi(spread(51, MONTH, seed), seed=seed, order="shuffled", cap=40)

        def leave(_row: WindowRow, step: pages.Step, api: ModelApi = api) -> None:
            if step.why == "end to be confirmed":
                api.leave(max(0, len(api.rows) - 40) if api.requests == 1 else 0)

        reading = read(api, MONTH, on_step=leave)
        assert missing(api, dict(reading.stored), MONTH) == []


@pytest.mark.parametrize(
    ("quiet", "fresh", "state"), [(6, 0, State.WALKING), (7, 0, State.DONE), (7, 1, State.WALKING)]
)
def test_a_second_in_changing_order_is_over_after_eight_passes_without_news(
    quiet: int, fresh: int, state: State
) -> None:
    walk = replace(WALK, unstable=True, quiet=quiet, fresh=fresh, number=9)
    assert settled(row(HOT, walk), facts(25, ANCHOR)).state is state


def test_a_second_that_never_settles_is_put_off_and_never_called_done() -> None:
    restless = replace(WALK, unstable=True, fresh=1, number=pages.PASSES)
    with pytest.raises(Uncertain, match="still found new rows"):
        settled(row(HOT, restless), facts(25, ANCHOR))


def test_a_read_of_several_passes_is_dated_by_the_beginning_of_the_first() -> None:
    """Its first rows were read then; switch off `began_at` in `_first_page` or `_again` and this fails."""
    earlier = NOW - timedelta(hours=1)
    again = settled(row(HOT, replace(WALK, unstable=True, fresh=1, began_at=earlier)), facts(25, ANCHOR)).walk
    assert (again.offset, again.number) == (0, 2)
    assert settled(row(HOT, again), facts(10)).read_at == earlier


def test_what_lies_before_a_pilot_stays_owed_when_the_pilot_is_cut() -> None:
    step = settled(row(MONTH, Walk(lower=MONTH.before - timedelta(days=4))), facts(500, total=2000))
    assert merge(step.children) == [MONTH]


@pytest.mark.section9(1, 6)
def test_a_short_page_that_could_be_a_cap_is_confirmed() -> None:
    """499 of 500, or 100 where nothing longer was ever seen, may be all the server gives."""
    names = [f"{i}" for i in range(500)]
    for received, largest in ((499, 500), (100, 0), (100, 100)):
        facts = pages.Facts(received, names[:received], [MONTH.since] * received, NOW)
        step = pages.settle(row(MONTH), KindState("activities", largest_page=largest), facts, settle_s=SETTLE_S)
        assert step.state is State.WALKING
    facts = pages.Facts(100, names[:100], [MONTH.since] * 100, NOW)
    step = pages.settle(row(MONTH), KindState("activities", largest_page=104), facts, settle_s=SETTLE_S)
    assert step.state is State.DONE


@pytest.mark.parametrize("skipped", [("x", "y"), ()])
def test_an_anchor_that_moved_to_the_end_proves_no_walk_complete(skipped: tuple[str, ...]) -> None:
    """Rows of a kind read whole move when they change; switch off what `_next_page` thinks of a step back."""
    anchor = tuple(f"a{i}" for i in range(25))
    walk = Walk(offset=400, overlap=50, anchor=anchor, misses=1, began_at=NOW)
    row = WindowRow(1, "genetic_traits", MONTH, Purpose.LIVE, State.WALKING, 3, walk)
    # 300 rows moved, the anchor among them: it stands behind rows that were skipped over, of which others left
    facts = pages.Facts(25 + len(skipped), [*skipped, *anchor], [], NOW)
    step = pages.settle(row, KindState("genetic_traits", largest_page=500), facts, settle_s=SETTLE_S)
    assert (step.state, step.walk.unstable, step.why) == (State.WALKING, True, "order changes: another pass")


@pytest.mark.parametrize(
    ("number", "before", "then"),
    [(1, None, None), (1, 2, 4), (1, 31, 62), (1, 250, None), (2, 4, 8), (3, 8, 8), (4, 8, 16), (30, 8, 8)],
)
def test_a_further_pass_asks_for_larger_pages_than_one_that_was_too_large(
    number: int, before: int | None, then: int | None
) -> None:
    misses = pages.MISSES + pages.TINY  # or pages of a few records would be asked for further on
    walk = Walk(
        offset=400, anchor=("a",), misses=misses, limit=before, number=number, unstable=True, fresh=1, began_at=NOW
    )
    row = WindowRow(1, "genetic_traits", MONTH, Purpose.LIVE, State.WALKING, 3, walk)
    step = pages.settle(row, KindState("genetic_traits", largest_page=500), pages.Facts(0, [], [], NOW), settle_s=120)
    assert (step.why, step.walk.limit) == ("order changes: another pass", then)


@pytest.mark.section9(6)
@pytest.mark.parametrize("cap", [500, 250, 50])
@pytest.mark.parametrize("kind", ["activities", "genetic_traits"])
def test_pages_that_are_short_by_a_few_rows_do_not_end_a_read(cap: int, kind: str) -> None:
    """Switch off `_nearly_full` (return False) and rows are lost here."""
    for seed in range(10):
        api = ModelApi(spread(1300, HOT, seed), seed=seed, cap=cap, shortened=0.3)
        assert missing(api, dict(read(api, HOT, kind=kind).stored), HOT) == []


@pytest.mark.section9(16)
def test_the_first_page_of_a_collection_without_times_tells_whether_to_read_on() -> None:
    names = [f"{i}" for i in range(500)]
    facts = pages.Facts(500, names, [], NOW, fresh=0)
    traits = WindowRow(1, "genetic_traits", MONTH, Purpose.LIVE, State.OWED, 0)
    recent = KindState("genetic_traits", largest_page=500, whole_read_at=NOW - timedelta(hours=1))
    assert pages.settle(traits, recent, facts, settle_s=SETTLE_S).state is State.DONE
    old = KindState("genetic_traits", largest_page=500, whole_read_at=NOW - timedelta(days=2))
    assert pages.settle(traits, old, facts, settle_s=SETTLE_S).state is State.WALKING


def test_a_whole_collection_is_walked_and_its_read_dated_by_its_beginning() -> None:
    api = ModelApi(spread(1700, MONTH))
    ends = []
    reading = read(api, MONTH, kind="genetic_traits", on_step=lambda _row, step: ends.append(step))
    assert len(reading.stored) >= 1700 - 5
    assert ends[-1].stale_before == ends[-1].whole_read_at == NOW


# The mechanism: `Walk.sized`.
@pytest.mark.parametrize("with_total", [True, False])
def test_windows_that_were_cut_are_not_cut_by_experience(with_total: bool) -> None:
    window = Window.around(NOW - timedelta(days=10), NOW - timedelta(hours=1))
    api = ModelApi(spread(5_000, window), with_total=with_total)
    found = read(api, window, density=0.1)  # as in the last minutes of a rush
    assert found.stored == api.rows
    assert found.requests <= (1.3 * 10 + 2 if with_total else 60)
    assert found.steps.count("dense by experience") == 0


def test_a_window_is_cut_by_experience_once() -> None:
    window = Window.around(NOW - timedelta(days=10), NOW - timedelta(hours=1))
    row = WindowRow(1, "activities", window, Purpose.LIVE, State.OWED, 0)
    step = pages.presplit(row, KindState("activities"), 0.01)
    assert step is not None
    child = replace(row, window=step.children[0], walk=step.walk)
    assert pages.presplit(replace(child, walk=Walk()), KindState("activities"), 0.1) is not None
    assert pages.presplit(child, KindState("activities"), 0.1) is None
