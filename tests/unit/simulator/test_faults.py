"""What stands between a request and its records."""

import gzip
import json
from datetime import timedelta
from email.utils import parsedate_to_datetime

import orjson
import pytest

from humansync.simulator import Answer, Fault
from humansync.simulator.faults import DEFAULT_MIX
from tests.unit.simulator.conftest import START, Clock, Make, ids, rows


def fault(make: Make, which: Fault, **switches: object) -> Answer:
    """Return the answer to a request that meets a fault."""
    client = make(records=10, **switches)
    client.world.fail_next(which)
    answer = client.page(since_s=86_400)
    assert len(ids(client.page(since_s=86_400))) == 10, "the next request is served"
    return answer


@pytest.mark.parametrize("which", Fault)
def test_every_fault_can_be_met_and_says_which_it_is(make: Make, which: Fault) -> None:
    assert fault(make, which, huge_mb=1).fault is which


@pytest.mark.parametrize(
    ("which", "status"),
    [
        *((Fault(str(status)), status) for status in (400, 401, 403, 404, 429, 500, 502, 503, 504)),
        (Fault.E429_AFTER, 429),
        (Fault.E503_AFTER, 503),
        (Fault.REDIRECT, 302),
    ],
)
def test_refusals_have_their_status(make: Make, which: Fault, status: int) -> None:
    assert fault(make, which).status == status


def test_a_gateway_answers_in_html(make: Make) -> None:
    for which in (Fault.E502, Fault.HTML):
        answer = fault(make, which)
        assert answer.header("content-type") == "text/html"
        assert answer.body.startswith(b"<")


def test_misleading_answers_are_what_they_say(make: Make) -> None:
    assert orjson.loads(fault(make, Fault.EMPTY_OBJECT).body) == {}
    assert orjson.loads(fault(make, Fault.NULL).body) is None
    assert "error" in orjson.loads(fault(make, Fault.ERROR_OBJECT).body)
    wrong = fault(make, Fault.WRONG_TYPE)
    assert (wrong.header("Content-Type"), len(rows(wrong))) == ("text/html", 10)
    with pytest.raises(json.JSONDecodeError):
        orjson.loads(fault(make, Fault.CUT_JSON).body)


def test_answers_break_off_on_their_way(make: Make) -> None:
    whole = fault(make, Fault.WRONG_TYPE).body
    cut = fault(make, Fault.CUT)
    assert (cut.body, cut.cut_at) == (whole, len(whole) // 2)
    assert fault(make, Fault.RESET).cut_at == -1
    assert fault(make, Fault.SLOW, slow_s=7).spread_s == 7
    assert fault(make, Fault.STALL, stall_s=9).stall_s == 9


def test_oversized_bodies_are_good_json(make: Make) -> None:
    huge, bomb = fault(make, Fault.HUGE, huge_mb=2), fault(make, Fault.BOMB, huge_mb=2)
    assert len(huge.body) == 2_000_000
    assert len(orjson.loads(huge.body)) == 1
    assert len(bomb.body) < 20_000
    assert gzip.decompress(bomb.body) == huge.body
    assert bomb.header("Content-Encoding") == "gzip"


@pytest.mark.parametrize("which", [Fault.E429_AFTER, Fault.E503_AFTER])
def test_retry_after_comes_in_both_forms_or_not_at_all(make: Make, which: Fault) -> None:
    assert fault(make, which, retry_after_s=7).header("Retry-After") == "7"
    date = fault(make, which, retry_after="date", retry_after_s=7).header("Retry-After")
    assert parsedate_to_datetime(str(date)) == START + timedelta(seconds=7)
    assert fault(make, which, retry_after="none").header("Retry-After") is None
    assert fault(make, Fault.E429).header("Retry-After") is None


def test_a_redirect_leads_elsewhere(make: Make) -> None:
    location = fault(make, Fault.REDIRECT, redirect_to="https://other.example").header("Location")
    assert str(location).startswith("https://other.example/")


def test_planned_faults_meet_their_kind_only_and_as_often_as_said(make: Make) -> None:
    client = make()
    client.world.fail_next("500", 2, kind="meals")
    assert client.page("sleeps", since_s=60).status == 200
    assert [client.page("meals", since_s=60).status for _ in range(3)] == [500, 500, 200]


def test_faults_come_as_often_as_switched_and_from_the_mix(make: Make) -> None:
    client = make(records=10, fault_rate=0.3)
    faults = [client.page(since_s=86_400).fault for _ in range(1_000)]
    met = [which for which in faults if which is not None]
    assert 250 < len(met) < 350
    assert set(met) == set(DEFAULT_MIX)
    client.world.set(fault_kinds="meals")
    assert {client.page(since_s=86_400).fault for _ in range(50)} == {None}


def test_the_rate_limit_counts_whole_seconds(make: Make, clock: Clock) -> None:
    client = make(rate_limit=3)
    assert [client.page(since_s=60).status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert client.page(since_s=60).header("Retry-After") == "1"
    clock.forward(1)
    assert client.page(since_s=60).status == 200


def test_access_can_be_taken_away(make: Make) -> None:
    client = make(absent="sleeps", forbidden="meals,weights")
    statuses = [client.page(kind, since_s=60).status for kind in ("sleeps", "meals", "weights", "heights")]
    assert statuses == [404, 403, 403, 200]
    client.world.set(revoked=True)
    assert client.page("heights", since_s=60).status == 401
    assert client.world.users().status == 401


def test_the_date_header_tells_the_clock_unless_it_lies(make: Make, clock: Clock) -> None:
    client = make(records=10)
    assert parsedate_to_datetime(str(client.page(since_s=60).header("Date"))) == START
    client.world.set(date_skew_s=-600)
    assert parsedate_to_datetime(str(client.page(since_s=60).header("Date"))) == START - timedelta(minutes=10)
    client.world.set(date_skew_s=0, clock_skew_s=900)
    assert parsedate_to_datetime(str(client.page(since_s=60).header("Date"))) == START + timedelta(minutes=15)
    name = client.world.add("activities")[0]
    assert client.world.truth("activities")[name][0] == "2026-03-01T12:15:00.000Z"
    clock.forward(60)
    assert parsedate_to_datetime(str(client.page(since_s=60).header("Date"))) == START + timedelta(minutes=16)


def test_answers_take_their_time(make: Make) -> None:
    assert make().page(since_s=60).delay_s == 0
    assert make(latency_ms=50).page(since_s=60).delay_s == 0.05
    client = make(latency_ms=50, jitter_ms=100)
    delays = [client.page(since_s=60).delay_s for _ in range(100)]
    assert 0.05 <= min(delays) < 0.07
    assert 0.13 < max(delays) <= 0.15


def test_everything_is_counted(make: Make, clock: Clock) -> None:
    client = make(records=10)
    client.world.fail_next(Fault.E500)
    for _ in range(4):
        client.page(since_s=90_000)
        clock.forward(0.4)
    client.page("meals", since_s=60)
    tally = client.world.tally.as_dict()
    assert tally["requests"] == 5
    assert tally["rows"] == 30
    assert tally["peak_per_s"] == 3  # at 0, 0.4 and 0.8 s
    assert tally["by_kind"] == {"activities": 4, "meals": 1}
    assert tally["by_status"] == {"200": 4, "500": 1}
    assert tally["by_fault"] == {"500": 1}
