"""Everything is killed in the middle; what the next run fetches again."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg

from benchmarks import meter
from benchmarks.compare import OURS, BenchmarkFailed, Scene, once, say
from benchmarks.job import Job, tables
from benchmarks.parts.options import Options
from benchmarks.rivals import RIVALS, Rival
from benchmarks.stand import Simulator, Stand, stored

#: the share of the records that the API has sent when the crash comes
SHARE = 0.5
WAIT_S = 300.0


def crash(stand: Stand, options: Options) -> Iterator[Scene]:
    """`kill -9` of everything when half is fetched; then the same command again."""
    for records in options.sizes(200_000):
        facts = {"records": records, "kinds": 1, "database": "PostgreSQL", "killed_at": SHARE}
        scene = Scene("crash", f"{records:,} records, everything killed half-way: the second run", facts)
        with Simulator(records, 60.0) as simulator:
            for name in options.who("humansync", "dlt-merge", "celery"):
                made = tables(simulator.kinds) if RIVALS[name].tables_made else ()
                for _ in range(options.times(1)):
                    with stand.database(made) as url:
                        job = simulator.job(redis_url=stand.redis.url).on(url)
                        _crash(stand, simulator, RIVALS[name], job, scene)
        yield scene


def _crash(stand: Stand, simulator: Simulator, rival: Rival, job: Job, scene: Scene) -> None:
    folder = stand.new_folder()
    sent_first = _killed(stand, simulator, rival, job, folder)
    kept = _stored(job, rival)
    stand.redis.flush()
    before = int(simulator.stats()["rows"])
    measured = once(stand, simulator, rival, job, folder)
    measured.records = int(simulator.stats()["rows"]) - before
    if (total := _stored(job, rival)) != job.records:
        raise BenchmarkFailed(f"{rival.name} has {total} records of {job.records} after the second run")
    say(rival.name, measured)
    missing = job.records - kept
    scene.runs.setdefault(rival.name, []).append(measured)
    scene.figures |= {
        f"{rival.name}: sent before the crash": sent_first,
        f"{rival.name}: stored then": kept,
        f"{rival.name}: missing": missing,
        f"{rival.name}: fetched by the second run": measured.records,
        f"{rival.name}: fetched of what was missing": round(measured.records / max(1, missing), 3),
    }
    if rival.name == OURS:
        in_flight = max(0, sent_first - kept)
        scene.figures["again"] = round(max(0, measured.records - missing - in_flight) / max(1, missing), 3)


def _killed(stand: Stand, simulator: Simulator, rival: Rival, job: Job, folder: Path) -> int:
    """Start a contender, kill all of it half-way, and return how many records had been sent."""
    before, call = int(simulator.stats()["rows"]), rival.call(job, folder)
    sent = 0
    with (folder / "killed.log").open("ab") as log:
        process = subprocess.Popen(call.argv, env=call.env, cwd=folder, stdout=log, stderr=log)
        watch = meter.Watch([process.pid], stand.servers(simulator))
        deadline = time.monotonic() + WAIT_S
        while (sent := int(simulator.stats()["rows"]) - before) < SHARE * job.records:
            if process.poll() is not None or time.monotonic() > deadline:
                raise BenchmarkFailed(
                    f"{rival.name} did not come half-way: {(folder / 'killed.log').read_text()[-2000:]}"
                )
            time.sleep(0.005)
        # stopped first, so that none sees another die and acts on it
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in watch.members():
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        process.wait()
        watch.stop()
        meter.end(watch.members())
    sys.stderr.write(f"  {rival.name:16} killed when {sent:,} records were sent\n")
    return sent


def _stored(job: Job, rival: Rival) -> int:
    try:
        return sum(count for count, _ in stored(job.database_url, job.kinds, rival.schema).values())
    except psycopg.errors.UndefinedTable:
        return 0
