"""Oddities: each way changes what it says, nothing else, and every record survives being compared."""

import json
import re
from typing import Any

import pytest

from humansync.simulator import Odd, canonical, digest
from humansync.simulator.canon import dump, identity, parse
from humansync.simulator.odd import UNUSABLE, make_odd
from tests.unit.simulator.conftest import Make, rows

RECORD: dict[str, Any] = {
    "id": "5c1a7f20b3d4e90012ab34c1",
    "userId": "5b9f00aa11bb22cc33dd44e1",
    "humanId": "3f6c1a9be0d2457f8a1b2c3d4e5f6071",
    "startTime": "2018-12-19T06:31:05.000Z",
    "day": "2018-12-19",
    "type": "running",
    "unit": "percent",
    "value": 21.5,
    "steps": 3,
    "source": "strava",
    "sourceData": {"type": "Run"},
    "createdAt": "2018-12-19T12:20:16.418Z",
    "updatedAt": "2018-12-19T12:20:16.419Z",
}


def odd(way: Odd, number: int = 0) -> Any:
    before = json.dumps(RECORD)
    result = make_odd(RECORD, way, number)
    assert json.dumps(RECORD) == before, "the argument stays as it was"
    return result


@pytest.mark.parametrize("way", Odd)
@pytest.mark.parametrize("number", range(6))
def test_every_way_makes_a_difference_and_goes_over_the_wire(way: Odd, number: int) -> None:
    result = odd(way, number)
    assert dump(result) != dump(RECORD)
    assert digest(parse(dump(result))) == digest(result)


@pytest.mark.parametrize("way", [way for way in Odd if way not in UNUSABLE])
def test_usable_ways_leave_identity_and_time(way: Odd) -> None:
    result = odd(way)
    assert identity("activities", result) == RECORD["id"]
    if way is Odd.TIME_SPELLING:
        assert result["updatedAt"] == "2018-12-19T12:20:16.419000+00:00"
    else:
        assert result["updatedAt"] == RECORD["updatedAt"]


@pytest.mark.parametrize(
    ("way", "key", "value"),
    [
        (Odd.SOURCE_ID, "source", "0" * 24),
        (Odd.SOURCE_DATA_TEXT, "sourceData", "not { json"),
        (Odd.SOURCE_DATA_NULL, "sourceData", None),
        (Odd.STRING_NUMBERS, "value", "21.5"),
        (Odd.WORDS, "steps", "n/a"),
        (Odd.BOOLEANS, "steps", True),
        (Odd.ZEROS, "value", 0),
        (Odd.UNIT, "unit", "%"),
        (Odd.NEW_TYPE, "type", "underwater_hockey"),
        (Odd.NULLS, "value", None),
        (Odd.NULLS, "source", "strava"),
        (Odd.EMPTY_DATE, "day", ""),
        (Odd.DATE_WITH_TIME, "day", "2018-12-19T00:00:00.000Z"),
        (Odd.FAR_PAST, "startTime", "1970-01-01T00:00:00.000Z"),
        (Odd.FAR_FUTURE, "startTime", "2999-12-31T23:59:59.000Z"),
        (Odd.LOCAL_TIMES, "startTime", "2018-12-19T06:31:05.000"),
        (Odd.SERIES_EMPTY, "timeSeries", {}),
        (Odd.NUL, "type", "nul\0character"),
        (Odd.SURROGATE, "type", "half \ud83e pair"),
        (Odd.BIG_NUMBERS, "value", 2**70 + 1),
    ],
)
def test_a_way_does_what_it_says(way: Odd, key: str, value: object) -> None:
    assert odd(way)[key] == value


def test_ways_that_take_something_away() -> None:
    assert "humanId" not in odd(Odd.NO_HUMAN_ID)
    assert "sourceData" not in odd(Odd.SOURCE_DATA_ABSENT)
    assert "id" not in odd(Odd.NO_ID)
    assert "updatedAt" not in odd(Odd.NO_UPDATED)
    assert odd(Odd.UNKNOWN_HUMAN)["humanId"] != RECORD["humanId"]
    assert re.fullmatch("[0-9a-f]{32}", odd(Odd.UNKNOWN_HUMAN, 123_456)["humanId"])
    assert json.loads(odd(Odd.SOURCE_DATA_JSON)["sourceData"])["manual"] is True
    assert len(dump(odd(Odd.SERIES_LARGE))) > 20_000


def test_canonical_is_blind_to_key_order_and_to_what_no_database_holds() -> None:
    assert canonical({"b": 1, "a": [1.5, "ü"]}) == '{"a":[1.5,"ü"],"b":1}'.encode()
    assert digest({"a": "x\0y"}) == digest({"a": "x\ufffdy"})
    assert digest({"a": "half \ud83e pair"}) == digest({"a": "half \ufffd pair"})
    assert digest({"a": 2**70, "b": -(2**63)}) == digest({"a": float(2**70), "b": -float(2**63)})
    assert digest({"a": 2**53 - 1}) != digest({"a": float(2**53 - 1)})
    assert digest({"a": "\\u0000"}) != digest({"a": "\ufffd"})
    assert digest({"k\0": {"n": ["\udc00"]}}) == digest({"k\ufffd": {"n": ["\ufffd"]}})


def test_the_share_of_odd_records_is_as_switched_and_lasts_through_changes(make: Make) -> None:
    client = make(records=500, odd=0.3, odd_ways="extra-keys")
    found = [row["id"] for row in rows(client.page(since_s=86_400)) if "futureField" in row]
    assert 110 < len(found) < 190
    client.world.change("activities", identities=found)
    assert all("futureField" in row for row in rows(client.page(since_s=60, before_s=None)))


def test_a_world_full_of_oddities_can_be_asked_changed_and_compared(make: Make) -> None:
    client = make(records=400, kind="meals", odd=1.0, odd_ways=",".join(Odd))
    served = client.page("meals", since_s=86_400)
    records = json.loads(served.body)
    assert len(records) == 400
    client.world.change("meals", 400)
    client.world.resync("meals")
    assert client.world.count("meals") == 400
    assert 300 < len(client.world.truth("meals")) < 400
