"""Several Celery workers from one start: `python -m workers.crew COUNT NAME LOGS ARGUMENT…`.

What a worker imports costs over a second of CPU. Here it is imported once, and each worker is a fork: the second one
is ready with the first, and one that dies is back at once. Says on stdout, a line each, which worker died.
"""

import gc
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from workers.processes import die_with_parent, exit_reason

#: What Celery imports on the way to a worker's first task.
AHEAD = ("workers.app", "celery.apps.worker", "celery.concurrency.thread", "celery.bin.celery", "kombu.transport.redis")
#: Longest wait before a dead worker is started again.
MAX_BACKOFF_S = 30.0
#: A worker that lived this long has recovered: its next death counts as the first.
RECOVERED_AFTER_S = 60.0


class Crew:
    """Worker processes by number, from 1."""

    def __init__(self, name: str, logs: Path, arguments: Sequence[str]) -> None:
        self._name, self._logs, self._arguments = name, logs, arguments
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
        die_with_parent(parent, signal.SIGKILL)()
        log = os.open(self._logs / f"worker-{number}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os._exit(_work([*self._arguments, "--hostname", f"{self._name}{number}-{os.getpid()}@%h"]))


def _work(arguments: list[str]) -> int:
    """Be a worker until asked to end; return the exit status."""
    from workers.app import app  # noqa: PLC0415 - imported ahead of the fork

    work: Callable[[list[str]], object] = app.worker_main  # returns after a shutdown, whatever its stub says
    try:
        work(["worker", *arguments])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def main(argv: Sequence[str]) -> None:
    """Import, fork, watch."""
    count, name, logs, *arguments = argv
    gc.disable()
    for module in AHEAD:
        importlib.import_module(module)
    gc.enable()
    # What is imported stays: the collector of no worker looks at it again, and its pages stay shared.
    gc.freeze()
    Crew(name, Path(logs), arguments).run(int(count))


if __name__ == "__main__":
    main(sys.argv[1:])
