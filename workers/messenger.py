"""A process beside `sync --wait` that asks the workers on its behalf.

Half of what that command imports is needed for asking alone (Celery, Kombu, redis-py). Here it is imported while the
command itself imports the rest and looks at the ledger. The first line on stdin is the environment; each further one is
a request, and a line on stdout its answer: null, or why it could not be sent. All are JSON. The process ends with its
stdin.
"""

import contextlib
import gc
import importlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import BinaryIO

from humansync.errors import HumansyncError, StateUnavailable

#: What Celery would import on the way to its first message.
AHEAD = ("celery.loaders.app", "celery.app.amqp", "celery.app.events", "kombu.transport.redis")


class Messenger:
    """The command's end of the line."""

    def __init__(self, line: socket.socket, answers: BinaryIO) -> None:
        self._line = line
        self._answers = answers

    def prepare(self) -> None:
        """Say which Redis is meant, by this process's environment: once, and before anything is asked."""
        with contextlib.suppress(OSError):  # it has died: see below
            self._send(dict(os.environ))

    def ask(self, kind: str, since: str | None = None, before: str | None = None) -> None:
        """Do what `broker.ask` does, by the other process while there is one. Raises StateUnavailable."""
        try:
            self._send([kind, since, before])
            answer = self._answers.readline()
        except OSError:
            answer = b""
        if not answer:  # it has died, of what befalls us here as well or of nothing that does
            from workers import broker  # noqa: PLC0415 -- to spare us that it was there

            broker.ask(kind, since, before)
        elif (failed := json.loads(answer)) is not None:
            raise StateUnavailable(failed)

    def _send(self, said: object) -> None:
        self._line.sendall(json.dumps(said).encode() + b"\n")


@contextlib.contextmanager
def summoned() -> Iterator[Messenger]:
    """Start the process; it ends with the block."""
    ours, theirs = socket.socketpair()
    with ours, ours.makefile("rb") as answers:
        with theirs:
            process = subprocess.Popen(
                # -P: the working directory may hold a `config` or `tasks` of its own.
                [sys.executable, "-P", "-m", "workers.messenger"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the command
            )
        try:
            yield Messenger(ours, answers)
        finally:
            process.kill()  # it holds nothing
            process.wait()


def main() -> None:
    """Import, hear where Redis is, and ask for what is asked for."""
    gc.disable()
    for module in AHEAD:
        importlib.import_module(module)
    from workers import broker  # noqa: PLC0415 -- slow, as all of these

    gc.freeze()  # what is imported stays
    gc.enable()
    environ = sys.stdin.buffer.readline()
    if not environ:
        return  # the command has come to another end
    os.environ.update(json.loads(environ))
    with contextlib.suppress(HumansyncError):  # it will be met again by who asks
        broker.prepare()
    for line in sys.stdin.buffer:
        failed = None
        try:
            broker.ask(*json.loads(line))
        except StateUnavailable as error:  # any other the command will meet itself
            failed = str(error)
        sys.stdout.buffer.write(json.dumps(failed).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
