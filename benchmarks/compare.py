"""One scene: contenders in turn, several times over, on the same records; medians and ratios."""

import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import meter
from benchmarks.job import Job, tables
from benchmarks.rivals import RIVALS, Rival
from benchmarks.stand import Simulator, Stand, stored

#: contenders that are the ceiling: in each scene the fastest of them
CEILING = "bare"
OURS = "humansync"


class BenchmarkFailed(Exception):
    """A contender did not do its work: its time means nothing."""


@dataclass(slots=True)
class Measured:
    """One run of one contender."""

    seconds: float
    cpu_s: float
    database_cpu_s: float
    api_cpu_s: float
    peak_mib: float
    processes: list[tuple[str, float]]
    requests: int
    records: int


@dataclass(slots=True)
class Scene:
    """What was measured in one scene."""

    #: by which the report finds it
    key: str
    title: str
    facts: dict[str, Any]
    runs: dict[str, list[Measured]] = field(default_factory=dict)
    #: figures of a scene that is no race, by name
    figures: dict[str, Any] = field(default_factory=dict)

    def median(self, name: str, what: str = "seconds") -> float | None:
        """Return the median of a contender's runs; None where there are none."""
        values = [float(getattr(run, what)) for run in self.runs.get(name, [])]
        return statistics.median(values) if values else None

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        bare = [self.median(name) or 0.0 for name in self.runs if name.startswith(CEILING)]
        ceiling, ours = min(bare, default=None), self.median(OURS)
        medians = {name: self._medians(name, ceiling, ours) for name in self.runs}
        runs = {name: [asdict(run) for run in runs] for name, runs in self.runs.items()}
        return {
            "key": self.key,
            "title": self.title,
            "facts": self.facts,
            "medians": medians,
            "figures": self.figures,
            "runs": runs,
        }

    def _medians(self, name: str, ceiling: float | None, ours: float | None) -> dict[str, Any]:
        whats = ("seconds", "cpu_s", "database_cpu_s", "api_cpu_s", "peak_mib", "requests", "records")
        medians: dict[str, Any] = {what: round(self.median(name, what) or 0.0, 3) for what in whats}
        seconds = medians["seconds"]
        medians["label"] = RIVALS[name].label if name in RIVALS else name
        medians["largest_mib"] = max((run.processes[0][1] for run in self.runs[name] if run.processes), default=None)
        medians["of_ceiling"] = round(seconds / ceiling, 2) if ceiling else None
        medians["of_humansync"] = round(seconds / ours, 2) if ours else None
        return medians


Place = Callable[[Sequence[str]], AbstractContextManager[str]]


def race(
    stand: Stand,
    simulator: Simulator,
    names: Sequence[str],
    scene: Scene,
    *,
    repeat: int,
    place: Place | None = None,
    **job: Any,
) -> Scene:
    """Let contenders bring all of the simulator's records into an empty database, in turn, `repeat` times."""
    made = tables(simulator.kinds, lite=place is not None)
    for number in range(repeat):
        for name in _turn(names, number):
            with (place or stand.database)(made if RIVALS[name].tables_made else ()) as url:
                told = simulator.job(redis_url=stand.redis.url, **job).on(url)
                measured = first_load(stand, simulator, RIVALS[name], told)
            scene.runs.setdefault(name, []).append(measured)
            say(name, measured)
    scene.runs = {name: scene.runs[name] for name in names}
    return scene


def first_load(stand: Stand, simulator: Simulator, rival: Rival, job: Job) -> Measured:
    """Let one contender bring everything into this empty database, and check that it did."""
    measured = once(stand, simulator, rival, job)
    found = stored(job.database_url, job.kinds, rival.schema)
    for kind, (count, digest) in found.items():
        if count != job.records:
            raise BenchmarkFailed(f"{rival.name} has brought {count} {kind} of {job.records}")
        if rival.exact and simulator.digests.setdefault(kind, digest) != digest:
            raise BenchmarkFailed(f"{rival.name} has stored other {kind} than those before it")
    measured.records = sum(count for count, _ in found.values())
    return measured


def once(stand: Stand, simulator: Simulator, rival: Rival, job: Job, folder: Path | None = None) -> Measured:
    """Run a contender once: in a folder of its own, or where it ran before."""
    folder = folder or stand.new_folder()
    call = rival.call(job, folder)
    requests, database, api = simulator.requests(), stand.database_cpu_s(), _cpu(simulator)
    cost = meter.run(call.argv, env=call.env, cwd=folder, servers=lambda: stand.servers(simulator))
    if cost.status:
        said = (folder / "stderr.log").read_text()[-3000:]
        raise BenchmarkFailed(f"{rival.name} ended with status {cost.status}: {cost.output[-1000:]} {said}")
    return Measured(
        round(cost.seconds, 3),
        round(cost.cpu_s, 3),
        round(stand.database_cpu_s() - database, 3),
        round(_cpu(simulator) - api, 3),
        round(cost.peak_mib, 1),
        cost.processes,
        simulator.requests() - requests,
        0,
    )


def _cpu(simulator: Simulator) -> float:
    return meter.cpu_of(simulator.process.pid) if simulator.process else 0.0


def _turn(names: Sequence[str], number: int) -> Iterable[str]:
    """Return the names in another order each time: nobody always comes after the same one."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def say(name: str, measured: Measured) -> None:
    """Tell who waits for the benchmark what was just measured."""
    sys.stderr.write(
        f"  {name:16} {measured.seconds:7.2f} s   CPU {measured.cpu_s:6.2f} own {measured.database_cpu_s:6.2f} database "
        f"{measured.api_cpu_s:5.2f} API   {measured.peak_mib:5.0f} MiB   {measured.requests} requests\n"
    )
    sys.stderr.flush()
