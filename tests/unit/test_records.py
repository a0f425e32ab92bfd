"""Records: what becomes a row, what is rejected, and that nothing the API may send breaks a page."""

import json
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humansync.kinds import KINDS, Read, columns
from humansync.records import Batch, identity_of, parse
from humansync.values import clean, json_text
from tests.any_json import ANY_JSON
from tests.factories import START, record

HEART_RATES = KINDS["heart_rates"]


def cells(batch: Batch, kind: str = "heart_rates", row: int = 0) -> dict[str, Any]:
    names = [field.column for field in columns(KINDS[kind])]
    return dict(zip(names, batch.rows[row], strict=True))


def one(kind: str = "heart_rates", **changes: Any) -> dict[str, Any]:
    return cells(parse(KINDS[kind], [record(kind, **changes)]), kind)


def flags_of(kind: str = "heart_rates", **changes: Any) -> Counter[str]:
    return parse(KINDS[kind], [record(kind, **changes)]).flags


# --- ordinary records -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_ordinary_record_of_every_kind_becomes_a_row_without_a_flag(kind: str) -> None:
    sent = record(kind)
    batch = parse(KINDS[kind], [sent])
    assert len(batch.rows) == batch.received == 1
    assert not batch.rejected
    assert not batch.flags
    assert json.loads(batch.payloads[0]) == sent
    found = cells(batch, kind)
    assert found["human_id"] == sent["humanId"]
    if KINDS[kind].read is Read.WINDOWED:
        assert batch.updated == [START]
        assert found["updated_at"] == "2026-03-01 00:00:00.000000"


def test_every_cell_of_an_activity() -> None:
    assert one("activities") == {
        "id": f"{1:024x}",
        "human_id": "3f6c1a9be0d2457f8a1b2c3d4e5f6071",
        "user_id": "5b9f00aa11bb22cc33dd44e1",
        "source": "strava",
        "created_at": "2026-03-01 00:00:00.000000",
        "updated_at": "2026-03-01 00:00:00.000000",
        "start_time": "2026-02-28 06:31:05.000000",
        "end_time": "2026-02-28 07:12:47.250000",
        "tz_offset": "-05:00",
        "time_zone": None,
        "type": "running",
        "duration": 2416.5,
        "distance": 7312.44,
        "steps": 0,
        "calories": 512,
        "source_data": '{"averageHeartrate":148,"type":"Run"}',
        "time_series": None,
    }


def test_dotted_keys_reach_into_objects() -> None:
    found = one("locations")
    assert (found["lat"], found["lon"]) == (52.3702157, 4.8951679)
    assert one("locations", location=None)["lat"] is None
    assert one("locations", location="home")["lat"] is None


# --- section 9 of docs/human-api.md, line by line -------------------------------------------------


@pytest.mark.section9(21)
@pytest.mark.parametrize(
    ("value", "cell"),
    [(61, 61), (61.5, 61.5), ("61", 61.0), (" 61.5 ", 61.5), ("-1e3", -1000.0), (0, 0), (None, None)],
)
def test_numbers_may_come_as_strings(value: object, cell: object) -> None:
    assert one(value=value)["value"] == cell
    assert not flags_of(value=value)


@pytest.mark.section9(21)
@pytest.mark.parametrize("value", [True, False, "", "n/a", "nan", "inf", "1_000", "٣", [], {}, 10**400, "1e999"])
def test_what_is_no_number_is_kept_in_the_payload_alone(value: object) -> None:
    batch = parse(HEART_RATES, [record(value=value)])
    assert cells(batch)["value"] is None
    assert batch.flags == Counter(value=1)
    assert not batch.rejected


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 2**70, 1e300])
def test_numbers_beyond_64_bits_become_doubles(value: float) -> None:
    assert one(value=value)["value"] == float(value)


@pytest.mark.section9(26)
@pytest.mark.parametrize(
    ("value", "cell", "flagged"),
    [
        ("2026-02-27", "2026-02-27", False),
        ("2026-02-27T00:00:00.000Z", "2026-02-27", False),
        ("2026-02-27 10:00", "2026-02-27", False),
        (None, None, False),
        ("", None, True),
        ("2026-02-30", None, True),
        (20260227, None, True),
    ],
)
def test_dates(value: object, cell: str | None, flagged: bool) -> None:
    assert one("sleep_summaries", date=value)["date"] == cell
    assert bool(flags_of("sleep_summaries", date=value)) is flagged


@pytest.mark.section9(27)
@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("2026-02-28T11:04:10.000Z", "2026-02-28 11:04:10.000000"),
        ("2026-02-28T11:04:10.000Z\n2026-02-28T11:04:10.000Z", None),
        ("2026-02-28T11:04:10Z", "2026-02-28 11:04:10.000000"),
        ("2026-02-28T11:04:10.123456Z", "2026-02-28 11:04:10.123456"),
        ("2026-02-28T11:04:10.000+02:00", "2026-02-28 09:04:10.000000"),
        ("2026-02-28t11:04:10.000z", "2026-02-28 11:04:10.000000"),
        ("2026-02-28T11:04:10.000", "2026-02-28 11:04:10.000000"),
        ("20260228T110410Z", "2026-02-28 11:04:10.000000"),
        ("1970-01-01T00:00:00.000Z", "1970-01-01 00:00:00.000000"),
        ("9999-12-31T23:59:59.999Z", "9999-12-31 23:59:59.999000"),
        ("0001-01-01T00:00:00.000Z", "0001-01-01 00:00:00.000000"),
        ("0001-01-01T00:00:00.000+05:00", None),
        ("2026-02-30T11:04:10.000Z", None),
        ("2026-02-28T25:04:10.000Z", None),
        ("2026-02-28", None),
        ("", None),
        (1772276650, None),
    ],
)
def test_instants_are_utc_and_never_judged_for_plausibility(value: object, cell: str | None) -> None:
    assert one(timestamp=value)["timestamp"] == cell


@pytest.mark.section9(20)
@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ({"manual": False}, '{"manual":false}'),
        ({}, "{}"),
        ([], "[]"),
        (None, None),
        ('{"a": 1}', '{"a":1}'),
        ("[1, 2]", "[1,2]"),
        ("plain", '"plain"'),
        ("", '""'),
        ("{broken", '"{broken"'),
        ('{"a": "\\u0000"}', '{"a":"\N{REPLACEMENT CHARACTER}"}'),
        ("[" * 300 + "]" * 300, json.dumps("[" * 300 + "]" * 300)),
        (7, "7"),
    ],
)
def test_source_data_may_be_an_object_or_its_text(value: object, cell: str | None) -> None:
    assert one(sourceData=value)["source_data"] == cell


@pytest.mark.section9(23)
@pytest.mark.parametrize(
    ("unit", "normal"), [("%", "percent"), ("percent", "percent"), ("SpO2", "percent"), ("SpO2(%)", "percent")]
)
def test_units_are_kept_raw_beside_their_normal_spelling(unit: str, normal: str) -> None:
    found = one("blood_oxygens", unit=unit)
    assert (found["unit"], found["unit_normal"]) == (unit, normal)


@pytest.mark.section9(23)
@pytest.mark.parametrize("unit", ["stone", 7, {}, ["kg"]])
def test_an_unknown_unit_is_flagged(unit: object) -> None:
    assert one("weights", unit=unit)["unit_normal"] is None
    assert flags_of("weights", unit=unit)["unit_normal"] == 1


@pytest.mark.parametrize(
    ("value", "cell"), [(True, True), (False, False), ("true", True), ("False", False), (1, True), (0, False)]
)
def test_booleans(value: object, cell: bool) -> None:
    assert one("sleeps", mainSleep=value)["main_sleep"] is cell


@pytest.mark.parametrize("value", ["yes", 2, 0.5, [], {}])
def test_what_is_no_boolean_is_flagged(value: object) -> None:
    assert one("sleeps", mainSleep=value)["main_sleep"] is None
    assert flags_of("sleeps", mainSleep=value) == Counter(main_sleep=1)


@pytest.mark.parametrize(("value", "cell"), [(5, "5"), (5.5, "5.5"), (True, None), ([], None), (None, None)])
def test_texts_may_come_as_numbers(value: object, cell: str | None) -> None:
    assert one(source=value)["source"] == cell


@pytest.mark.section9(17, 25)
def test_absent_optional_fields_are_null_and_unknown_keys_stay_in_the_payload() -> None:
    sent = {"id": "a", "updatedAt": "2026-03-01T00:00:00.000Z", "new": {"deep": [1]}}
    batch = parse(HEART_RATES, [sent])
    assert cells(batch)["human_id"] is None
    assert json.loads(batch.payloads[0])["new"] == {"deep": [1]}
    assert not batch.flags


def test_one_odd_value_leaves_the_rest_of_its_column_alone() -> None:
    batch = parse(HEART_RATES, [record(number=1), record(number=2, value="?"), record(number=3, value="7")])
    assert [cells(batch, row=i)["value"] for i in range(3)] == [61, None, 7.0]
    assert batch.flags == Counter(value=1)


# --- rejected -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (None, "not an object"),
        ([], "not an object"),
        ("secret", "not an object"),
        ({**record(), "id": None}, "no id"),
        ({**record(), "id": ""}, "no id"),
        ({**record(), "id": True}, "no id"),
        ({**record(), "id": 1.5}, "no id"),
        ({**record(), "id": "x" * 200}, "id is too long"),
        ({**record(), "id": "a\x00"}, "id has characters that cannot be stored"),  # mended, it would be another's
        ({**record(), "id": "a\ud800"}, "id has characters that cannot be stored"),
        ({**record(), "id": "9" * 5000}, "id is too long"),
        ({**record(), "updatedAt": None}, "no updatedAt"),
        ({**record(), "updatedAt": "yesterday"}, "updatedAt is no instant"),
        ({**record(), "updatedAt": "2026-03-01"}, "updatedAt is no instant"),
        ({**record(), "updatedAt": 1772276650}, "updatedAt is no instant"),
    ],
)
def test_unusable_records_are_rejected_and_the_page_goes_on(sent: object, reason: str) -> None:
    batch = parse(HEART_RATES, [record(number=1), sent, record(number=2)])
    assert [each.reason for each in batch.rejected] == [reason]
    assert json.loads(batch.rejected[0].payload) == sent
    assert len(batch.rows) == 2
    assert batch.received == 3


@pytest.mark.section9(16, 17)
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"humanId": None}, "no humanId"),
        ({"description": ""}, "no description"),
        ({"description": "x" * 500}, "description is too long"),
    ],
)
def test_a_trait_is_known_by_its_person_and_description(changes: dict[str, Any], reason: str) -> None:
    batch = parse(KINDS["genetic_traits"], [record("genetic_traits", **changes)])
    assert [each.reason for each in batch.rejected] == [reason]


def test_an_id_may_be_a_number() -> None:
    assert one(id=42)["id"] == "42"


@pytest.mark.parametrize("id_", [math.nan, math.inf, 2**63, 10**20, 10**400])
def test_records_whose_id_is_no_number_of_64_bits_do_not_become_one(id_: float) -> None:
    batch = parse(HEART_RATES, [record(id=id_, value=1), record(id=id_, value=2)])
    assert batch.rows == []
    assert len({each.payload for each in batch.rejected}) == 2


def test_a_number_that_no_double_holds_keeps_its_digits() -> None:
    digits = "7" * 4300
    batch = parse(HEART_RATES, [record(value=int(digits))])
    assert json.loads(batch.payloads[0])["value"] == digits
    assert cells(batch)["value"] is None


def test_a_record_nested_too_deeply_is_rejected() -> None:
    deep: object = 1
    for _ in range(900):
        deep = [deep]
    batch = parse(HEART_RATES, [record(extra=deep), record(number=2)])
    assert [each.reason for each in batch.rejected] == ["nested too deeply"]
    assert len(batch.rows) == 1


@pytest.mark.parametrize("depth", range(190, 260))
def test_every_depth_is_either_stored_or_rejected(depth: int) -> None:
    batch = parse(HEART_RATES, [record(sourceData=json.loads("[" * depth + "]" * depth))])
    assert len(batch.rows) + len(batch.rejected) == 1
    orjson.dumps([[*row, orjson.Fragment(payload)] for row, payload in zip(batch.rows, batch.payloads, strict=True)])


# --- what a database cannot store -----------------------------------------------------------------


@pytest.mark.parametrize("character", ["\x00", "\ud800", "\udc00"])  # noqa: PT014 -- surrogates differ
def test_nul_and_lone_surrogates_are_replaced_everywhere(character: str) -> None:
    sent = record("meals", name=f"a{character}b") | {f"k{character}": [character]}
    batch = parse(KINDS["meals"], [sent])
    assert cells(batch, "meals")["name"] == "a\N{REPLACEMENT CHARACTER}b"
    payload = json.loads(batch.payloads[0])
    assert payload["name"] == "a\N{REPLACEMENT CHARACTER}b"
    assert payload["k\N{REPLACEMENT CHARACTER}"] == ["\N{REPLACEMENT CHARACTER}"]


def test_a_backslash_in_front_of_u0000_is_no_nul() -> None:
    assert one("meals", name="\\u0000")["name"] == "\\u0000"


def test_rejected_payload_keeps_what_the_record_was() -> None:
    sent = {"name": "\x00\ud800", "value": 2**80}
    batch = parse(HEART_RATES, [sent])
    assert batch.rejected[0].payload.isascii()
    assert json.loads(batch.rejected[0].payload) == sent


def test_clean_makes_any_json_number_storable() -> None:
    assert clean([2**64, math.inf, math.nan, 10**400, 5, 1e300]) == [
        float(2**64),
        "inf",
        "nan",
        "1" + "0" * 400,
        5,
        1e300,
    ]
    assert json.loads(json_text([math.nan, "\ud800"])) == ["nan", "\N{REPLACEMENT CHARACTER}"]


# --- identities, order, duplicates ----------------------------------------------------------------


def test_rows_are_sorted_by_identity_and_anchors_stand_as_received() -> None:
    batch = parse(HEART_RATES, [record(number=3), record(number=1), record(number=2)])
    assert [cells(batch, row=i)["id"][-1] for i in range(3)] == ["1", "2", "3"]
    assert batch.by_place == batch.identities
    assert [identity[-1] for identity in batch.identities] == ["3", "1", "2"]
    assert [json.loads(payload)["id"][-1] for payload in batch.payloads] == ["1", "2", "3"]


@pytest.mark.section9(30)
@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_the_newest_version_of_an_identity_wins_wherever_it_stands(order: tuple[int, ...]) -> None:
    batch = parse(HEART_RATES, [record(value=i, updated=START + timedelta(seconds=i)) for i in order])
    assert [cells(batch)["value"]] == [2]
    assert len(batch.rows) == 1
    assert len(batch.identities) == len(batch.updated) == batch.received == 3


@pytest.mark.section9(30)
def test_of_two_versions_with_one_instant_the_later_received_wins() -> None:
    batch = parse(HEART_RATES, [record(value=1), record(value=2)])
    assert cells(batch)["value"] == 2


def test_a_traits_identity_has_two_parts() -> None:
    kind = KINDS["genetic_traits"]
    batch = parse(kind, [record(kind.name, 2), record(kind.name, 1), record(kind.name, 2, trait="Other")])
    person = record(kind.name)["humanId"]
    assert batch.identities == [f"{person}\x1fTrait 2", f"{person}\x1fTrait 1", f"{person}\x1fTrait 2"]
    assert [identity_of(kind, row) for row in batch.rows] == [f"{person}\x1fTrait 1", f"{person}\x1fTrait 2"]
    assert cells(batch, kind.name, 1)["trait"] == "Other"
    assert batch.updated == []


def test_a_record_without_an_identity_keeps_its_place_among_the_others() -> None:
    batch = parse(HEART_RATES, [record(number=3), record(number=1, id=None), [], record(number=2, updatedAt="?")])
    assert [identity[-1:] for identity in batch.by_place] == ["3", "", "", "2"]
    assert [identity[-1:] for identity in batch.identities] == ["3", "2"]


def test_an_empty_page_is_an_empty_batch() -> None:
    batch = parse(HEART_RATES, [])
    assert (batch.rows, batch.rejected, batch.identities, batch.received) == ([], [], [], 0)


# --- whatever comes -------------------------------------------------------------------------------


@st.composite
def pages(draw: st.DrawFn) -> tuple[str, list[object]]:
    """Give a page of ordinary records with anything at all in some of their fields, and some that are none."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    keys = [field.key.partition(".")[0] for field in columns(KINDS[kind])]
    changed = st.dictionaries(st.sampled_from(keys), ANY_JSON, max_size=4)
    records = st.builds(lambda number, changes: {**record(kind, number), **changes}, st.integers(1, 4), changed)
    return kind, draw(st.lists(records | ANY_JSON, max_size=6))


@settings(max_examples=400, deadline=None)
@given(pages())
def test_no_page_raises_and_every_record_is_accounted_for(page: tuple[str, list[object]]) -> None:
    kind, records = KINDS[page[0]], page[1]
    batch = parse(kind, records)
    usable = len(records) - len(batch.rejected)
    assert batch.received == len(records)
    assert len(batch.rows) == len(batch.payloads) <= usable <= len(batch.identities)
    assert len(batch.by_place) == batch.received
    if kind.read is Read.WINDOWED:
        assert len(batch.updated) == usable
    stored = [identity_of(kind, row) for row in batch.rows]
    assert set(stored) <= set(batch.identities)
    assert len(set(stored)) == len(stored)
    for row, payload in zip(batch.rows, batch.payloads, strict=True):
        assert isinstance(json.loads(payload), dict)
        assert all(type(cell) in {str, int, float, bool, type(None)} for cell in row)
        assert all(math.isfinite(cell) for cell in row if isinstance(cell, float))
        assert "\x00" not in "".join(cell for cell in row if isinstance(cell, str))
        orjson.dumps(row)
    for each in batch.rejected:
        json.loads(each.payload)
        assert "\x00" not in each.payload
        each.payload.encode()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3)), min_size=1, max_size=8))
def test_the_rows_of_a_page_are_its_newest_versions(versions: list[tuple[int, int]]) -> None:
    batch = parse(HEART_RATES, [record(number=n, value=v, updated=START + timedelta(seconds=v)) for n, v in versions])
    newest = {number: max(v for n, v in versions if n == number) for number, _ in versions}
    assert [cells(batch, row=i)["value"] for i in range(len(batch.rows))] == [newest[n] for n in sorted(newest)]


@given(st.datetimes(timezones=st.just(UTC)))
def test_any_instant_comes_out_as_it_went_in(instant: datetime) -> None:
    text = instant.isoformat().replace("+00:00", "Z")
    assert one(timestamp=text)["timestamp"] == instant.replace(tzinfo=None).isoformat(" ", "microseconds")
