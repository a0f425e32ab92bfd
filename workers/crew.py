"""Several Celery workers from one start.

What a worker imports costs nearly half a second of CPU. Here it is imported once, and each worker is a fork: the second
one is ready with the first, and one that dies is back at once. `summoned` starts the importing before anything else
is known; what is to be done comes as orders, one JSON document, the first line on stdin. Each further line asks for
a kind, and the first worker sees to it as soon as it can (`tasks.ahead`). Says on stdout, a line each, which worker died.
"""

import contextlib
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, BinaryIO

from workers.processes import VAR, Child, die_with_parent, exit_reason

#: What Celery imports on the way to a worker's first task, and our tasks.
AHEAD = (
    "celery.apps.worker",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "config.transport",
    "config.settings",
    "tasks",
    "tasks.ahead",
)
#: The worker that is told what is asked for.
FIRST = 1
#: Longest wait before a dead worker is started again.
MAX_BACKOFF_S = 30.0
#: A worker that lived this long has recovered: its next death counts as the first.
RECOVERED_AFTER_S = 60.0
LOGS = VAR / "log"
#: glibc gives each thread a heap of its own, which keeps what its largest pages have taken: with many threads memory
#: creeps up for hours. Threads that share the interpreter's lock can share two heaps.
ARENAS = "2"


@contextlib.contextmanager
def summoned() -> Iterator[Child]:
    """Start importing; the child gets its orders later (`Child.order`). It ends with the block at the latest."""
    child = Child(
        "workers",
        # -P: the working directory may hold a `config` or `tasks` of its own.
        [sys.executable, "-P", "-m", "workers.crew"],
        {"MALLOC_ARENA_MAX": ARENAS} | dict(os.environ),
        LOGS / "workers.log",
        listen=True,
        takes_orders=True,
    )
    child.start()
    try:
        yield child
    finally:
        child.kill_group()


def orders(count: int, worker: Mapping[str, object]) -> bytes:
    """Return what makes a crew of so many workers, in this process's environment.

    worker: options of `celery.apps.worker.Worker`; `hostname` is what names begin with.
    """
    return json.dumps({"environ": dict(os.environ), "count": count, "worker": dict(worker)}).encode() + b"\n"


class Crew:
    """Worker processes by number, from 1."""

    def __init__(self, worker: Mapping[str, Any]) -> None:
        self._worker = worker
        self._numbers: dict[int, int] = {}
        self._deaths: dict[int, int] = {}
        self._born: dict[int, float] = {}
        self._stopping = False

    def run(self, count: int) -> None:
        """Keep `count` workers alive until asked to end."""
        for asked in (signal.SIGTERM, signal.SIGINT):
            signal.signal(asked, self._stop)
        for number in range(1, count + 1):
            self._fork(number)
        while self._numbers:
            pid, status = os.wait()
            number = self._numbers.pop(pid)
            if not self._stopping:
                self._again(number, os.waitstatus_to_exitcode(status))

    def _stop(self, *_: int | FrameType | None) -> None:
        self._stopping = True
        for pid in self._numbers:
            os.kill(pid, signal.SIGTERM)

    def _again(self, number: int, status: int) -> None:
        lived_s = time.monotonic() - self._born[number]
        self._deaths[number] = 1 if lived_s > RECOVERED_AFTER_S else self._deaths.get(number, 0) + 1
        pause = min(MAX_BACKOFF_S, 0.25 * 2 ** (self._deaths[number] - 1))
        print(f"worker-{number} died ({exit_reason(status)}); starting it again in {pause:.1f} s", flush=True)
        time.sleep(pause)
        if not self._stopping:
            self._fork(number)

    def _fork(self, number: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._numbers[pid], self._born[number] = number, time.monotonic()
            if self._stopping:
                os.kill(pid, signal.SIGTERM)
            return
        for handled in (signal.SIGTERM, signal.SIGINT):
            signal.signal(handled, signal.SIG_DFL)
        if number != FIRST:  # it alone reads on
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        die_with_parent(parent, signal.SIGKILL)()
        log_to(f"worker-{number}")
        os.dup2(2, 1)
        os._exit(self._work(number))

    def _work(self, number: int) -> int:
        """Be a worker until asked to end; return the exit status."""
        from celery import signals  # noqa: PLC0415 - imported ahead of the fork
        from celery.utils.nodenames import gethostname, nodename  # noqa: PLC0415

        from tasks import ahead  # noqa: PLC0415
        from workers.app import app  # noqa: PLC0415

        # With the pid: one that replaces a dead worker is another one to Flower, and to whoever counts workers.
        hostname = nodename(f"{self._worker['hostname']}{number}-{os.getpid()}", gethostname())
        # Not `app.worker_main`: its command line imports a shell, Flower and what else has commands, for 0.2 s.
        worker = app.Worker(**{**self._worker, "hostname": hostname})
        if number == FIRST:
            listening = threading.Event()
            signals.worker_ready.connect(lambda **_: listening.set(), weak=False)
            threading.Thread(target=ahead.serve, args=(_stdin(), listening), name="ahead", daemon=True).start()
        try:
            worker.start()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else 1
        return int(worker.exitcode or 0)


def _stdin() -> BinaryIO:
    """Return stdin, of which no more is read than is asked for: what follows may be for another process."""
    return open(0, "rb", buffering=0, closefd=False)


def log_to(name: str) -> None:
    """Let what goes to stderr go to a log file."""
    log = os.open(LOGS / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 2)
    os.close(log)


def main() -> None:
    """Import, hear what is to be done, fork, watch."""
    gc.disable()
    for module in AHEAD:
        importlib.import_module(module)
    _open_ahead()
    line = _stdin().readline()
    if not line:
        return  # the one who summoned us has come to another end
    LOGS.mkdir(parents=True, exist_ok=True)
    log_to("workers")
    heard = json.loads(line)
    os.environ.update(heard["environ"])
    importlib.import_module("workers.app")
    # What is imported stays: the collector of no worker looks at it again, and its pages stay shared. Before the
    # collector is at work: its first look would be at all of it.
    gc.freeze()
    gc.enable()
    Crew(heard["worker"]).run(heard["count"])


def _open_ahead() -> None:
    """Import the driver of the database, too."""
    from config.settings import load  # noqa: PLC0415 - after the rest
    from humansync.errors import HumansyncError  # noqa: PLC0415
    from humansync.store import make_engine  # noqa: PLC0415

    # With wrong settings there will be no orders: who summoned us tells the user.
    with contextlib.suppress(HumansyncError):
        make_engine(load().database_url).dispose()


if __name__ == "__main__":
    main()
