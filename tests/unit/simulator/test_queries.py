"""Which records a request selects, in which order, and what the headers say."""

import re
from datetime import timedelta
from itertools import pairwise

import pytest

from humansync.kinds import KINDS, Read
from humansync.simulator.instants import iso, to_ms
from tests.unit.simulator.conftest import START, Client, Make, ids, rows


def put(client: Client, name: str, seconds_ago: float) -> None:
    instant = iso(to_ms(START - timedelta(seconds=seconds_ago)))
    client.world.put("activities", {"id": name, "createdAt": instant, "updatedAt": instant})


# since 100 s ago, before 40 s ago; records exactly at the bounds, and half a second behind each
@pytest.mark.parametrize(
    ("bounds", "truncate", "expected"),
    [
        ("ge-lt", False, {"at since", "after since", "inside"}),
        ("ge-le", False, {"at since", "after since", "inside", "at before"}),
        ("gt-lt", False, {"after since", "inside"}),
        ("gt-le", False, {"after since", "inside", "at before"}),
        # truncated, half a second after a bound is at the bound
        ("ge-lt", True, {"at since", "after since", "inside"}),
        ("ge-le", True, {"at since", "after since", "inside", "at before", "after before"}),
        ("gt-lt", True, {"inside"}),
        ("gt-le", True, {"inside", "at before", "after before"}),
    ],
)
def test_bounds_are_read_in_all_eight_ways(make: Make, bounds: str, truncate: bool, expected: set[str]) -> None:
    client = make(bounds=bounds, truncate=truncate)
    for name, ago in {
        "older": 101,
        "at since": 100,
        "after since": 99.5,
        "inside": 60,
        "at before": 40,
        "after before": 39.5,
        "newer": 38,
    }.items():
        put(client, name, ago)
    assert set(ids(client.page(since_s=100, before_s=40))) == expected


@pytest.mark.parametrize(
    ("ignore", "expected"),
    [("none", {"b"}), ("since", {"a", "b"}), ("before", {"b", "c"}), ("both", {"a", "b", "c"})],
)
def test_bounds_can_be_ignored(make: Make, ignore: str, expected: set[str]) -> None:
    client = make(ignore=ignore)
    for name, ago in {"a": 200, "b": 60, "c": 10}.items():
        put(client, name, ago)
    assert set(ids(client.page(since_s=100, before_s=40))) == expected


def test_without_bounds_the_last_day_comes_fifty_at_a_time(make: Make) -> None:
    client = make(records=100, days=2)  # every 28.8 minutes: 50 in the last day
    answer = client.ask()
    assert len(rows(answer)) == 50
    assert answer.header("X-Total-Count") == "50"


def test_a_malformed_bound_is_taken_as_absent(make: Make) -> None:
    client = make(records=100, days=2)
    assert client.ask(updated_since="2026-01-01T00:00:00Z").header("X-Total-Count") == "50"
    client.world.set(malformed="400")
    assert client.ask(updated_since="2026-01-01T00:00:00Z").status == 400
    assert client.ask(updated_since="20260230T000000Z").status == 400


@pytest.mark.parametrize(("asked", "given"), [("500", 500), ("501", 500), ("7", 7), ("0", 1), ("x", 50), ("-3", 50)])
def test_limit_is_read_leniently(make: Make, asked: str, given: int) -> None:
    assert len(rows(make(records=600).page(since_s=86_400, limit=asked))) == given


def test_a_limit_over_500_may_be_refused_and_pages_may_be_capped(make: Make) -> None:
    assert make(records=600, over_limit="400").page(since_s=86_400, limit=501).status == 400
    capped = make(records=600, page_cap=100).page(since_s=86_400, limit=500)
    assert len(rows(capped)) == 100
    assert "offset=100" in str(capped.header("Link"))


def test_records_of_the_future_are_not_there_yet(make: Make) -> None:
    client = make()
    put(client, "tomorrow", -3_600)
    assert ids(client.page(since_s=60, before_s=-7_200)) == []
    client.clock.forward(3_600)
    assert ids(client.page(since_s=3_600, before_s=None)) == ["tomorrow"]


# 40 records, one a day, the newest a day old
@pytest.mark.parametrize(
    ("wide", "status", "oldest_days", "count"),
    [("400", 400, 0, 0), ("clamp-head", 200, 31, 31), ("clamp-tail", 200, 40, 31), ("serve", 200, 40, 40)],
)
def test_windows_over_31_days(make: Make, wide: str, status: int, oldest_days: int, count: int) -> None:
    client = make(records=40, days=40, wide=wide)
    answer = client.page(since_s=40 * 86_400)
    assert answer.status == status
    if status == 200:
        found = rows(answer)
        assert len(found) == count
        assert min(row["updatedAt"] for row in found) == iso(to_ms(START - timedelta(days=oldest_days)))


@pytest.mark.parametrize(("old", "status", "count"), [("serve", 200, 5), ("empty", 200, 0), ("400", 400, 0)])
def test_windows_of_long_ago(make: Make, old: str, status: int, count: int) -> None:
    answer = make(records=40, days=40, old=old).page(since_s=40 * 86_400, before_s=35 * 86_400)
    assert answer.status == status
    assert answer.header("X-Total-Count") == (str(count) if status == 200 else None)


def test_an_upside_down_window_is_empty(make: Make) -> None:
    assert ids(make(records=10).page(since_s=0, before_s=86_400)) == []


@pytest.mark.parametrize(("beyond", "status"), [("empty", 200), ("404", 404), ("400", 400)])
def test_an_offset_beyond_the_end(make: Make, beyond: str, status: int) -> None:
    client = make(records=1_000, beyond=beyond)
    assert client.page(since_s=86_400, offset=1_000).status == status
    assert client.page(since_s=86_400, offset=500).status == 200
    assert client.page(since_s=10, before_s=5).status == 200  # nothing at all is no error


def test_every_order_serves_the_same_records_each_its_own_way(make: Make) -> None:
    key = {
        "updated-asc": lambda row: row["updatedAt"],
        "event-asc": lambda row: row["startTime"],
        "per-user": lambda row: row["humanId"],
    }
    client = make(records=300)
    every = set(ids(client.page(since_s=86_400)))
    for order in ("event-desc", "event-asc", "updated-asc", "updated-desc", "per-user", "natural", "random-fixed"):
        client.world.set(order=order)
        found = rows(client.page(since_s=86_400))
        assert {row["id"] for row in found} == every
        assert rows(client.page(since_s=86_400)) == found
        name = order.replace("desc", "asc")
        if order in {"updated-asc", "event-asc", "updated-desc", "event-desc"}:
            values = [key[name](row) for row in found]
            assert values == sorted(values, reverse=order.endswith("desc"))
        if order == "per-user":
            people = [row["humanId"] for row in found]
            assert sum(a != b for a, b in pairwise(people)) == len(set(people)) - 1
    client.world.set(order="random")
    assert ids(client.page(since_s=86_400)) != ids(client.page(since_s=86_400))


@pytest.mark.parametrize("order", ["event-desc", "updated-asc", "updated-desc", "per-user", "natural", "random-fixed"])
def test_pages_of_a_resting_set_make_up_the_whole(make: Make, order: str) -> None:
    client = make(records=1_234, order=order)
    pages = [ids(client.page(since_s=86_400, limit=100, offset=offset)) for offset in range(0, 1_300, 100)]
    assert [len(page) for page in pages] == [100] * 12 + [34]
    assert len({name for page in pages for name in page}) == 1_234


def test_servers_that_answer_in_turn_have_each_an_order_of_their_own(make: Make) -> None:
    client = make(records=300, order="random-fixed", servers=3)
    seen = [ids(client.page(since_s=86_400)) for _ in range(6)]
    assert seen[:3] == seen[3:]
    assert len({tuple(names) for names in seen}) == 3
    assert len({tuple(sorted(names)) for names in seen}) == 1


# the recorded requests of section 3: 234 records
@pytest.mark.parametrize(
    ("offset", "limit", "expected"),
    [
        (0, 50, {"next": 50, "last": 200}),
        (100, 50, {"next": 150, "prev": 50, "last": 200, "first": 0}),
        (200, 50, {"prev": 150, "first": 0}),
        (51, 2, {"next": 53, "prev": 49, "last": 234, "first": 0}),
    ],
)
def test_link_names_the_rels_that_were_recorded(make: Make, offset: int, limit: int, expected: dict[str, int]) -> None:
    answer = make(records=234).page(since_s=86_400, offset=offset, limit=limit)
    found = re.findall(r"<[^>]*[?&]offset=(\d+)[^>]*>; rel=\"(\w+)\"", str(answer.header("Link")))
    assert {rel: int(number) for number, rel in found} == expected


@pytest.mark.parametrize(
    ("headers", "link", "total"),
    [
        ("both", True, True),
        ("link", True, False),
        ("total", False, True),
        ("none", False, False),
        ("wrong", True, True),
    ],
)
def test_paging_headers_can_be_left_out_or_wrong(make: Make, headers: str, link: bool, total: bool) -> None:
    answer = make(records=600, headers=headers).page(since_s=86_400)
    assert (answer.header("Link") is not None) == link
    assert (answer.header("X-Total-Count") is not None) == total
    if headers == "wrong":
        assert answer.header("X-Total-Count") != "600"


def test_link_can_point_to_another_host(make: Make) -> None:
    answer = make(records=600, link_host="https://evil.example").page(since_s=86_400)
    assert str(answer.header("Link")).startswith("<https://evil.example/v1/apps/simulator/users/activities?")


def test_a_page_may_be_short_in_the_middle_and_the_rest_still_comes(make: Make) -> None:
    client = make(records=300, short_pages=1.0)
    seen: list[str] = []
    sizes = []
    while page := ids(client.page(since_s=86_400, limit=100, offset=len(seen))):
        seen += page
        sizes.append(len(page))
    assert len(set(seen)) == 300
    assert 97 <= sizes[0] < 100


def test_records_may_come_twice_or_with_an_older_self(make: Make) -> None:
    client = make(records=10, duplicates=5)
    found = ids(client.page(since_s=86_400))
    assert len(found) == 12
    assert found[4] == found[5]
    client.world.set(duplicates=0, stale_duplicates=5)
    records = rows(client.page(since_s=86_400))
    assert records[4]["id"] == records[5]["id"]
    assert records[4]["updatedAt"] > records[5]["updatedAt"]
    assert client.world.truth("activities")[records[4]["id"]][0] == records[4]["updatedAt"]


@pytest.mark.parametrize(("traits", "count"), [("ignore", 30), ("empty", 0)])
def test_genetic_traits_have_no_times_to_filter_on(make: Make, traits: str, count: int) -> None:
    client = make(records=30, kind="genetic_traits", traits=traits)
    assert len(rows(client.page("genetic_traits", since_s=60, before_s=30))) == count


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_plain_records_with_the_fields_of_its_columns(make: Make, kind: str) -> None:
    record = rows(make(records=1, kind=kind).page(kind, since_s=86_400))[0]
    keys = {field.key.partition(".")[0] for field in KINDS[kind].fields}
    assert record.keys() & keys
    assert ("id" in record) == (KINDS[kind].read is Read.WINDOWED)
    assert re.fullmatch("[0-9a-f]{32}", record["humanId"])
    assert re.fullmatch("[0-9a-f]{24}", record["userId"])


def test_ids_are_unique_over_all_kinds_unless_switched(make: Make) -> None:
    client = make()
    client.world.load(KINDS, 20, 1)
    windowed = [kind for kind in KINDS if kind != "genetic_traits"]
    assert len({name for kind in windowed for name in client.world.truth(kind)}) == 20 * len(windowed)
    client = make(shared_ids=True)
    client.world.load(KINDS, 20, 1)
    assert client.world.truth("sleeps").keys() == client.world.truth("meals").keys()


def test_an_unknown_kind_is_a_mistake_of_the_caller(make: Make) -> None:
    with pytest.raises(KeyError):
        make().ask("steps")
