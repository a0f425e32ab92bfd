"""humansync as it is deployed: workers that stand by, and `humansync sync --wait` that asks them."""

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import redis

from benchmarks import meter
from benchmarks.compare import BenchmarkFailed, Measured
from benchmarks.job import Job
from benchmarks.rivals import humansync, humansync_environment
from benchmarks.stand import Simulator, Stand
from tests.deployment import procfile
from tests.servers import dies_with_parent

START_LIMIT_S = 60.0
#: where Celery's workers enter themselves when they listen
_LISTENING = "_kombu.binding.celery.pidbox"


def celery(*words: str) -> list[str]:
    """Return a Celery command of ours."""
    return [sys.executable, "-P", "-m", "celery", "-A", "workers.app", *words]


def procfile_workers() -> list[list[str]]:
    """Return the worker commands of the Procfile, as they stand."""
    return [celery(*each.words[3:]) for each in procfile() if each.words[0] == "celery" and each.role == "worker"]


def threaded_workers(processes: int, threads: int) -> list[list[str]]:
    """Return so many worker processes that serve both queues with threads."""
    words = ("worker", "--pool", "threads", "--concurrency", str(threads), "--queues", "live,backfill")
    return [celery(*words, "--hostname", f"bench{number}@%h") for number in range(1, processes + 1)]


class Deployment:
    """Workers on the stand's Redis and a database."""

    def __init__(self, stand: Stand, job: Job, commands: Sequence[Sequence[str]], **env: str) -> None:
        self.stand = stand
        self.folder = stand.new_folder()
        self.job = job
        self.env = humansync_environment(job, REDIS_URL=job.redis_url, **env)
        self._commands = commands
        self.workers: list[subprocess.Popen[bytes]] = []
        self._watch: meter.Watch | None = None

    def __enter__(self) -> Self:
        self.stand.redis.flush()
        migrated = meter.run(humansync("migrate"), env=self.env, cwd=self.folder, servers=self.stand.servers)
        if migrated.status:
            raise BenchmarkFailed(f"migrate: {migrated.output}")
        with (self.folder / "workers.log").open("ab") as log:
            self.workers = [
                subprocess.Popen(
                    command,
                    env=self.env,
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                    preexec_fn=dies_with_parent(),  # noqa: PLW1509 -- no thread is near
                )
                for command in self._commands
            ]
        self._await()
        self._watch = meter.Watch([each.pid for each in self.workers], self.stand.servers())
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.workers:
            each.terminate()
        for each in self.workers:
            with suppress(subprocess.TimeoutExpired):
                each.wait(20)
        if self._watch is not None:
            self._watch.stop()
            meter.end(self._watch.members())

    def sync(self, simulator: Simulator, *words: str) -> Measured:
        """Ask for a pass, wait until it is done, and return what it took."""
        assert self._watch is not None
        self._watch.look()
        workers, database = self._watch.cpu_s, self.stand.database_cpu_s()
        api = meter.cpu_of(simulator.process.pid) if simulator.process else 0.0
        requests = simulator.requests()
        cost = meter.run(
            humansync("sync", "--wait", "--json", *words),
            env=self.env,
            cwd=self.folder,
            servers=lambda: [*self.stand.servers(simulator), *(each.pid for each in self.workers)],
        )
        self._watch.look()
        if cost.status:
            said = (self.folder / "workers.log").read_text()[-2000:]
            raise BenchmarkFailed(f"sync ended with status {cost.status}: {cost.output[-1000:]} {said}")
        return Measured(
            round(cost.seconds, 3),
            round(cost.cpu_s + self._watch.cpu_s - workers, 3),
            round(self.stand.database_cpu_s() - database, 3),
            round((meter.cpu_of(simulator.process.pid) if simulator.process else 0.0) - api, 3),
            round(self._watch.peak_mib + cost.peak_mib, 1),
            self._watch.processes,
            simulator.requests() - requests,
            0,
        )

    def _await(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        with redis.Redis.from_url(self.stand.redis.url) as client:
            while int(client.scard(_LISTENING)) < len(self.workers):
                if time.monotonic() > deadline or any(each.poll() is not None for each in self.workers):
                    raise BenchmarkFailed(f"workers do not start: {self._log()[-2000:]}")
                time.sleep(0.05)
        time.sleep(0.5)

    def _log(self) -> str:
        return Path(self.folder / "workers.log").read_text()
