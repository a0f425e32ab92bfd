"""What a command costs: seconds, CPU seconds of everything it started, peak memory, and what the servers spent on it."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

#: how often memory is looked at; a look costs well below a millisecond
LOOK_EVERY_S = 0.1
MOST_S = 900.0

_TICKS = os.sysconf("SC_CLK_TCK")
_PR_SET_CHILD_SUBREAPER = 36
_PROC = Path("/proc")
#: what a process is called, by a part of its command line
_NAMES = (
    ("redis_guard", "redis guard"),
    ("workers.crew", "worker"),
    ("workers.messenger", "messenger"),
    ("celery", "worker"),
    ("workers.cli", "command"),
    ("valkey", "redis"),
    ("redis-server", "redis"),
    ("contenders", "contender"),
)


@dataclass(slots=True)
class Cost:
    """What one command, or one span of time, has cost."""

    seconds: float
    status: int = 0
    #: user and system time of the contender's own processes
    cpu_s: float = 0.0
    #: the most that all of its processes held at one look, in MiB (shared pages count in each)
    peak_mib: float = 0.0
    #: the most that each held at any time, in MiB, largest first: [name, MiB]
    processes: list[tuple[str, float]] = field(default_factory=list)
    output: str = ""


def adopt_orphans() -> None:
    """Become the parent of whatever a contender leaves behind, so that its CPU time is counted and it can be ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Watch:
    """Looks at a family of processes while it works. Linux only; elsewhere it sees nothing."""

    def __init__(self, roots: Iterable[int], servers: Iterable[int] = ()) -> None:
        """`roots`: the family's eldest. `servers`: other children of this process, which are not of the family."""
        self._strangers = {*servers, os.getpid()}
        self._family = set(roots)
        self._orphanage = os.getpid()
        self._seen: set[int] = set(_pids()) - self._family
        self._peaks: dict[int, tuple[str, float]] = {}
        self._cpu: dict[int, float] = {}
        self.peak_mib = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            self.look()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def look(self) -> None:
        """Find new members, and note what each holds and has spent."""
        self._find()
        together = 0.0
        for pid in self._family:
            with suppress(OSError):
                status = (_PROC / str(pid) / "status").read_text()
                resident, peak = _kib(status, "VmRSS:") / 1024, _kib(status, "VmHWM:") / 1024
                together += resident
                if peak:
                    self._peaks[pid] = (_name(pid), peak)
                self._cpu[pid] = cpu_of(pid)
        self.peak_mib = max(self.peak_mib, together)

    @property
    def cpu_s(self) -> float:
        """CPU seconds seen so far."""
        return sum(self._cpu.values())

    @property
    def processes(self) -> list[tuple[str, float]]:
        """Name and peak memory of every process, largest first."""
        return sorted(((name, round(peak, 1)) for name, peak in self._peaks.values()), key=lambda each: -each[1])

    def members(self) -> list[int]:
        """Return who lives now."""
        self._find()
        return [pid for pid in self._family if (_PROC / str(pid)).exists()]

    def _find(self) -> None:
        fresh = _pids() - self._seen
        for pid in sorted(fresh):
            parent = _parent(pid)
            orphan = parent == self._orphanage and pid not in self._strangers
            if parent in self._family or orphan:
                self._family.add(pid)
            self._seen.add(pid)


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    servers: Callable[[], Iterable[int]] = tuple,
    most_s: float = MOST_S,
) -> Cost:
    """Run a command to its end, and whatever it has left behind, and return what it cost."""
    before = _reaped()
    log = cwd / "stderr.log"
    began = time.perf_counter()
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            argv, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr
        )
    watch = Watch([process.pid], servers())
    try:
        output, _ = process.communicate(timeout=most_s)
    finally:
        seconds = time.perf_counter() - began
        if process.poll() is None:
            process.kill()
        watch.stop()
        end(watch.members())
    cpu_s = _reaped() - before
    return Cost(seconds, process.returncode, cpu_s, watch.peak_mib, watch.processes, output.decode())


def end(pids: Iterable[int]) -> None:
    """Kill what is left of a family, and wait for those that are our children."""
    left = list(pids)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for pid in left:
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)


def cpu_of(pid: int, *, reaped: bool = False) -> float:
    """Return the CPU seconds of a process; `reaped`: and of its children that are over."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11 : 15 if reaped else 13])) / _TICKS


def family_cpu(root: int) -> float:
    """Return the CPU seconds of a server: its own, those of its children, and of the children that are over."""
    return cpu_of(root, reaped=True) + sum(cpu_of(pid) for pid in children(root))


def children(root: int) -> list[int]:
    """Return the processes that a process has started and that live."""
    return [pid for pid in _pids() if _parent(pid) == root]


def _reaped() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _pids() -> set[int]:
    return {int(name) for name in os.listdir(_PROC) if name.isdigit()} if _PROC.exists() else set()  # noqa: PTH208 - names will do


def _parent(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _kib(status: str, name: str) -> int:
    _, _, rest = status.partition(name)
    return int(rest.split(None, 1)[0]) if rest else 0


def _name(pid: int) -> str:
    """Return what a process is, from its command line."""
    try:
        words = (_PROC / str(pid) / "cmdline").read_text().split("\0")
    except OSError:
        return "?"
    line = " ".join(words)
    known = (name for mark, name in _NAMES if mark in line)
    return next(known, Path(words[0]).name or "?")
