"""Second runs: nothing has changed, or little of much."""

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.compare import Measured, Scene, once, say
from benchmarks.deployment import Deployment, procfile_workers
from benchmarks.parts.options import Options
from benchmarks.rivals import RIVALS
from benchmarks.stand import Simulator, Stand
from humansync.kinds import KINDS

CHANGED = 100
#: A pass within the same second as the one before owes nothing, and asks the API nothing.
APART_S = 1.1


def nothing_new(stand: Stand, options: Options) -> Iterator[Scene]:
    """All 16 kinds a second time: as whole commands, and on a deployment that stands by."""
    for records in options.sizes(1_000):
        facts = {"records": records * len(KINDS), "kinds": len(KINDS), "database": "PostgreSQL"}
        with Simulator(records, 30.0, kinds=tuple(KINDS)) as simulator:
            scene = Scene("again", f"nothing new, 16 kinds x {records:,} records known", facts)
            yield _again(stand, simulator, options, scene)
            scene = Scene("standing", "nothing new, 16 kinds, on a standing deployment (`sync --wait`)", facts)
            yield _standing(stand, simulator, options, scene)


def _again(stand: Stand, simulator: Simulator, options: Options, scene: Scene) -> Scene:
    """Let contenders run once unmeasured, then in turn."""
    names = options.who("humansync", "dlt-merge", "dlt-arrow-merge")
    with ExitStack() as stack:
        places = {name: (stack.enter_context(stand.database()), stand.new_folder()) for name in names}
        for number in range(options.times(3) + 1):
            for name in names:
                url, folder = places[name]
                measured = once(
                    stand, simulator, RIVALS[name], simulator.job(redis_url=stand.redis.url).on(url), folder
                )
                if number:
                    scene.runs.setdefault(name, []).append(measured)
                    say(name, measured)
    return scene


def _standing(stand: Stand, simulator: Simulator, options: Options, scene: Scene) -> Scene:
    with stand.database() as url:
        job = simulator.job(redis_url=stand.redis.url).on(url)
        with Deployment(stand, job, procfile_workers()) as deployment:
            deployment.sync(simulator)
            for _ in range(options.times(5)):
                time.sleep(APART_S)
                measured = deployment.sync(simulator)
                scene.runs.setdefault("humansync", []).append(measured)
                say("sync --wait", measured)
    return scene


def changes(stand: Stand, options: Options) -> Iterator[Scene]:
    """A hundred records of a million have changed: a run brings these and not the others."""
    for records in options.sizes(1_000_000):
        facts = {"records": records, "changed": CHANGED, "kinds": 1, "database": "PostgreSQL"}
        with Simulator(records, 60.0) as simulator, stand.database() as url:
            folder, runs = stand.new_folder(), []
            # changes are to be seen at once, not after the settle delay
            job = simulator.job(redis_url=stand.redis.url, settle_s=0).on(url)
            say("first load", once(stand, simulator, RIVALS["humansync"], job, folder))
            for _ in range(options.times(3)):
                simulator.control(do=[{"act": "change", "kind": "activities", "n": min(CHANGED, records)}])
                rows = int(simulator.stats()["rows"])
                measured = once(stand, simulator, RIVALS["humansync"], job, folder)
                measured.records = int(simulator.stats()["rows"]) - rows
                runs.append(measured)
                say("humansync", measured)
            yield Scene(
                "changes", f"{CHANGED} of {records:,} records changed", facts, {"humansync": runs}, _figures(runs)
            )


def _figures(runs: list[Measured]) -> dict[str, float]:
    return {
        "requests a run": statistics.median(run.requests for run in runs),
        "records read a run": statistics.median(run.records for run in runs),
    }
