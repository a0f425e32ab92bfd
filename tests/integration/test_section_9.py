"""Section 9 of docs/human-api.md, where a row takes the whole of planning, reading and storing to be shown.

The bundled simulator is the API, the ledger and the store are real, and time passes only where somebody waits. Rows
that one function answers have their tests beside its others, marked alike; tests/unit/test_section_9.py counts them.
"""

import json
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa

from config.settings import Settings
from humansync import plan, reading, sync
from humansync.check import Findings
from humansync.kinds import KINDS
from humansync.parts import Parts
from humansync.retry import PARKED_S, PROBE_S
from humansync.simulator.world import World
from humansync.store import Store, make_engine, migrate
from humansync.store.tables import metadata
from humansync.windows import Window
from tests.factories import record
from tests.integration.verify.places import KIND, NOW, NoRedis, Place, WaitingClock, WorldApi
from workers.cli import command

DAY = timedelta(days=1)


class Asking(WorldApi):
    """Remembers the addresses that it asks for, less what all of them begin with."""

    def __init__(self, world: World, clock: WaitingClock) -> None:
        super().__init__(world, clock)
        self.asked: list[str] = []

    def _send(self, url: str, deadline: float, redirects_left: int = 0) -> Any:
        self.asked.append(url.removeprefix("/v1/apps/simulator/users/"))
        return super()._send(url, deadline, redirects_left)


@pytest.fixture
def place(sqlite_url: str) -> Iterator[Place]:
    """Give an installation with an empty database and an empty API; the first pass goes back thirty days."""
    engine = make_engine(sqlite_url)
    migrate(engine)
    clock = WaitingClock()
    world = World(clock.now)
    api, store = Asking(world, clock), Store(engine)
    parts = Parts(api, store, NoRedis(), clock, plan.Policy(settle_s=120, overlap_s=900, since="30d"), "test")
    yield Place(world, clock, api, parts)
    store.close()


def put(place: Place, *records: dict[str, Any], kind: str = KIND) -> None:
    for each in records:
        place.world.put(kind, each)


def stored(place: Place, kind: str = KIND) -> list[dict[str, Any]]:
    table = metadata.tables[kind]
    with place.store.engine.connect() as connection:
        return [dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()]


def ids(place: Place, kind: str = KIND) -> list[str]:
    return [row["id"] for row in stored(place, kind)]


def drive(place: Place, outcome: sync.Outcome) -> list[str]:
    """Take all steps that follow, and what is owed then, waiting as they say; return what each did."""
    steps, done = deque(outcome.follow_ups), list[str]()
    while steps:
        step = steps.popleft()
        place.clock.sleep(step.delay_s)
        following = reading.read(place.parts, step.window_id, step.epoch)
        done.append(following.what)
        steps += following.follow_ups
        assert len(done) < 1_000
        if not steps:  # what waited for the kind's density; what is parked is not due
            now = place.clock.now()
            steps += [sync.follow_up(place.parts, row) for row in place.store.owed(now, now, 500)]
    return done


def attempt(place: Place, kind: str = KIND, bounds: tuple[datetime, datetime | None] | None = None) -> list[str]:
    """Plan a kind and take all steps that follow."""
    return drive(place, sync.plan_kind(place.parts, kind, bounds, forced=bounds is None))


def burst(place: Place, records: int, kind: str = KIND) -> list[str]:
    """Give the API records of one and the same second, which no window can be cut to."""
    updated = NOW - timedelta(hours=2)
    put(place, *(record(kind, number, updated=updated) for number in range(1, records + 1)), kind=kind)
    return [f"{number:024x}" for number in range(1, records + 1)]


# --- paging -------------------------------------------------------------------------------------


@pytest.mark.section9(1, 2)
@pytest.mark.parametrize("headers", ["both", "none", "wrong"])
@pytest.mark.parametrize("records", [500, 1000])
def test_a_total_that_is_a_multiple_of_the_limit_ends_where_it_ends(place: Place, records: int, headers: str) -> None:
    place.world.set(headers=headers)
    names = burst(place, records)
    place.sync()
    assert ids(place) == names
    assert place.store.coverage(KIND)[-1].before == NOW - timedelta(seconds=120)


@pytest.mark.section9(2)
def test_an_empty_window_is_complete_by_one_empty_page(place: Place) -> None:
    assert attempt(place) == ["fits one page"]
    assert place.store.coverage(KIND) == [Window(NOW - 30 * DAY, NOW - timedelta(seconds=120))]


@pytest.mark.section9(3)
@pytest.mark.parametrize("beyond", ["empty", "404", "400"])
def test_what_lies_beyond_the_end_is_an_empty_page_and_the_walk_steps_back(place: Place, beyond: str) -> None:
    place.world.set(beyond=beyond, headers="none")
    names = burst(place, 700)
    gone: list[str] = []

    def between(_request: int) -> None:  # when the first pages have been read, hundreds leave for other seconds
        if len(ids(place)) >= 500 and not gone:
            gone.extend(place.world.change(KIND, identities=names[:450]))

    place.api.between = between
    place.sync()
    assert gone
    assert set(ids(place)) == set(names)


@pytest.mark.section9(16, 17)
@pytest.mark.parametrize("place_of_one", [480, 474])
def test_a_trait_that_moves_past_the_walk_is_read_although_one_beside_it_has_no_identity(
    place: Place, place_of_one: int
) -> None:
    """The one without stands in the overlap of two pages, or right before it, and would hide that all has moved."""
    kind = "genetic_traits"
    place.world.set(order="updated-desc")
    traits = [record(kind, number) for number in range(700)]
    traits[699 - place_of_one]["description"] = None  # what was put last comes first
    put(place, *traits, kind=kind)
    assert attempt(place, kind)[-1] == "walked to the end"
    known = {row["description"] for row in stored(place, kind)}
    assert len(known) == 699
    first, moved = (f"{traits[number]['humanId']}\x1fTrait {number}" for number in (699, 100))
    place.clock.sleep(60)
    place.world.change(kind, identities=[first])  # so that all is read once more
    second_page = place.api.requests + 2

    def between(request: int) -> None:
        if request == second_page:
            place.world.change(kind, identities=[moved])

    place.api.between = between
    attempt(place, kind)
    assert {row["description"] for row in stored(place, kind)} == known


@pytest.mark.section9(9, 13)
@pytest.mark.parametrize(
    ("ignored", "why"), [("since", "older than updated_since"), ("before", "newer than updated_before")]
)
def test_a_bound_that_is_ignored_parks_the_window_and_the_cursor_stays(place: Place, ignored: str, why: str) -> None:
    place.world.set(ignore=ignored)
    put(place, record(number=1, updated=NOW - 40 * DAY), record(number=2, updated=NOW - timedelta(seconds=30)))
    assert attempt(place) == ["retry", "retry", "parked"]
    (parked,) = place.store.parked(10)
    assert why in str(parked.last_error)
    assert (ids(place), place.store.coverage(KIND)) == ([], [])


@pytest.mark.section9(10)
def test_no_query_asks_for_more_than_thirty_one_days(place: Place) -> None:
    attempt(place, bounds=(NOW - 400 * DAY, None))
    queries = [dict(parse_qsl(urlsplit(url).query)) for url in asked(place)]
    bounds = [
        [
            datetime.strptime(query[name], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            for name in ("updated_since", "updated_before")
        ]
        for query in queries
    ]
    assert len(bounds) == 15  # one to learn the clock, 14 of at most thirty days
    assert max(before - since for since, before in bounds) <= 31 * DAY


@pytest.mark.section9(11)
def test_windows_of_long_ago_that_are_refused_are_parked_with_their_error(place: Place) -> None:
    place.world.set(old="400")
    attempt(place, bounds=(NOW - 60 * DAY, NOW - 50 * DAY))
    (parked,) = place.store.parked(10)
    assert "the API answered 400" in str(parked.last_error)


@pytest.mark.section9(11)
def test_windows_of_long_ago_that_are_answered_empty_pass_for_empty_as_the_document_says(place: Place) -> None:
    place.world.set(old="empty")
    put(place, record(updated=NOW - 55 * DAY))
    assert attempt(place, bounds=(NOW - 60 * DAY, NOW - 50 * DAY)) == ["fits one page"]
    assert (ids(place), place.store.parked(10)) == ([], [])


# --- records ------------------------------------------------------------------------------------


@pytest.mark.section9(18)
def test_a_person_nobody_has_heard_of_is_stored_like_any_other(place: Place) -> None:
    put(place, record(humanId="f" * 32, userId="e" * 24, updated=NOW - DAY))
    place.sync()
    assert [row["human_id"] for row in stored(place)] == ["f" * 32]
    assert not [name for name in metadata.tables if "person" in name or "user" in name or "human" in name]


@pytest.mark.section9(19)
@pytest.mark.parametrize("source", ["fitbit", "5b9f00aa11bb22cc33dd44e1"])
def test_a_source_is_text_as_it_came(place: Place, source: str) -> None:
    put(place, record(source=source, updated=NOW - DAY))
    place.sync()
    assert [row["source"] for row in stored(place)] == [source]


@pytest.mark.section9(22)
def test_zero_and_missing_are_stored_as_given(place: Place) -> None:
    whole = record("activities", 1, steps=0, distance=None, updated=NOW - DAY)
    put(
        place,
        whole,
        {key: value for key, value in record("activities", 2, updated=NOW - DAY).items() if key != "steps"},
        kind="activities",
    )
    place.sync("activities")
    assert [(row["steps"], row["distance"]) for row in stored(place, "activities")] == [(0, None), (None, 7312.44)]
    assert [row["payload"].get("steps", "missing") for row in stored(place, "activities")] == [0, "missing"]


@pytest.mark.section9(24)
@pytest.mark.parametrize("sodium", [0.143, 143])
def test_sodium_is_stored_as_given_and_read_as_milligrams(place: Place, sodium: float) -> None:
    put(place, record("meals", sodium=sodium, updated=NOW - DAY), kind="meals")
    place.sync("meals")
    assert [row["sodium"] for row in stored(place, "meals")] == [sodium]
    assert [field.unit for field in KINDS["meals"].fields if field.column == "sodium"] == ["mg"]


@pytest.mark.section9(25)
def test_types_and_fields_that_nobody_knew_are_kept(place: Place) -> None:
    put(
        place,
        record("activities", type="underwater_hockey", futureField={"a": [1]}, updated=NOW - DAY),
        kind="activities",
    )
    place.sync("activities")
    (row,) = stored(place, "activities")
    assert (row["type"], row["payload"]["futureField"]) == ("underwater_hockey", {"a": [1]})


@pytest.mark.section9(28)
def test_a_resync_moves_neither_first_seen_nor_what_was_there(place: Place) -> None:
    place.world.load([KIND], 30, 10, until=NOW - timedelta(hours=1))
    place.sync()
    before = stored(place)
    place.clock.sleep(3600)
    assert place.world.resync(KIND) == 30
    place.clock.sleep(3600)
    place.sync()
    after = stored(place)
    assert [row["first_seen_at"] for row in after] == [row["first_seen_at"] for row in before]
    assert [row["value"] for row in after] == [row["value"] for row in before]
    assert all(new["created_at"] > old["created_at"] for new, old in zip(after, before, strict=True))


@pytest.mark.section9(32)
def test_what_is_deleted_stays_until_verify_names_it(place: Place) -> None:
    place.world.load([KIND], 30, 10, until=NOW - timedelta(hours=1))
    place.sync()
    (gone,) = place.world.delete(KIND)
    place.clock.sleep(3600)
    place.sync()
    assert gone in ids(place)
    found: Findings = place.verify(KIND)
    assert set(found.extra) == {gone}
    place.verify(KIND, repair=True)
    assert gone not in ids(place)


@pytest.mark.section9(33)
def test_records_of_a_deleted_person_that_still_come_are_stored(place: Place) -> None:
    place.world.load([KIND], 100, 10, until=NOW - timedelta(hours=1))
    person = place.world.humans()[0]
    place.world.delete_user(person, keep_records=True)
    place.sync()
    assert person in {row["human_id"] for row in stored(place)}


@pytest.mark.section9(46)
def test_a_time_series_is_not_asked_for_and_stored_where_it_comes(place: Place) -> None:
    series = {"heartRate": [[0, 61], [60, 64]]}
    put(place, record("activities", timeSeries=series, updated=NOW - DAY), kind="activities")
    place.sync("activities")
    assert [row["time_series"] for row in stored(place, "activities")] == [series]
    assert not [url for url in asked(place) if "series" in url]


# --- access and faults --------------------------------------------------------------------------


@pytest.mark.section9(34)
@pytest.mark.parametrize("switch", ["absent", "forbidden"])
def test_a_kind_that_is_not_offered_is_disabled_for_a_day_and_the_others_go_on(place: Place, switch: str) -> None:
    place.world.load(["sleeps", "meals"], 20, 10, until=NOW - timedelta(hours=1))
    place.world.set(**{switch: "sleeps"})
    assert attempt(place, "sleeps") == ["retry", "retry", "disabled"]
    place.sync("meals")
    assert len(stored(place, "meals")) == 20
    place.world.set(**{switch: ""})
    assert attempt(place, "sleeps") == []
    place.clock.sleep(86_400 + 1)  # the API's clock shows whole seconds
    place.sync("sleeps")
    assert len(stored(place, "sleeps")) == 20


@pytest.mark.section9(34)
def test_a_kind_that_was_read_before_is_parked_not_disabled(place: Place) -> None:
    place.world.load([KIND], 20, 10, until=NOW - timedelta(hours=1))
    place.sync()
    place.clock.sleep(3600)
    place.world.set(absent=KIND)
    assert attempt(place)[-1] == "parked"
    assert place.store.kind(KIND).disabled is None


@pytest.mark.section9(35)
def test_a_refused_key_parks_everything_and_is_tried_again_every_three_minutes(place: Place) -> None:
    place.world.load(["sleeps", "meals"], 20, 10, until=NOW - timedelta(hours=1))
    planned = sync.plan_kind(place.parts, "meals", forced=True)
    place.world.set(revoked=True)
    assert attempt(place, "sleeps") == ["retry", "retry", "credentials refused"]
    parked = place.store.parked(10)
    assert {row.kind for row in parked} == {"sleeps", "meals"}
    assert drive(place, planned) == ["too early"]
    assert place.store.owed(place.clock.now(), place.clock.now(), 10) == []
    place.world.set(revoked=False)
    place.clock.sleep(PROBE_S + 1)
    due = place.store.owed(place.clock.now(), place.clock.now(), 10)
    for row in due:
        drive(place, sync.Outcome("", (sync.follow_up(place.parts, row),)))
    assert [len(stored(place, kind)) for kind in ("sleeps", "meals")] == [20, 20]
    assert PROBE_S == 180 < PARKED_S


@pytest.mark.section9(37, 39)
@pytest.mark.parametrize("fault", ["500", "502", "503", "504", "html", "cut-json", "error-object"])
def test_an_answer_that_is_no_list_is_asked_for_again(place: Place, fault: str) -> None:
    place.world.load([KIND], 19, 10, until=NOW - timedelta(hours=1))
    place.world.fail_next(fault, 5)  # the first asks for the clock
    assert attempt(place) == ["retry"] * 4 + ["fits one page"]
    assert len(stored(place)) == 19


@pytest.mark.section9(38)
@pytest.mark.parametrize("fault", ["empty-object", "null"])
def test_nothing_in_place_of_a_list_is_believed_when_it_is_said_three_times(place: Place, fault: str) -> None:
    place.world.fail_next(fault, 4)  # the first asks for the clock
    assert attempt(place) == ["retry", "retry", "fits one page"]
    assert len(place.store.coverage(KIND)) == 1


# --- what there is not --------------------------------------------------------------------------


def asked(place: Place) -> list[str]:
    """Return the addresses that were asked for."""
    assert isinstance(place.api, Asking)
    return place.api.asked


@pytest.mark.section9(43, 45)
def test_changes_arrive_by_batch_queries_alone(place: Place) -> None:
    place.world.load(KINDS, 5, 10, until=NOW - timedelta(hours=1))
    place.sync(*KINDS)
    (changed,) = place.world.change(KIND)
    place.clock.sleep(3600)
    place.sync(*KINDS)
    truth = place.world.truth(KIND)
    assert {row["id"]: row["payload"]["updatedAt"] for row in stored(place)}[changed] == truth[changed][0]
    assert {urlsplit(url).path for url in asked(place)} == {kind.path for kind in KINDS.values()}
    assert {name for url in asked(place) for name, _ in parse_qsl(urlsplit(url).query)} == {
        *("updated_since", "updated_before", "limit", "offset")
    }


@pytest.mark.section9(43, 44)
def test_nothing_takes_a_notification_and_no_secret_checks_one(place: Place) -> None:
    """The Client Secret signs notifications: there is no setting for it, no command and no table that they go to."""
    names = json.dumps([*Settings.__struct_fields__, *metadata.tables, *getattr(command, "commands", {})])
    assert not [word for word in ("secret", "webhook", "notif", "signature", "hook") if word in names]
    assert place.store.kinds().keys() == KINDS.keys()
