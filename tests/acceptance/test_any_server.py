"""The main job against any server that follows human-api.md: `humansync run` brings all of it in, whatever the API is like."""

import math
import time
from pathlib import Path

import pytest

from humansync.kinds import KINDS
from tests.acceptance.any_server import DAYS, PASSING_FAULTS, Job, Server, every_value, load, prove
from tests.acceptance.api_process import api_process

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),  # real processes start slowly on a busy machine
]

#: What a server of the many is asked for: a kind that can be cut by time, and the one that cannot.
FEW = ("sleeps", "genetic_traits")


@pytest.mark.parametrize("server", every_value(), ids=str)
def test_everything_comes_in_whatever_the_api_is_like(
    server: Server, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    prove(server, FEW, 700, request.getfixturevalue(server.fixture), tmp_path)


def test_records_that_change_after_every_third_page_cost_no_other(postgres_url: str, tmp_path: Path) -> None:
    # 20,000 records make 40 pages and the cuts before them: about 16 times 20 changes
    flags = ["--change-every=3", "--change=20", "--headers=none", "--order=updated-asc"]
    with api_process(*load(["heart_rates"], 20_000), *flags) as api:
        job = Job(api, postgres_url, tmp_path)
        first = job.report("heart_rates")
        changed = 20 * (api.stats()["by_status"]["200"] // 3)
        assert changed >= 260
        assert first["kinds"][0]["requests"] <= most_requests(20_000)
        api.control(change_every=0)
        time.sleep(3)  # until what has changed is older than the settle delay
        second = job.report("heart_rates")
        assert job.differences("heart_rates") == {}
        # some that changed late in the first run were read by it at their newest version
        assert second["records"] <= changed
        assert second["kinds"][0]["requests"] <= 4


@pytest.mark.parametrize("servers", [2, 4, 8])
def test_servers_that_answer_in_turn_hide_no_record(servers: int, sqlite_url: str, tmp_path: Path) -> None:
    """Their pages do not continue one another, and passes of as many requests as servers show the same places each time."""
    flags = ["--order=random-fixed", f"--servers={servers}", "--headers=none"]
    with api_process(*load(["genetic_traits"], 2_400), *flags) as api:
        job = Job(api, sqlite_url, tmp_path)
        job.report("genetic_traits")
        assert job.differences("genetic_traits") == {}


def test_failures_and_refusals_that_pass_cost_time_only(sqlite_url: str, tmp_path: Path) -> None:
    kinds = ("heart_rates", "meals", "weights", "genetic_traits")
    # this seed meets refusals as well as failures and bodies that mislead
    flags = ["--seed=13", "--fault-rate=0.05", f"--faults={','.join(PASSING_FAULTS)}", "--change-every=5", "--change=3"]
    with api_process(*load(kinds, 3_000), "--page-cap=100", *flags) as api:
        job = Job(api, sqlite_url, tmp_path)
        first = job.report(*kinds)
        assert {kind["state"] for kind in first["kinds"]} == {"done"}
        assert sum(api.stats()["by_fault"].values()) > 3
        api.control(fault_rate=0, change_every=0)
        time.sleep(3)
        job.report(*kinds)
        # what changes beyond the first page of a collection without times is found once a day
        assert job.differences(*kinds[:-1]) == {}


def test_all_kinds_of_evenly_spread_records_cost_few_requests_and_next_to_none_later(
    sqlite_url: str, tmp_path: Path
) -> None:
    # the records of 90 days; one kind is not offered, as that of many an app
    with api_process(*load(KINDS, 1_500), "--absent=locations") as api:
        job = Job(api, sqlite_url, tmp_path)
        first = job.report()
        states = {kind["kind"]: kind["state"] for kind in first["kinds"]}
        assert states.pop("locations") == "disabled"
        assert set(states.values()) == {"done"}
        for kind in first["kinds"]:
            assert kind["requests"] <= most_requests(1_500), kind
        asked = api.stats()["by_kind"]
        assert sum(asked.values()) - asked["locations"] == sum(
            kind["requests"] for kind in first["kinds"] if kind["kind"] != "locations"
        )
        assert job.differences(*states) == {}
        second = job.report()
        assert second["records"] == 0
        assert all(kind["requests"] <= 2 for kind in second["kinds"]), second


def most_requests(records: int) -> int:
    """Return how many requests so many records may cost that lie evenly over the days of a job."""
    windows = math.ceil(DAYS / 30)
    return windows * (math.ceil(1.3 * math.ceil(records / windows / 500)) + 2)


def test_a_refused_key_is_one_sentence_and_few_requests(sqlite_url: str, tmp_path: Path) -> None:
    with api_process(*load(KINDS, 10), "--revoked") as api:
        done = Job(api, sqlite_url, tmp_path).run()
        assert done.returncode == 1
        # every kind may find out by itself, three times, for gateways slip too
        assert sum(api.stats()["by_kind"].values()) <= 3 * len(KINDS)
        document = Job.document(done)
        assert {kind["state"] for kind in document["kinds"]} == {"failed"}
        assert {"401" in kind["error"] for kind in document["kinds"]} == {True}
