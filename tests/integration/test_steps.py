"""One step after the other: what the shell around the decisions does with answers, refusals, doubles and losses."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from humansync import plan, reading, sync
from humansync.errors import StateUnavailable, Unavailable
from humansync.kinds import KINDS
from humansync.ledger import State, Walk
from humansync.parallel import FIRST, STORED_S
from humansync.parts import Parts
from humansync.retry import ATTEMPTS, REFUSALS
from humansync.simulator.faults import Fault
from humansync.simulator.world import World
from humansync.state.gate import Gate
from humansync.state.shared import PACE
from humansync.store import Store, make_engine, migrate
from tasks import arguments, publish
from tests.integration.store.ledgers import rows
from tests.integration.verify.places import KIND, NOW, NoRedis, Place, WaitingClock, WorldApi
from tests.simulation.redis_model import RedisModel

HOUR = timedelta(hours=1)
RATE = 10.0


@pytest.fixture
def place(sqlite_url: str) -> Iterator[Place]:
    """Give an installation that owes a month, of an API with ten records."""
    engine = make_engine(sqlite_url)
    migrate(engine)
    clock = WaitingClock()
    world = World(clock.now)
    world.load([KIND], 10, 20, until=NOW - HOUR)
    redis = RedisModel(lambda: clock.now().timestamp(), RATE, lambda _queue: True)
    policy = plan.Policy(settle_s=120, overlap_s=900, since="30d")
    api = WorldApi(world, clock)
    yield Place(world, clock, api, Parts(api, Store(engine), redis, clock, policy, "test"))
    engine.dispose()


def redis_of(place: Place) -> RedisModel:
    assert isinstance(place.parts.shared, RedisModel)
    return place.parts.shared


def planned(place: Place, kind: str = KIND) -> sync.FollowUp:
    """Plan a kind that has nothing yet; return the step that follows."""
    (step,) = sync.plan_kind(place.parts, kind).follow_ups
    return step


def take(place: Place, step: sync.FollowUp) -> sync.Outcome:
    """Do what a worker does with a message, once its time has come."""
    place.clock.sleep(step.delay_s)
    return reading.read(place.parts, step.window_id, step.epoch)


def heard(place: Place, fault: Fault, times: int, kind: str = KIND) -> sync.Outcome:
    """Let the API answer a new window by a fault, so many times in a row; return what came of the last."""
    step = planned(place, kind)
    place.world.fail_next(fault, times, kind=kind)
    for _ in range(times - 1):
        (step,) = take(place, step).follow_ups
    return take(place, step)


# --- a clock that steps back ----------------------------------------------------------------------


def test_windows_of_an_api_whose_clock_steps_back_are_owed_again_when_they_are_over(place: Place) -> None:
    place.world.load([KIND], 4_000, 1 / 144)  # the newest parts of the window are narrower than the step
    place.world.set(date_skew_s=600)
    place.parts.learn_clock(place.api.fetch(KINDS[KIND], since=NOW - HOUR, before=NOW, limit=1, offset=0).api_time)
    steps = deque(sync.plan_kind(place.parts, KIND).follow_ups)
    place.world.set(date_skew_s=0)
    for _ in range(200):
        if not steps:
            break
        outcome = take(place, steps.popleft())
        assert outcome.what not in {"retry", "parked"}
        steps += outcome.follow_ups
    assert {row["state"] for row in rows(place.store, "sync_windows")} == {"done"}
    assert place.store.coverage(KIND)[-1].before <= place.clock.now() - timedelta(seconds=120)
    place.clock.sleep(1_200)
    place.sync()
    assert place.store.versions(KINDS[KIND]).keys() == place.world.truth(KIND).keys()
    assert len(place.store.coverage(KIND)) == 1


def test_a_pass_that_began_in_the_apis_future_is_planned_again_at_once(place: Place) -> None:
    """Two months ahead, it has nothing to read: what it owes by the right clock follows in the same pass."""
    place.parts.learn_clock(NOW + timedelta(days=60))
    outcome = take(place, planned(place))
    assert (outcome.finished, place.store.coverage(KIND)) == (False, [])
    while outcome.follow_ups:
        outcome = take(place, outcome.follow_ups[0])
    assert place.store.versions(KINDS[KIND]).keys() == place.world.truth(KIND).keys()
    assert NOW - place.store.coverage(KIND)[-1].before < timedelta(minutes=3)


def test_windows_behind_one_that_is_still_to_come_are_read_at_once(place: Place) -> None:
    """They have waited for the density that it would have shown."""
    place.parts.learn_clock(NOW + timedelta(days=60))
    place.parts.policy = replace(place.parts.policy, since="95d")
    outcome = take(place, planned(place))
    assert (outcome.finished, place.store.coverage(KIND)) == (False, [])
    assert "owed" in {row["state"] for row in rows(place.store, "sync_windows")}
    steps = deque(outcome.follow_ups)
    while steps:
        steps += take(place, steps.popleft()).follow_ups
    assert {row["state"] for row in rows(place.store, "sync_windows")} == {"done"}
    assert place.store.versions(KINDS[KIND]).keys() == place.world.truth(KIND).keys()
    assert NOW - place.store.coverage(KIND)[-1].before < timedelta(minutes=3)


def test_a_window_that_is_not_settled_by_a_second_is_left_to_the_next_pass(place: Place) -> None:
    """Clocks agree to the second or two: planned again, it would be dropped again, request after request."""
    place.parts.learn_clock(NOW + timedelta(seconds=1.5))
    place.store.set_kind(KIND, start=NOW - timedelta(seconds=120))
    outcome = take(place, planned(place))
    assert (outcome.finished, outcome.follow_ups, rows(place.store, "sync_windows")) == (False, (), [])
    place.clock.sleep(60)
    place.sync()
    assert len(place.store.coverage(KIND)) == 1


# --- answers that are not to be believed ----------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.EMPTY_OBJECT, Fault.NULL])
def test_a_hollow_answer_ends_no_window_until_it_is_given_three_times(place: Place, fault: Fault) -> None:
    outcome = heard(place, fault, 2)
    assert (outcome.what, outcome.finished) == ("retry", False)
    assert place.store.coverage(KIND) == []
    place.world.fail_next(fault)
    assert take(place, outcome.follow_ups[0]).finished


@pytest.mark.parametrize("fault", [Fault.E400, Fault.E404])
def test_a_refusal_behind_a_page_of_one_record_is_no_end(place: Place, fault: Fault) -> None:
    """There, no row of the page before would be shown again, and nothing else contradicts a slip."""
    kind = "genetic_traits"
    place.world.load([kind], 5, 20, until=NOW - HOUR)
    found = place.store.row(planned(place, kind).window_id)
    assert found is not None
    now = place.clock.now()
    row = place.store.fail(found[0], error="large", now=now, not_before=None, state=State.OWED, walk=Walk(limit=1))
    (step,) = take(place, sync.follow_up(place.parts, row)).follow_ups
    place.world.fail_next(fault, kind=kind)
    outcome = take(place, step)
    while not outcome.finished:
        (step,) = outcome.follow_ups
        outcome = take(place, step)
    assert place.store.totals()[kind].records == 5


def test_the_second_look_finds_what_a_server_with_shorter_pages_has_hidden(place: Place) -> None:
    """Without a header a full page of today looks like the end of the data to who knows yesterday's longer ones."""
    place.world.set(page_cap=50, headers="none")
    old = place.ids()
    place.world.load([KIND], 200, 1)
    place.store.set_kind(KIND, largest_page=500)
    place.sync()
    assert len(place.store.versions(KINDS[KIND])) < 200
    place.clock.sleep(24 * 3600)
    second = [step for step in sync.plan_kind(place.parts, KIND).follow_ups if step.untouched is None]
    assert len(second) == 1  # it looks the kind up anew: others may know it as it was a second ago
    steps = deque(second)
    while steps:
        steps += take(place, steps.popleft()).follow_ups
    assert set(place.ids()) - set(old) <= place.store.versions(KINDS[KIND]).keys()


def test_other_failures_are_no_confirmation_of_a_hollow_answer(place: Place) -> None:
    outcome = heard(place, Fault.NULL, 2)
    for fault in (Fault.E500, Fault.EMPTY_OBJECT, Fault.NULL):
        place.world.fail_next(fault)
        outcome = take(place, outcome.follow_ups[0])
        assert outcome.what == "retry"


def test_a_page_with_records_between_hollow_answers_ends_their_row(place: Place) -> None:
    place.world.load([KIND], 700, 20, until=NOW - HOUR)
    outcome = heard(place, Fault.NULL, 2)
    (first, *_) = take(place, outcome.follow_ups[0]).follow_ups  # a full page
    (row,) = [each for each in rows(place.store, "sync_windows") if each["id"] == first.window_id]
    assert "hollow" not in row["walk"]


def test_windows_that_were_cut_to_fit_a_page_say_so_in_the_ledger_and_in_their_message(place: Place) -> None:
    place.world.load([KIND], 3_000, 20, until=NOW - HOUR)
    step = take(place, planned(place)).follow_ups[0]
    assert step.untouched is not None
    assert step.untouched.walk == Walk(sized=True)
    found = place.store.row(step.window_id)
    assert found is not None
    assert found[0] == step.untouched
    bounds = step.window
    assert arguments.untouched(step.window_id, step.epoch, KIND, bounds, **publish.tell(step.untouched)) == found[0]


def test_an_api_that_gives_empty_lists_is_known_for_it_for_good(place: Place) -> None:
    place.sync()
    place.clock.sleep(300)
    place.sync()
    place.clock.sleep(25 * HOUR.total_seconds())  # the daily second look is due, with what is new
    place.world.load([KIND], 5, 0.5, until=place.clock.now() - HOUR)
    steps = deque(sync.plan_kind(place.parts, KIND, forced=True).follow_ups)
    place.world.fail_next(Fault.EMPTY_OBJECT, REFUSALS * len(steps), kind=KIND)
    while steps:
        step = steps.popleft()
        place.clock.sleep(step.delay_s)
        steps += reading.read(place.parts, step.window_id, step.epoch).follow_ups
    assert place.store.versions(KINDS[KIND]).keys() == place.world.truth(KIND).keys()


def test_an_api_that_gives_empty_lists_means_nothing_else_by_a_hollow_answer(place: Place) -> None:
    place.sync()
    place.clock.sleep(300)
    place.sync()  # nothing new
    assert place.store.kind(KIND).gives_lists
    place.clock.sleep(300)
    outcome = heard(place, Fault.EMPTY_OBJECT, ATTEMPTS - 1)
    assert outcome.what == "retry"
    place.world.fail_next(Fault.EMPTY_OBJECT)
    assert take(place, outcome.follow_ups[0]).finished  # nobody says it so often by mistake


@pytest.mark.parametrize("fault", [Fault.E400, Fault.E403, Fault.E404])
def test_a_refusal_of_a_first_page_is_no_empty_window(place: Place, fault: Fault) -> None:
    assert not heard(place, fault, 1).finished
    assert place.store.coverage(KIND) == []


def test_a_kind_that_was_read_is_parked_and_one_that_never_was_is_disabled(place: Place) -> None:
    assert heard(place, Fault.E404, 3, "meals").what == "disabled"
    place.sync()
    place.clock.sleep(300)
    assert heard(place, Fault.E404, 3).what == "parked"
    assert place.store.kind(KIND).disabled is None


def test_a_refused_key_parks_every_window_of_every_kind(place: Place) -> None:
    waiting = planned(place, "meals")
    assert heard(place, Fault.E401, 3).what == "credentials refused"
    assert {window.kind: window.state for window in place.store.parked(9)} == dict.fromkeys(
        ("meals", KIND), State.FAILED
    )
    asked = place.api.requests
    assert take(place, waiting).what == "too early"
    assert place.api.requests == asked


def test_a_throttled_kind_waits_on_all_hosts_and_all_slow_down(place: Place) -> None:
    place.world.set(retry_after_s=60)
    outcome = heard(place, Fault.E429_AFTER, 1)
    assert outcome.what == "wait"
    refused = redis_of(place).admit(99, "another host", kind=KIND, lane="live", lease_s=30, max_wait_s=300)
    assert not refused.granted
    assert refused.wait_s == pytest.approx(60, abs=1)
    first, second = (
        redis_of(place).admit(number, "another host", kind="meals", lane="live", lease_s=30, max_wait_s=300)
        for number in (97, 98)
    )
    assert second.wait_s - first.wait_s == pytest.approx(
        1 / (RATE * PACE / 2)
    )  # and not held: the rate of all is halved
    row = place.store.row(outcome.follow_ups[0].window_id)
    assert row is not None
    assert row[0].attempts == 0


def test_the_apis_clock_counts_where_it_differs_from_ours(place: Place) -> None:
    place.world.set(clock_skew_s=-3600)
    step = planned(place)
    assert step.window.before == NOW - HOUR - timedelta(seconds=120)
    assert take(place, step).finished
    (row,) = rows(place.store, "sync_windows")
    assert NOW - HOUR <= row["read_at"] < NOW - HOUR / 2


def test_what_is_not_known_of_a_kind_yet_is_not_looked_up_three_times_a_page(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    density = place.store.density

    def counted(kind: str) -> float | None:
        asked.append(kind)
        return density(kind)

    monkeypatch.setattr(place.store, "density", counted)
    assert take(place, planned(place)).finished
    assert asked == [KIND, KIND]  # of the plan, and of a window that might have been cut without a look
    assert place.parts.density(KIND)


def test_a_throttled_process_has_fewer_requests_under_way(place: Place) -> None:
    place.parts.gate = gate = Gate(16)
    heard(place, Fault.E429_AFTER, 1)
    assert gate.limit.requests == FIRST / 2


@pytest.mark.parametrize(("page_cap", "measured"), [(20, True), (21, False)])
def test_a_page_is_in_hand_until_it_is_stored(
    place: Place, monkeypatch: pytest.MonkeyPatch, page_cap: int, measured: bool
) -> None:
    """How long that took is a measure only where it is at least half a page: of ten records here."""
    place.parts.gate = gate = Gate(1)
    place.store.set_kind(KIND, page_cap=page_cap)
    step, commit = planned(place), place.store.commit

    def slow(*args: Any) -> Any:
        assert not gate._free(live=True)
        time.sleep(3 * STORED_S)
        return commit(*args)

    monkeypatch.setattr(place.store, "commit", slow)
    assert take(place, step).finished
    assert gate._free(live=True)
    assert (gate.limit.stored_s > STORED_S) is measured


def test_an_answer_that_never_comes_counts_as_a_refusal(place: Place) -> None:
    place.parts.gate = gate = Gate(16)
    outcome = heard(place, Fault.E500, 1)

    def fail(timed_out: bool) -> sync.Outcome:
        def between(_: int) -> None:
            raise Unavailable("no answer from the API", timed_out=timed_out)

        place.api.between = between
        return take(place, outcome.follow_ups[0])

    outcome = fail(False)
    assert gate.limit.requests == FIRST  # turned away at the door: that says nothing of how much is too much
    fail(True)
    assert gate.limit.requests == FIRST / 2


# --- messages that come twice, or never -----------------------------------------------------------


def test_a_message_that_comes_twice_costs_no_second_request(place: Place) -> None:
    step = planned(place)
    place.world.fail_next(Fault.E500)
    take(place, step)
    asked = place.api.requests
    place.clock.sleep(3600)
    assert take(place, step).what == "moved on"
    assert place.api.requests == asked


def test_a_message_doubled_within_a_process_is_held_off_without_redis_too(place: Place) -> None:
    place.parts.shared = NoRedis()
    step = planned(place)
    doubles: list[str] = []

    def double(_request: int) -> None:
        place.api.between = lambda _: None
        doubles.append(take(place, step).what)

    place.api.between = double
    assert take(place, step).finished
    assert doubles == ["held by another"]


def test_work_whose_message_got_lost_is_issued_again(place: Place) -> None:
    lost = planned(place)
    assert sync.sweep(place.parts).follow_ups == ()  # its message may be on its way
    place.clock.sleep(60)
    assert sync.sweep(place.parts).follow_ups == (lost,)
    assert sync.sweep(place.parts).follow_ups == ()
    place.clock.sleep(60)
    redis_of(place).mark_issued([lost.window_id])
    assert sync.sweep(place.parts).follow_ups == ()


def test_a_cursor_whose_move_got_lost_is_moved_by_the_next_plan(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise StateUnavailable("Redis is away")

    with monkeypatch.context() as lost:
        lost.setattr(place.parts.shared, "release", away)
        place.sync()
    (complete,) = place.store.coverage(KIND)
    assert redis_of(place).cursor(KIND) is None
    place.clock.sleep(600)
    sync.plan_kind(place.parts, KIND)
    assert redis_of(place).cursor(KIND) == complete.before


# --- records that the database refuses ------------------------------------------------------------


def test_a_record_that_the_database_refuses_is_set_aside_and_its_page_goes_on(place: Place) -> None:
    refused = place.ids()[3]
    place.sql(
        f"CREATE TRIGGER refuses BEFORE INSERT ON {KIND} WHEN new.id = '{refused}' "
        "BEGIN SELECT RAISE(ABORT, 'no such value'); END"
    )
    assert take(place, planned(place)).rejected == 1
    place.sync()
    assert {row["id"] for row in rows(place.store)} == set(place.ids()) - {refused}
    assert [refused in row["payload"] for row in rows(place.store, "rejected_records")] == [True]


# --- messages that tell of their window -----------------------------------------------------------


def told(place: Place, step: sync.FollowUp) -> sync.Outcome:
    """Do what a worker does with a message that tells of its window."""
    assert step.untouched is not None
    return reading.read(place.parts, step.window_id, step.epoch, step.untouched)


def issued(place: Place, step: sync.FollowUp) -> None:
    redis_of(place).mark_issued([step.window_id], 600, queue="live")


def test_a_message_that_is_waited_for_needs_no_look_at_the_ledger(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = planned(place)
    issued(place, step)
    monkeypatch.setattr(place.store, "row", lambda _: pytest.fail("the ledger was asked"))
    assert told(place, step).finished


def test_a_doubled_message_is_looked_up_before_anything_is_asked(place: Place) -> None:
    step = planned(place)
    issued(place, step)
    assert told(place, step).finished
    asked = place.api.requests
    assert told(place, step).what == "moved on"
    assert place.api.requests == asked


def test_a_late_message_of_a_window_that_is_still_owed_is_good(place: Place) -> None:
    assert told(place, planned(place)).finished


def test_after_everything_was_stopped_messages_are_looked_up(place: Place) -> None:
    step = planned(place)
    issued(place, step)
    place.store.park_all("401", now=place.clock.now(), not_before=place.clock.now() + HOUR)
    redis_of(place).hold(None, 2)
    place.clock.sleep(3)
    asked = place.api.requests
    assert told(place, step).what == "moved on"
    assert place.api.requests == asked


def test_a_window_that_something_has_happened_to_tells_nothing(place: Place) -> None:
    step = planned(place)
    place.world.fail_next(Fault.E500)
    (again,) = take(place, step).follow_ups
    assert again.untouched is None
