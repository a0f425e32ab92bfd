"""More records, more worker processes."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from benchmarks.compare import Scene, first_load, say
from benchmarks.deployment import Deployment, threaded_workers
from benchmarks.parts.options import Options
from benchmarks.rivals import RIVALS
from benchmarks.stand import Simulator, Stand

THREADS = 4


def scale(stand: Stand, options: Options) -> Iterator[Scene]:
    """Ten thousand, a hundred thousand, a million records: the rate and each process's memory stay."""
    scene = Scene("scale", "from ten thousand to a million records", {"kinds": 1, "database": "PostgreSQL"})
    seconds: dict[int, float] = {}
    for records in options.sizes(10_000, 100_000, 1_000_000):
        name = f"{records:,} records"
        with Simulator(records, 60.0) as simulator:
            for _ in range(options.times(1)):
                with stand.database() as url:
                    measured = first_load(stand, simulator, RIVALS["humansync"], simulator.job().on(url))
                scene.runs.setdefault(name, []).append(measured)
                say(name, measured)
        seconds[records] = scene.median(name) or 0.0
        peaks = [run.processes for run in scene.runs[name]]
        scene.figures[f"{name}: records a second, start and stop included"] = round(records / seconds[records])
        scene.figures[f"{name}: largest processes, MiB"] = [f"{process} {mib:.0f}" for process, mib in peaks[-1][:4]]
    scene.figures |= _growth(scene, seconds)
    yield scene


def _growth(scene: Scene, seconds: dict[int, float]) -> dict[str, Any]:
    """Return rates without start and stop, and how the largest size compares with the one before."""
    figures: dict[str, Any] = {}
    for small, large in pairwise(sorted(seconds)):
        longer = max(0.001, seconds[large] - seconds[small])
        figures[f"from {small:,} to {large:,}: records a second without start and stop"] = round(
            (large - small) / longer
        )
        figures["rate"] = round((large / seconds[large]) / (small / seconds[small]), 2)
        before, after = (_peaks(scene, f"{size:,} records") for size in (small, large))
        grown = {name: round(after[name] / before[name], 2) for name in before if name in after}
        figures["memory"] = max(grown.values(), default=0.0)
        figures[f"from {small:,} to {large:,}: memory of each process, times"] = [f"{n} {x}" for n, x in grown.items()]
    return figures


def _peaks(scene: Scene, name: str) -> dict[str, float]:
    """Return the most that a process of each name held in any run; not of what is gone in a moment."""
    peaks: dict[str, float] = {}
    for run in scene.runs[name]:
        for process, mib in run.processes:
            peaks[process] = max(mib, peaks.get(process, 0.0))
    return peaks


def processes(stand: Stand, options: Options) -> Iterator[Scene]:
    """One, two, four worker processes of a standing deployment, from an API at once and one at 150 ms."""
    for latency_ms in (0, 150):
        for records in options.sizes(100_000 if not latency_ms else 50_000):
            facts = {"records": records, "latency_ms": latency_ms, "kinds": 1, "database": "PostgreSQL"}
            scene = Scene(
                f"processes-{latency_ms}",
                f"{records:,} records, {latency_ms} ms latency, standing workers of {THREADS} threads",
                facts,
            )
            with Simulator(records, 60.0, switches=("--latency-ms", str(latency_ms))) as simulator:
                for number in range(options.times(1) * 3):
                    count = (1, 2, 4)[number % 3]
                    with stand.database() as url:
                        job = simulator.job(redis_url=stand.redis.url).on(url)
                        with Deployment(stand, job, threaded_workers(count, THREADS)) as deployment:
                            measured = deployment.sync(simulator)
                    name = f"{count} worker{'s' if count > 1 else ''}"
                    scene.runs.setdefault(name, []).append(measured)
                    say(name, measured)
            yield scene
