"""The processes of a deployment, each started from its command and at the mercy of a test."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from tests.servers import dies_with_parent

#: A Celery process imports for seconds on a small busy machine.
STARTS_WITHIN_S = 120.0
#: A process that was asked to end and has not is ended after this.
ENDS_WITHIN_S = 15.0
#: So much of a log is told of who has ended by itself, characters.
_LAST_WORDS = 3000


class Processes:
    """Processes by name. Each has a process group and a log of its own; all of them end with the block."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        """Work in `folder`; `environment` comes on top of this process's own."""
        self.folder = folder
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": programs, **environment}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._ended: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(*self._running)

    def start(self, name: str, argv: list[str] | str) -> None:
        """Start a command as a platform does: words, or a line for the shell."""
        words = ["sh", "-c", f"exec {argv}"] if isinstance(argv, str) else argv
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                words,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=dies_with_parent(),
            )

    def pid(self, name: str) -> int:
        """Return the process that a command became."""
        return self._running[name].pid

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process and its children."""
        os.killpg(self.pid(name), number)

    def kill(self, *names: str) -> None:
        """End processes and their children, as a machine that loses its power does."""
        for name in names:
            process = self._running.pop(name)
            if process.poll() is not None:
                self._ended.append(name)
            # The group, and so the children first: one that outlives its parent would finish its page.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def stop(self, name: str) -> int:
        """Ask a process to end; return its exit status."""
        process = self._running[name]
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDS_WITHIN_S)
        self.kill(name)
        self._ended = [each for each in self._ended if each != name]  # it was asked to
        return process.returncode

    def children(self, name: str) -> list[int]:
        """Return the children of a process: the pool of a worker."""
        parent = self.pid(name)
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    def ended(self) -> list[str]:
        """Return the names of those that have ended by themselves."""
        return [*self._ended, *(name for name, process in self._running.items() if process.poll() is not None)]

    def last_words(self, name: str) -> str:
        """Return the end of a process's log."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-_LAST_WORDS:]

    def logged(self, text: str) -> int:
        """Return how often a text stands in the logs."""
        return sum(path.read_text(errors="replace").count(text) for path in self.folder.glob("*.log"))


def until(what: str, true: Callable[[], bool], within_s: float = STARTS_WITHIN_S) -> float:
    """Wait until something is true; return how long that took. Raises AssertionError when it takes too long."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began


def gone(pid: int) -> bool:
    """Say whether a process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
