"""Runs the embedded Redis until nobody in its folder uses it: `python -m workers.redis_guard BINARY FOLDER SOCKET DURABLE`.

Users hold a shared lock on `users.lock`; the kernel drops it however they end, kill -9 included. When this process
gets the exclusive lock nobody is left, and Redis stops. It belongs to no user: the first may leave, the others stay.
Standard library only, because everything waits for Redis.
"""

import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

from workers.processes import die_with_parent

#: how often the guard looks whether anybody is left
LOOK_EVERY_S = 0.2
#: how long Redis may take to flush its file
STOP_WITHIN_S = 10.0


def server_argv(binary: str, folder: Path, socket: Path, *, durable: bool) -> list[str]:
    """Return the command line of a server that only this user's processes reach, and that never evicts a message."""
    options = {
        "--port": "0",
        "--unixsocket": str(socket),
        "--unixsocketperm": "700",
        "--dir": str(folder),
        "--save": "",
        "--appendonly": "yes" if durable else "no",
        "--maxmemory-policy": "noeviction",
        "--databases": "1",
        # Messages are much alike: a long queue takes a sixth of its memory, in nodes of 16 KB (MEMORY USAGE of 2,200: 2.68
        # and 0.43 MB). The name is that of Redis 6.2; later ones and Valkey know it, too.
        "--list-compress-depth": "1",
        "--list-max-ziplist-size": "-3",
    }
    return [binary, *(word for option in options.items() for word in option)]


def try_lock(handle: int) -> bool:
    """Take the exclusive lock if nobody holds the file in any way."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server, more than asked once: while it writes its first append-only file it refuses."""
    deadline = time.monotonic() + STOP_WITHIN_S
    while time.monotonic() < deadline:
        server.terminate()
        try:
            server.wait(LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
        return
    server.kill()


def guard(binary: str, folder: Path, socket: Path, *, durable: bool) -> int:
    """Run the server until it ends or its last user has left; return the exit status."""
    guards = os.open(folder / "guard.lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not try_lock(guards):
        return 0  # another guard is here: whoever started us finds its Redis
    users = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
    lives, held = os.pipe()
    server = subprocess.Popen(  # noqa: S603 -- the binary that `find_binary` found
        server_argv(binary, folder, socket, durable=durable),
        stdin=subprocess.DEVNULL,
        pass_fds=(held,),
        preexec_fn=die_with_parent(os.getpid(), signal.SIGTERM),  # noqa: PLW1509 -- there is one thread
    )
    os.close(held)
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    while not try_lock(users):
        # The pipe ends with the server, or with a process that it has forked. Whoever has ended it waits for us, and
        # `server.wait` looks only now and then.
        if select.select([lives], [], [], LOOK_EVERY_S)[0] or server.poll() is not None:
            return 0 if server.wait() == 0 else 1
    stop(server)
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # Not `sys.exit`: Python's own end takes time, and the lock is held until then.
    os._exit(guard(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), durable=sys.argv[4] == "yes"))
