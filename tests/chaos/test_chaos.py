"""A short slice of `make chaos`: on either database a few faults, in another order each time."""

import random
import sys

import pytest

from tests.chaos import faults
from tests.chaos.run import run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),  # real processes start slowly on a busy machine
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

SLICES = {
    "postgresql": (faults.kill_all_workers, faults.restart_postgres),
    "sqlite": (faults.kill_redis, faults.flush_redis, faults.storm),
}


@pytest.mark.parametrize("database", SLICES)
def test_nothing_is_lost_and_work_is_back_within_a_minute(database: str) -> None:
    seed = random.SystemRandom().randrange(1_000_000)
    print(f"again: make chaos SEED={seed}")
    report = run(database, SLICES[database], append_only=False, seed=seed)
    assert report.differences == {}
    assert report.late == []
