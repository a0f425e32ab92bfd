"""Child processes: each in a group of its own, dead when its parent dies, restarted with back-off, stopped together."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from humansync.errors import HumansyncError

#: what is kept in the working directory between runs: the database, the queue of `up`, logs
VAR = Path("var")
#: a child that lived this long has recovered: the next death counts as its first
RECOVERED_AFTER_S = 60.0
#: longest wait before a dead child is started again
MAX_BACKOFF_S = 30.0
#: a log file that has grown beyond this is set aside when a process starts
MAX_LOG_BYTES = 10 * 1024 * 1024

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ChildFailed(HumansyncError):
    """A child process ends again and again: the deployment cannot work."""


def die_with_parent(parent: int, death: signal.Signals) -> Callable[[], None]:
    """Return what a child runs before exec so that the kernel ends it when its parent's main thread ends.

    Linux only; elsewhere a parent killed with SIGKILL leaves its children behind.
    """

    def before_exec() -> None:
        if _libc is None:
            return
        _libc.prctl(_PR_SET_PDEATHSIG, death, 0, 0, 0)
        if os.getppid() != parent:  # the parent died between fork and prctl: no signal would ever come
            os.kill(os.getpid(), signal.SIGKILL)

    return before_exec


def last_line(log: Path) -> str:
    """Return the last line of a log file that says something, shortened; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1][:300] if lines else ""


def exit_reason(status: int) -> str:
    """Return how a process ended, in words."""
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


@dataclass(slots=True)
class Child:
    """One process to keep alive."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    #: what it prints is news for the user, a line each
    listen: bool = False
    #: is told on its stdin what to do
    takes_orders: bool = False
    #: sent by the kernel when the parent dies
    death: signal.Signals = signal.SIGKILL
    #: deaths in a row after which we give up; None: never
    most_deaths: int | None = None
    #: written to its stdin when it starts; None before it is known
    orders: bytes | None = field(default=None, init=False)
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    deaths: int = field(default=0, init=False)
    started_at: float = field(default=0.0, init=False)
    start_at: float = field(default=0.0, init=False)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process; its output goes to the log."""
        with self._opened_log() as log:
            self.process = subprocess.Popen(  # noqa: S603 -- argv is ours
                self.argv,
                env=dict(self.env),
                stdin=subprocess.PIPE if self.takes_orders else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self.listen else log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(os.getpid(), self.death),  # noqa: PLW1509 -- the parent has one thread
            )
        if self.process.stdout is not None:
            os.set_blocking(self.process.stdout.fileno(), False)
        self.started_at = time.monotonic()
        self._tell()
        return self.process

    def _opened_log(self) -> IO[bytes]:
        if self.takes_orders and self.orders is None:
            return Path(os.devnull).open("ab")  # nothing is made on disk before it is known that all is well
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > MAX_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        return self.log.open("ab")

    def order(self, orders: bytes) -> None:
        """Write to the process's stdin, now and whenever it starts again."""
        self.orders = orders
        self._tell()

    def _tell(self) -> None:
        if self.orders is None or self.process is None or self.process.stdin is None:
            return
        with contextlib.suppress(BrokenPipeError):  # it is dead already, and will be started again
            self.process.stdin.write(self.orders)
            self.process.stdin.flush()

    def tell(self, line: bytes) -> bool:
        """Write a line to the stdin of a process that takes orders, once; return whether there is one that may read it."""
        if self.process is None or self.process.stdin is None:
            return False
        try:
            self.process.stdin.write(line)
            self.process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def news(self) -> list[str]:
        """Return what the process has printed since the last look, line by line."""
        if self.process is None or self.process.stdout is None:
            return []
        return (self.process.stdout.read() or b"").decode(errors="replace").splitlines()

    def tend(self, now: float) -> str | None:
        """Start the process again when it is dead and its back-off is over; return what happened, if anything.

        Raises ChildFailed when it has died too often in a row.
        """
        if self.process is None:
            if now < self.start_at:
                return None
            self.start()
            return f"{self.name} was started again"
        status = self.process.poll()
        if status is None:
            return None
        self._close_pipes()
        self.deaths = 1 if now - self.started_at > RECOVERED_AFTER_S else self.deaths + 1
        if self.most_deaths is not None and self.deaths >= self.most_deaths:
            said = last_line(self.log)
            raise ChildFailed(
                f"{self.name} ended {self.deaths} times ({exit_reason(status)}); its log is {self.log}"
                + (f" and ends with: {said}" if said else "")
            )
        pause = min(MAX_BACKOFF_S, 0.25 * 2**self.deaths)
        self.start_at, self.process = now + pause, None
        return f"{self.name} died ({exit_reason(status)}); starting it again in {pause:.1f} s"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it lives."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def kill_group(self) -> None:
        """End the process and whatever it has started."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # the whole group is gone already
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self._close_pipes()

    def _close_pipes(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout) if self.process is not None else ():
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # what was not read is still to be written
                    pipe.close()


class Children:
    """The processes of one deployment."""

    def __init__(self) -> None:
        self._all: list[Child] = []

    def start(self, child: Child) -> subprocess.Popen[bytes]:
        """Start a process, if it has not been, and watch over it from now on."""
        self._all.append(child)
        return child.process or child.start()

    def tend(self) -> list[str]:
        """Start dead processes again; return what happened, one sentence each. Raises ChildFailed."""
        now = time.monotonic()
        heard = [line for child in self._all for line in child.news()]
        return heard + [event for child in self._all if (event := child.tend(now))]

    def stop(self, grace_s: float) -> None:
        """Ask every process to end, and end those that have not after `grace_s`. Safe to call twice."""
        for child in self._all:
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        try:
            for child in self._all:
                if child.process is not None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.process.wait(max(0.0, deadline - time.monotonic()))
        finally:
            for child in self._all:
                child.kill_group()
            self._all.clear()
