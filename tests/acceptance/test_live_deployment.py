"""A deployment at work: crowds, doubled schedulers, an operator's commands, and whether `status` tells the truth."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.acceptance.api_process import ApiProcess, api_process
from tests.acceptance.live import SETTLE_S, Live
from tests.processes import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),  # real processes start slowly on a busy machine
    pytest.mark.skipif(sys.platform != "linux", reason="processes die with their parent by a call of Linux"),
]

RECORDS, DAYS = 3_000, 20
PAGE = 500
EVERY_S = 4
#: what one pass over evenly spread records may cost
ONE_PASS = math.floor(1.3 * math.ceil(RECORDS / PAGE)) + 2
SINCE = {"HUMANSYNC_SINCE": f"{DAYS + 1}d"}


@pytest.fixture
def api() -> Iterator[ApiProcess]:
    """Give an API with three kinds of records, evenly spread."""
    with api_process("--kinds=sleeps,weights,meals", f"--records={RECORDS}", f"--days={DAYS}") as started:
        yield started


def test_fifty_calls_at_once_cost_one_pass(api: ApiProcess, redis_url: str, database_url: str, tmp_path: Path) -> None:
    with Live(tmp_path, api, redis_url, database_url, ["sleeps", "weights"], **SINCE) as live:
        live.procfile("worker", "backfill")
        until("workers are there", lambda: len(live.json("status")["workers"]) == 2)
        live.call("weights")
        live.call("sleeps", times=50)
        until("all is there", lambda: live.equal() and live.requests("sleeps") > 0)
        time.sleep(3)  # whatever else the crowd brings about
        until("the queues are empty", lambda: not any(live.json("status")["queues"].values()))
        assert live.requests("sleeps") <= ONE_PASS
        assert live.requests("sleeps") <= live.requests("weights") + 1
        assert live.equal()


def test_two_schedulers_make_one_pass_each_period(
    api: ApiProcess, redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    with Live(tmp_path, api, redis_url, postgres_url, ["sleeps", "weights"], **SINCE, **every(EVERY_S)) as live:
        live.procfile("beat", "beat-2", "worker", "backfill")
        assert_one_pass_each_period(live)


def test_two_ups_in_two_folders_share_the_work_of_one(
    api: ApiProcess, redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one, two = (
        Live(folder, api, redis_url, postgres_url, ["sleeps", "weights"], **SINCE, **every(EVERY_S))
        for folder in folders
    )
    with one, two:
        one.start("up", [sys.executable, "-P", "-m", "workers.cli", "up"])
        two.start("up", [sys.executable, "-P", "-m", "workers.cli", "up"])
        until("both are up", lambda: all(each.logged("Flower    http") for each in (one, two)))
        assert_one_pass_each_period(one)
        assert [each.stop("up") for each in (one, two)] == [0, 0]


def every(seconds: int) -> dict[str, str]:
    return {"HUMANSYNC_EVERY_S": str(seconds)}


def assert_one_pass_each_period(live: Live, periods: int = 5) -> None:
    """Hold what the API sees to one pass's worth of requests, for the first pass and for those that follow."""
    until("all is there", live.equal)
    until("nothing is owed", lambda: all(live.status(kind)["state"] == "idle" for kind in live.kinds))
    first = {kind: live.requests(kind) for kind in live.kinds}
    began = time.monotonic()
    live.api.control(change_per_s=1, add_per_s=1)
    time.sleep(periods * EVERY_S)
    # On a busy machine a pass may come late: what counts is that there is one for about each period, and no second.
    until("passes go on", lambda: all(live.requests(kind) - first[kind] >= periods / 2 for kind in live.kinds))
    live.api.control(change_per_s=0, add_per_s=0)
    passed = (time.monotonic() - began) / EVERY_S
    then = {kind: live.requests(kind) - first[kind] for kind in live.kinds}
    # The first figure may hold some periods of its own: the comparison takes time.
    assert all(count <= ONE_PASS + periods for count in first.values()), first
    assert all(count <= passed + 1 for count in then.values()), then
    until("what has changed is there", live.equal)


def test_an_operator_holds_a_kind_lets_it_go_on_and_sets_it_back(
    api: ApiProcess, redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    api.control(latency_ms=800, page_cap=100)
    with Live(tmp_path, api, redis_url, postgres_url, ["sleeps", "weights"], **SINCE, **every(2)) as live:
        live.procfile("beat", "worker", "backfill")
        until("work is going on", lambda: live.requests("sleeps") > 3 and live.requests("weights") > 3)
        assert "sleeps is paused" in live.humansync("pause", "sleeps").stdout
        time.sleep(3)  # pages under way may end
        held, others = live.requests("sleeps"), live.requests("weights")
        found = live.status("sleeps")
        assert found["state"] == "paused"
        assert found["windows"]["owed"] + found["windows"]["walking"] > 0
        assert found["records"] < RECORDS
        until("other kinds go on", lambda: live.requests("weights") > others + 3)
        assert live.requests("sleeps") == held

        assert "sleeps is going on" in live.humansync("resume", "sleeps").stdout
        until("it goes on", lambda: live.requests("sleeps") > held)
        # In the middle of it all; what is forgotten is read again.
        to = datetime.now(UTC) - timedelta(days=5)
        assert live.humansync("reset", "sleeps", "--to", "5d").returncode == 0
        api.control(latency_ms=0, page_cap=PAGE)
        until("all is there", live.equal)
        until("nothing is owed", lambda: live.status("sleeps")["state"] == "idle")
        assert instant(live.status("sleeps")["cursor"]) > to + timedelta(days=5) - timedelta(seconds=60)

        assert live.humansync("pause", "sleeps").returncode == 0
        to = datetime.now(UTC) - timedelta(days=10)
        before = live.requests("sleeps")
        assert live.humansync("reset", "sleeps", "--to", "10d").returncode == 0
        assert abs(instant(live.status("sleeps")["cursor"]) - to) < timedelta(seconds=30)
        assert live.humansync("resume", "sleeps").returncode == 0
        until("ten days are read again", lambda: live.requests("sleeps") >= before + RECORDS / PAGE / 2)
        until("the cursor is back", lambda: live.status("sleeps")["lag_s"] < 60)
        assert live.equal()


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_status_tells_the_truth_at_each_stage(
    api: ApiProcess, redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    kinds = ["sleeps", "weights", "meals"]
    with Live(tmp_path, api, redis_url, postgres_url, kinds, **SINCE) as live:
        # Nobody works yet.
        assert live.json("sync", "sleeps") == {"enqueued": ["sleeps"]}
        found = live.json("status")
        assert (found["workers"], found["queues"]) == ([], {"live": 1, "backfill": 0})
        fresh = {"cursor": None, "lag_s": None, "state": "idle", "records": 0, "last_error": None}
        assert fresh.items() <= live.status("sleeps").items()

        # At work.
        api.control(latency_ms=1500)
        live.procfile("worker", "backfill")
        until("it is seen at work", lambda: live.status("sleeps")["state"] == "syncing")
        found = live.status("sleeps")
        assert found["windows"]["owed"] + found["windows"]["walking"] > 0
        api.control(latency_ms=0)
        until("it is done", lambda: live.status("sleeps")["state"] == "idle")
        found = live.status("sleeps")
        assert found["records"] == RECORDS == len(api.truth("sleeps"))
        assert {"owed": 0, "walking": 0, "failed": 0}.items() <= found["windows"].items()
        assert found["windows"]["done"] > 0
        assert SETTLE_S <= found["lag_s"] < 60

        # Everybody is listed, those too that have had nothing to do.
        names = [worker["name"].partition("@")[0] for worker in live.json("status")["workers"]]
        assert sorted(names) == ["backfill", "live"]

        # The API fails for one kind, then no longer.
        api.control(fault_rate=1, faults=["500"], fault_kinds=["weights"])
        assert live.humansync("sync", "weights").returncode == 0
        until("it is failing", lambda: live.status("weights")["state"] == "failing")
        assert "500" in live.status("weights")["last_error"]
        assert live.status("sleeps")["state"] == "idle"
        api.control(fault_rate=0)
        done = live.json("sync", "weights", "--wait")
        assert (done["ok"], done["kinds"][0]["state"]) == (True, "done")
        assert {"state": "idle", "last_error": None}.items() <= live.status("weights").items()

        # The API does not offer one: that is no failure.
        api.control(absent=["meals"])
        done = live.json("sync", "meals", "--wait")
        assert (done["ok"], done["kinds"][0]["state"]) == (True, "disabled")
        found = live.status("meals")
        assert found["state"] == "disabled"
        assert "404" in found["last_error"]

        assert live.humansync("pause", "sleeps").returncode == 0
        assert live.status("sleeps")["state"] == "paused"
        refused = live.json("sync", "sleeps", "--wait", status=1)
        assert "humansync resume sleeps" in refused["kinds"][0]["error"]


def test_a_kind_is_brought_up_to_date_by_hand(
    api: ApiProcess, redis_url: str, database_url: str, tmp_path: Path
) -> None:
    with Live(tmp_path, api, redis_url, database_url, ["sleeps", "weights"], **SINCE) as live:
        live.procfile("worker", "backfill")
        done = live.json("sync", "sleeps", "--wait")
        assert done["ok"]
        assert (done["requests"], done["records"]) == (live.requests("sleeps"), RECORDS)
        assert done["requests"] <= ONE_PASS
        wanted = {"kind": "sleeps", "state": "done", "records": RECORDS, "rejected": 0, "error": None}
        assert wanted.items() <= done["kinds"][0].items()
        assert live.requests("weights") == 0

        called = subprocess.run(
            ["celery", "-A", "workers.app", "call", "sync.kind", "--args", json.dumps(["weights"])],
            env=live.environment,
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )
        assert called.stdout.strip()  # the task's id
        until("all is there", live.equal)
