"""The process that asks the workers on behalf of `sync --wait`."""

import json
import os
import signal
import subprocess
import sys

import pytest
import redis

from config.queues import Queue
from humansync.errors import StateUnavailable
from tests.processes import gone, until
from workers.messenger import summoned


def messengers(parent: int) -> list[int]:
    """Return the pids of a process's own."""
    listing = ["ps", "--ppid", str(parent), "-o", "pid=,args="]
    listed = subprocess.run(listing, stdout=subprocess.PIPE, text=True, check=False).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "workers.messenger" in line]


def test_what_is_asked_for_waits_in_the_queue(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with summoned() as messenger:
        monkeypatch.setenv("REDIS_URL", redis_url)  # `up` may have been found only now
        messenger.ask("meals")
        messenger.ask("sleeps", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    with redis.Redis.from_url(redis_url) as client:
        waiting = [json.loads(message) for message in client.lrange(Queue.LIVE.value, 0, -1)]
    assert [message["headers"]["task"] for message in waiting] == ["sync.kind"] * 2
    assert {message["headers"]["argsrepr"] for message in waiting} == {"['meals']", "['sleeps']"}
    assert messengers(os.getpid()) == []


def test_a_redis_that_does_not_answer_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    with (
        summoned() as messenger,
        pytest.raises(StateUnavailable, match="cannot be reached: start it, or set REDIS_URL") as caught,
    ):
        messenger.ask("meals")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("asked_before", [False, True])
def test_one_that_has_died_is_no_success(asked_before: bool, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    with summoned() as messenger:
        if asked_before:
            messenger.ask("meals")
        (pid,) = messengers(os.getpid())
        os.kill(pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(StateUnavailable, match="come to an end"):
                messenger.ask("meals")


def test_it_outlives_no_command_that_was_killed() -> None:
    code = "import time\nfrom workers.messenger import summoned\nwith summoned():\n print(flush=True)\n time.sleep(60)"
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        command.stdout.readline()
        (pid,) = messengers(command.pid)
        command.kill()
    until("it has ended", lambda: gone(pid))
