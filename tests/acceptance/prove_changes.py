"""Records that change after every third page, in every order: `make prove-changes`. Not part of `make test`: it takes a while."""

import time
from pathlib import Path

import pytest

from tests.acceptance.any_server import DATABASES, FREEDOMS, PASSING_FAULTS, Job, load
from tests.acceptance.api_process import api_process

pytestmark = pytest.mark.timeout(600)

RECORDS, CHANGED = 20_000, 260
#: After every third page so many change: some 40 pages are asked for, or some 220 where pages are short and answers fail.
SOUND = ()
FAILING = (
    "--page-cap=100",
    *("--fault-rate=0.05", f"--faults={','.join(PASSING_FAULTS)}", "--retry-after-s=1"),
)


@pytest.mark.parametrize(("change", "flags"), [(20, SOUND), (4, FAILING)], ids=["sound", "faults"])
@pytest.mark.parametrize("database", DATABASES)
@pytest.mark.parametrize("order", FREEDOMS["order"])
def test_none_is_missing_or_stale(
    order: str, database: str, change: int, flags: tuple[str, ...], *, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[database])
    with api_process(
        *load(["heart_rates"], RECORDS), f"--order={order}", "--change-every=3", f"--change={change}", *flags
    ) as api:
        job = Job(api, url, tmp_path)
        job.report("heart_rates")
        said = api.stats()
        failed = sum(said["by_fault"].values())
        # some faults answer with 200, and nothing changes then
        assert change * ((said["by_status"]["200"] - failed) // 3) >= CHANGED
        assert (failed > 3) == (flags is FAILING)
        api.control(change_every=0, fault_rate=0)
        time.sleep(3)  # until what has changed is older than the settle delay
        job.report("heart_rates")
        assert job.differences("heart_rates") == {}
