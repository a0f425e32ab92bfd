"""Hundreds of made-up lives of the whole system, each checked at every commit and compared with the truth at its end."""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.exercised import Met
from tests.simulation.simulation import simulate

#: The first seeds; `make simulate N=10000` goes on from there.
SEEDS, A_TEST = 300, 10


@pytest.fixture(scope="session")
def met(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder where all processes of this session put what their runs have met."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "simulation-met"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, SEEDS, A_TEST))
def test_every_promise_holds_in_every_run(first: int, met: Path) -> None:
    tally: Counter[str] = Counter()
    for seed in range(first, first + A_TEST):
        report = simulate(seed)
        assert report.broken is None, f"seed {seed}: {report.broken}; replay: make simulate SEED={seed}"
        tally.update(report.tally)
    unfinished = met / f"{first}.part"
    unfinished.write_text(json.dumps(tally))
    unfinished.rename(met / f"{first}.json")
    done = sorted(met.glob("*.json"))
    if len(done) == SEEDS // A_TEST:
        # Whoever is last looks at all: a run that met nothing proves nothing.
        everything = Met()
        for each in done:
            everything.add(json.loads(each.read_text()))
        assert everything.lacking() == []


def test_a_seed_is_one_run() -> None:
    first = simulate(4)
    assert first.tally["redis: commands not sent"]  # no calm one
    assert simulate(4).tally == first.tally
