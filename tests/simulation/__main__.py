"""Run the simulation: `python -m tests.simulation --seeds 300`, or one run in detail: `--seed 17 --trace`."""

import argparse
import gc
import multiprocessing
import os
import sys
import time
from collections.abc import Iterable, Iterator

from tests.simulation.exercised import Met
from tests.simulation.scenario import scenario
from tests.simulation.simulation import Report, simulate


def main(argv: list[str] | None = None) -> int:
    """Return 0 if every run kept every promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many runs")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="this run alone, with its settings and what it exercised")
    parser.add_argument("--trace", action="store_true", help="with --seed: print what happens")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--brief", action="store_true", help="leave out what was exercised")
    asked = parser.parse_args(argv)
    began = time.monotonic()
    if asked.seed is not None:
        for name, value in scenario(asked.seed).as_dict().items():
            print(f"{name:14} {value}")
        reports: Iterable[Report] = [simulate(asked.seed, trace=print if asked.trace else None)]
    else:
        reports = _all(range(asked.first, asked.first + asked.seeds), asked.jobs)
    met, runs, broken = Met(), 0, 0
    for runs, report in enumerate(reports, start=1):
        met.add(report.tally)
        if report.broken:
            broken += 1
            print(f"seed {report.seed}: {report.broken}\n  replay: make simulate SEED={report.seed}", flush=True)
        if runs % 500 == 0:
            print(f"{runs} runs, {broken} broken, {time.monotonic() - began:.0f} s", flush=True)
    if not asked.brief:
        print(met)
    print(f"{runs} runs, {broken} broken, {time.monotonic() - began:.1f} s")
    return 1 if broken else 0


def _all(seeds: Iterable[int], jobs: int) -> Iterator[Report]:
    if jobs < 2:
        yield from map(simulate, seeds)
        return
    # A run leaves little that only a collection frees, and to look for it as often as usual takes a tenth of the time.
    with multiprocessing.get_context("spawn").Pool(jobs, gc.set_threshold, (100_000, 50, 100)) as pool:
        yield from pool.imap(simulate, seeds, chunksize=4)


if __name__ == "__main__":
    sys.exit(main())
