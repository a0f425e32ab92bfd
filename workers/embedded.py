"""A whole deployment on this machine: a real Redis, worker processes, and the simulator when no credentials are set."""

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from config.settings import Settings, load
from workers import crew, dataset, terminated
from workers.processes import VAR, Child, ChildFailed, Children, last_line
from workers.redis_server import EmbeddedRedis, in_use
from workers.tables import database

#: two processes keep both cores of a small machine busy; each waits for the API with several threads
WORKERS = 2
THREADS = 8
#: deaths in a row of one process after which `run` gives up
MOST_DEATHS = 5
#: an idle worker ends in a fraction of this; one in the middle of a page may finish it
GRACE_S = 5.0
#: the embedded Redis is looked after this often
LOOK_EVERY_S = 1.0
#: how long the simulator may take to make its data
SIMULATOR_WITHIN_S = 60.0
#: days of history that the simulator has unless told otherwise
SIMULATOR_DAYS = 90


def free_port(first: int = 0) -> int:
    """Return a free loopback port: the first free one from `first` on, any when it is 0."""
    for port in range(first, first + 50) if first else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ChildFailed(f"no port from {first} to {first + 49} is free on 127.0.0.1")


def celery(*arguments: str) -> list[str]:
    """Return the command line of a Celery process of ours."""
    # -P: the working directory may hold a `config` or `tasks` of its own.
    return [sys.executable, "-P", "-m", "celery", "-A", "workers.app", *arguments]


class Embedded:
    """Starts on entry, and stops on exit whatever it has started."""

    def __init__(
        self, settings: Settings, workers: Child, *, lasting: bool, say: Callable[[str], None], days: int = 0
    ) -> None:
        """Decide; nothing is started yet.

        workers: a crew without orders. days: how far back the simulator's history must reach at least.
        """
        #: tells the user what happens
        self.say = say
        self._lasting = lasting
        self._days = days
        self._settings = settings
        self._workers = workers
        self.simulated = not settings.has_credentials
        self.children = Children()
        self.redis: EmbeddedRedis | None = None
        self.api_url = settings.base_url
        self._told: set[str] = set()
        self._looked_at = 0.0
        self._finished = False
        self._most_deaths = None if lasting else MOST_DEATHS

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def settings(self) -> Settings:
        """The settings as every process of this deployment reads them."""
        return self._settings

    @property
    def logs(self) -> Path:
        """Where the processes write."""
        return crew.LOGS

    def _start(self) -> None:
        folder = VAR / "redis"
        moved = dataset.keep_apart(self._settings, simulated=self.simulated, in_use=in_use(folder), say=self.say)
        if self._settings.has_redis is False:
            if moved:  # the queue and the cursors belong to what was moved
                shutil.rmtree(folder / "appendonlydir", ignore_errors=True)
            self.redis = EmbeddedRedis(folder, self.logs / "redis.log", durable=self._lasting)
            self.redis.join(wait=False)
            os.environ["REDIS_URL"] = self.redis.url
        if self.simulated:
            self._start_simulator()
        self._settings = load()
        threads = self._settings.concurrency or THREADS
        self.say(
            f"Starting {WORKERS} workers with {threads} threads each"
            f"{' and Redis' if self.redis is not None else ''}; database: {database(self._settings.database_url)}"
        )
        worker = {
            "hostname": "embedded",
            "pool_cls": "threads",
            "concurrency": threads,
            "queues": "live,backfill",
            "without_mingle": True,
            "without_gossip": True,
            "task_events": self._lasting,
        }
        self._workers.most_deaths = self._most_deaths
        self._workers.order(crew.orders(WORKERS, worker))
        self.children.start(self._workers)

    def ready(self) -> None:
        """Return when Redis and the API answer; workers wait for themselves. What is slow may come before this."""
        if self.redis is not None:
            self.redis.wait()
        if self.simulated:
            self._await_simulator()

    def ask(self, kind: str, since: str | None = None, before: str | None = None) -> None:
        """Ask for a planner pass over a kind, as `broker.ask` does. Raises StateUnavailable.

        The first time of the worker that need not listen to its queues yet, where Redis is ours and known to be there.
        Whatever is asked later, mostly for want of an answer, goes by the queue, which every worker serves.
        """
        if self.redis is not None and kind not in self._told:
            self._told.add(kind)
            if self._workers.tell(json.dumps([kind, since, before]).encode() + b"\n"):
                return
        from workers import broker  # noqa: PLC0415 -- slow to import, and mostly not needed

        broker.ask(kind, since, before)

    def start(self, name: str, argv: list[str]) -> Child:
        """Start a process that is kept alive as long as this deployment; its output goes to `var/log/<name>.log`."""
        child = Child(name, argv, dict(os.environ), self.logs / f"{name}.log", most_deaths=self._most_deaths)
        self.children.start(child)
        return child

    def _start_simulator(self) -> None:
        # The port is chosen here so that the workers, which start slowly, need not wait for the simulator.
        port = free_port()
        self.api_url = f"http://127.0.0.1:{port}/v1"
        os.environ |= {
            "HUMANAPI_BASE_URL": self.api_url,
            "HUMANAPI_CLIENT_ID": "simulator",
            "HUMANAPI_APP_KEY": "simulator",
        }
        if "rate" not in self._settings.given:  # the default is there to be kind to the real API
            os.environ["HUMANSYNC_RATE"] = "0"
        self.say(f"No credentials are set: the bundled API simulator stands in, on {self.api_url}")
        history = ["--days", str(self._days)] if self._days > SIMULATOR_DAYS else []
        self.start("simulator", [sys.executable, "-P", "-m", "humansync.simulator", "--port", str(port), *history])

    def _await_simulator(self) -> None:
        deadline = time.monotonic() + SIMULATOR_WITHIN_S
        port = int(self.api_url.rpartition(":")[2].partition("/")[0])
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            terminated.mind()
            self.children.tend()
            time.sleep(0.02)
        log = self.logs / "simulator.log"
        raise ChildFailed(f"the simulator does not start; {log} ends with: {last_line(log)}")

    def tend(self) -> None:
        """Start again what has died, and say so. Raises ChildFailed when it will not live, and what a signal asks for."""
        terminated.mind()
        for event in self.children.tend():
            self.say(event)
        if self.redis is not None and time.monotonic() - self._looked_at > LOOK_EVERY_S:
            self._looked_at = time.monotonic()
            if news := self.redis.tend():
                self.say(news)

    def finished(self) -> None:
        """Note that all work is done: nobody need be given time to finish any."""
        self._finished = True

    def stop(self) -> None:
        """Stop everything of ours. Safe to call twice."""
        grace_s = GRACE_S
        try:
            # Workers that share their Redis may have something of others in hand.
            if self._finished and self.redis is not None and self.redis.alone():
                grace_s = 0.0
        finally:
            try:
                self.children.stop(grace_s)
            finally:
                if self.redis is not None:
                    self.redis.leave()
