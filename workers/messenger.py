"""A process beside `sync --wait` that asks the workers on its behalf.

Half of what that command imports is needed for asking alone (Celery, Kombu, redis-py). Here it is imported while the
command itself imports the rest and looks at the ledger. A line of JSON on stdin is one request, a line on stdout its
answer: null, or why it could not be sent. The process ends with its stdin.
"""

import contextlib
import importlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import BinaryIO

from humansync.errors import HumansyncError, StateUnavailable

#: What Celery imports on the way to its first message.
AHEAD = ("workers.broker", "celery.app.amqp", "kombu.transport.redis")


class Messenger:
    """The command's end of the line."""

    def __init__(self, line: socket.socket, answers: BinaryIO) -> None:
        self._line = line
        self._answers = answers
        self._told = False

    def ask(self, kind: str, since: str | None = None, before: str | None = None) -> None:
        """Do what `broker.ask` does, by the other process. Raises StateUnavailable."""
        try:
            if not self._told:  # only now is it known which Redis is meant
                self._send(dict(os.environ))
                self._told = True
            self._send([kind, since, before])
            answer = self._answers.readline()
        except OSError:
            answer = b""
        if not answer:
            raise StateUnavailable("the process that asks the workers has come to an end: try again")
        if (failed := json.loads(answer)) is not None:
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
            process.kill()  # what it was asked, it has answered
            process.wait()


def main() -> None:
    """Import, hear where Redis is, and ask for what is asked for."""
    for module in AHEAD:
        importlib.import_module(module)
    from workers import broker  # noqa: PLC0415 -- after what it stands on

    environ = sys.stdin.readline()
    if not environ:
        return  # the command has come to another end
    os.environ.update(json.loads(environ))
    for line in sys.stdin:
        try:
            broker.ask(*json.loads(line))
        except HumansyncError as error:
            print(json.dumps(str(error)), flush=True)
        else:
            print("null", flush=True)


if __name__ == "__main__":
    main()
