"""Records in their tables: the newest version stays, whatever order versions come in."""

import itertools
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from humansync.kinds import KINDS, Read
from humansync.ledger import State, Walk
from humansync.pages import Step
from humansync.records import parse
from humansync.store import Store
from humansync.store.tables import KIND_TABLES
from humansync.windows import Window
from tests.any_json import ANY_JSON
from tests.factories import START, record
from tests.integration.store.ledgers import BACKFILL, KIND, owe, put, rows
from tests.integration.store.ledgers import commit as commit_page

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_of_every_kind_comes_back_typed(store: Store, kind: str) -> None:
    sent = record(kind)
    assert put(store, [sent], kind) == 1
    (row,) = rows(store, kind, KINDS[kind].identity[-1])
    assert row["payload"] == sent
    assert row["human_id"] == sent["humanId"]
    assert row["first_seen_at"] == row["synced_at"] == START
    if KINDS[kind].read is Read.WINDOWED:
        assert row["updated_at"] == START


def test_types_of_columns(store: Store) -> None:
    put(store, [record("sleeps")], "sleeps")
    (sleep,) = rows(store, "sleeps")
    assert sleep["day"] == date(2026, 2, 28)
    assert sleep["main_sleep"] is True
    assert sleep["end_time"] == datetime(2026, 2, 28, 11, 21, 30, tzinfo=UTC)
    assert sleep["time_asleep"] == 398.0
    assert sleep["source_data"] is None
    put(store, [record("activities")], "activities")
    assert rows(store, "activities")[0]["source_data"] == {"averageHeartrate": 148, "type": "Run"}


# The mechanism: the WHERE of ON CONFLICT in store/upsert.py, `_on_conflict`.
@pytest.mark.section9(29)
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_a_stored_record_never_goes_back(store: Store, order: tuple[int, ...]) -> None:
    for i in order:
        put(store, [record(value=i, updated=START + i * SECOND)])
        (row,) = rows(store)
        newest = max(order[: order.index(i) + 1])
        assert row["value"] == row["payload"]["value"] == newest
        assert row["updated_at"] == START + newest * SECOND


@pytest.mark.section9(28)
def test_an_equal_version_is_not_written_again(store: Store) -> None:
    assert put(store, [record()]) == 1
    assert put(store, [record()], now=START + SECOND) == 0
    assert rows(store)[0]["synced_at"] == START


def test_other_content_at_the_same_instant_is_taken(store: Store) -> None:
    put(store, [record(value=1)])
    assert put(store, [record(value=2)], now=START + SECOND) == 1
    (row,) = rows(store)
    assert row["payload"]["value"] == row["value"] == 2
    assert (row["first_seen_at"], row["synced_at"]) == (START, START + SECOND)


@pytest.mark.section9(28)
def test_an_update_keeps_when_the_record_was_first_seen_and_replaces_every_column(store: Store) -> None:
    put(store, [record("meals", fat=3)], "meals")
    newer = record("meals", updated=START + SECOND)
    del newer["fat"], newer["tzOffset"]
    assert put(store, [newer], "meals", now=START + SECOND) == 1
    (row,) = rows(store, "meals")
    assert row["fat"] is row["tz_offset"] is None
    assert row["payload"] == newer
    assert (row["first_seen_at"], row["synced_at"]) == (START, START + SECOND)


def test_milliseconds_decide(store: Store) -> None:
    put(store, [record(value=1, updated=START + timedelta(milliseconds=2))])
    assert put(store, [record(value=2, updated=START + timedelta(milliseconds=1))]) == 0
    assert put(store, [record(value=3, updated=START + timedelta(milliseconds=3))]) == 1


def test_only_changed_rows_of_a_page_count(store: Store) -> None:
    put(store, [record(number=i) for i in range(10)])
    page = [record(number=i, updated=START + SECOND * (i % 2)) for i in range(12)]
    assert put(store, page) == 5 + 2


@pytest.mark.section9(30)
def test_duplicates_within_a_page_become_one_row_of_the_newest_version(store: Store) -> None:
    page = [record(value=i, updated=START + SECOND * (i % 3)) for i in range(6)]
    assert put(store, page) == 1
    assert rows(store)[0]["value"] == 5


@pytest.mark.section9(31)
def test_the_same_id_in_two_kinds_is_two_records(store: Store) -> None:
    put(store, [record("weights")], "weights")
    put(store, [record("heights")], "heights")
    assert len(rows(store, "weights")) == len(rows(store, "heights")) == 1


def test_what_postgresql_cannot_store_is_stored_alike_on_both(store: Store) -> None:
    put(
        store,
        [record("meals", name="a\x00b\ud800", sourceData='{"k": "\\u0000"}', extra=[2**70, float("nan")])],
        "meals",
    )
    (row,) = rows(store, "meals")
    assert row["name"] == row["payload"]["name"] == "a\ufffdb\ufffd"
    assert row["source_data"] == {"k": "\ufffd"}
    assert row["payload"]["extra"] == [float(2**70), "nan"]


@pytest.mark.parametrize("name", ["\x00", "\ud800", "\udfff"])  # noqa: PT014 -- surrogates differ
def test_one_such_character_is_enough(store: Store, name: str) -> None:
    assert put(store, [record("meals", 1, name=name), record("meals", 2)], "meals") == 2
    assert rows(store, "meals")[0]["name"] == "\N{REPLACEMENT CHARACTER}"


def test_extremes_of_every_type(store: Store) -> None:
    page = [
        record("sleeps", 1, timeAsleep=5e-324, timeAwake=1.7976931348623157e308, efficiency=-0.0),
        record("sleeps", 2, timeAsleep=2**63 - 1, timeAwake=-(2**63), efficiency="1e-400"),
        record("sleeps", 3, startTime="0001-01-01T00:00:00.000Z", endTime="9999-12-31T23:59:59.999Z", day="9999-12-31"),
    ]
    assert put(store, page, "sleeps") == 3
    found = rows(store, "sleeps")
    assert (found[0]["time_asleep"], found[0]["time_awake"]) == (5e-324, 1.7976931348623157e308)
    assert (found[1]["time_asleep"], found[1]["efficiency"]) == (float(2**63), 0.0)
    assert found[2]["end_time"] == datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)
    assert found[2]["day"] == date(9999, 12, 31)


def test_the_longest_identities_fit_the_index(store: Store) -> None:
    astral = "\U0001f600"
    assert put(store, [record(id=astral * 128)]) == 1
    trait = record("genetic_traits", humanId=astral * 128, description=astral * 400)
    assert put(store, [trait], "genetic_traits") == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_parsed_can_be_stored_and_comes_back(store: Store, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    keys = sorted(record(kind))
    changes = st.dictionaries(st.sampled_from(keys) | st.text(max_size=3), ANY_JSON, max_size=4)
    page: list[object] = [{**record(kind, 1), **each} for each in data.draw(st.lists(changes, min_size=1, max_size=4))]
    batch = parse(KINDS[kind], page)
    with store.engine.begin() as connection:
        connection.execute(sa.delete(KIND_TABLES[kind]))
    put(store, page, kind)
    found = rows(store, kind, KINDS[kind].identity[-1])
    assert canonical(row["payload"] for row in found) == canonical(map(json.loads, batch.payloads))


def canonical(payloads: Iterable[object]) -> list[str]:
    """Return texts that are equal where JSON is: PostgreSQL writes numbers its own way."""
    read = (
        json.loads(json.dumps(each), parse_int=float, parse_float=lambda text: float(text) + 0.0) for each in payloads
    )
    return sorted(json.dumps(each, sort_keys=True) for each in read)


# --- kinds read whole -----------------------------------------------------------------------------

TRAITS = "genetic_traits"


def walk_whole(store: Store, page: list[dict[str, Any]], began: datetime, *, complete: bool = True) -> None:
    """Read the whole collection in one page, at an instant of the API's clock that is not ours."""
    (row,) = owe(store, Window(START, START + timedelta(days=1)), kind=TRAITS, purpose=BACKFILL)
    facts: dict[str, Any] = {"stale_before": began, "whole_read_at": began} if complete else {}
    commit_page(store, row, page, lambda _: Step(State.DONE, Walk(began_at=began), "", **facts), now=START)


def traits(store: Store) -> list[str]:
    return [row["description"] for row in rows(store, TRAITS, "description")]


@pytest.mark.section9(16, 32)
def test_a_complete_walk_replaces_what_each_person_has(store: Store) -> None:
    walk_whole(store, [record(TRAITS, i) for i in range(1, 5)], START)
    walk_whole(store, [record(TRAITS, i) for i in (1, 2, 5)], START + SECOND)
    assert traits(store) == ["Trait 1", "Trait 2", "Trait 5"]
    assert store.kind(TRAITS).whole_read_at == START + SECOND


def test_a_person_who_was_not_seen_keeps_everything(store: Store) -> None:
    walk_whole(store, [record(TRAITS, i, humanId=who) for i in (1, 2) for who in ("a", "b")], START)
    walk_whole(store, [record(TRAITS, 1, humanId="a")], START + SECOND)
    assert [(row["human_id"], row["description"]) for row in rows(store, TRAITS, "human_id")] == [
        ("a", "Trait 1"),
        ("b", "Trait 1"),
        ("b", "Trait 2"),
    ]


def test_an_incomplete_walk_deletes_nothing(store: Store) -> None:
    walk_whole(store, [record(TRAITS, i) for i in range(1, 5)], START)
    walk_whole(store, [record(TRAITS, 1)], START + SECOND, complete=False)
    assert len(traits(store)) == 4


# The mechanism: `greatest` and `max` in store/upsert.py, `seen`.
@pytest.mark.parametrize("changed", [False, True])
def test_of_two_walks_at_once_the_older_ages_nothing_that_the_newer_has_seen(store: Store, changed: bool) -> None:
    page = [record(TRAITS, i) for i in range(1, 5)]
    walk_whole(store, page, START + 2 * SECOND, complete=False)
    older = [{**each, "trait": "told otherwise"} for each in page] if changed else page
    walk_whole(store, older, START + SECOND, complete=False)
    walk_whole(store, page[:1], START + 2 * SECOND)
    assert len(traits(store)) == 4


# The mechanism: DELETED_SHARE and DELETED_FEW in store/upsert.py, `delete_unseen`.
def test_a_walk_that_lost_most_of_the_table_is_not_believed(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    walk_whole(store, [record(TRAITS, i) for i in range(100)], START)
    walk_whole(store, [record(TRAITS, i) for i in range(79)], START + SECOND)
    assert len(traits(store)) == 100
    assert "too many rows vanished" in caplog.text
    walk_whole(store, [record(TRAITS, i) for i in range(80)], START + 2 * SECOND)
    assert len(traits(store)) == 80


# The mechanism: `count_unseen` in store/store.py, `commit`.
def test_news_of_a_read_that_is_under_way_are_rows_that_it_had_not_shown(store: Store) -> None:
    news: list[int] = []

    def page(numbers: range, began_at: datetime | None, trait: str = "Same") -> None:
        (row,) = owe(store, Window(START, START + timedelta(days=1)), kind=TRAITS, purpose=BACKFILL)
        row = replace(row, walk=replace(row.walk, began_at=began_at))

        def settle(count: int) -> Step:
            news.append(count)
            return Step(State.DONE, Walk(began_at=began_at or START), "")

        commit_page(store, row, [record(TRAITS, i, trait=trait) for i in numbers], settle, now=START)

    page(range(4), None)
    page(range(2, 6), START)
    page(range(6), START, "Changed meanwhile")
    page(range(6), START + SECOND, "Changed meanwhile")
    assert news == [4, 2, 0, 6]


def test_unchanged_traits_are_seen_but_not_changed(store: Store) -> None:
    assert put(store, [record(TRAITS)], TRAITS) == 1
    assert put(store, [record(TRAITS)], TRAITS, now=START + SECOND) == 0
    (row,) = rows(store, TRAITS, "description")
    assert (row["first_seen_at"], row["synced_at"]) == (START, START + SECOND)
    assert put(store, [record(TRAITS, trait="Other")], TRAITS) == 1


def test_stored_versions_by_window_and_by_identity(store: Store) -> None:
    put(store, [record(number=i, updated=START + SECOND * i) for i in range(4)])
    names = [f"{i:024x}" for i in range(4)]
    kind = KINDS[KIND]
    assert store.versions(kind, Window(START + SECOND, START + 3 * SECOND)) == {
        names[1]: START + SECOND,
        names[2]: START + 2 * SECOND,
    }
    assert len(store.versions(kind)) == 4
    assert store.versions_of(kind, [names[3], "unknown"]) == {names[3]: START + 3 * SECOND}
    put(store, [record(TRAITS)], TRAITS)
    (identity,) = store.versions(KINDS[TRAITS])
    assert store.versions_of(KINDS[TRAITS], [identity]) == {identity: None}
