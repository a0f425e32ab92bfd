"""More records, more worker processes."""

from collections.abc import Iterator
from itertools import pairwise

from benchmarks.compare import Scene, first_load, say
from benchmarks.deployment import Deployment, threaded_workers
from benchmarks.parts.options import Options
from benchmarks.rivals import RIVALS
from benchmarks.stand import Simulator, Stand

THREADS = 4


def scale(stand: Stand, options: Options) -> Iterator[Scene]:
    """Ten thousand, a hundred thousand, a million records: the rate and each process's memory stay."""
    scene = Scene("from ten thousand to a million records", {"kinds": 1, "database": "PostgreSQL"})
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
    sizes = sorted(seconds)
    for small, large in pairwise(sizes):
        more, longer = large - small, max(0.001, seconds[large] - seconds[small])
        scene.figures[f"from {small:,} to {large:,}: records a second without start and stop"] = round(more / longer)
    yield scene


def processes(stand: Stand, options: Options) -> Iterator[Scene]:
    """One, two, four worker processes of a standing deployment, from an API at once and one at 150 ms."""
    for latency_ms in (0, 150):
        for records in options.sizes(100_000 if not latency_ms else 50_000):
            facts = {"records": records, "latency_ms": latency_ms, "kinds": 1, "database": "PostgreSQL"}
            scene = Scene(f"{records:,} records, {latency_ms} ms latency, standing workers of {THREADS} threads", facts)
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
