"""The process that asks the workers on behalf of `sync --wait`."""

import base64
import json
import os
import signal
import subprocess
import sys
from functools import cache

import pytest
import redis

from config.queues import Queue
from humansync.errors import ConfigError, StateUnavailable
from tests.processes import gone, until
from workers import broker
from workers.messenger import summoned


@pytest.fixture(autouse=True)
def _no_app(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test meet the Redis of another."""
    monkeypatch.setattr(broker, "_app", cache(broker._app.__wrapped__))


def messengers(parent: int) -> list[int]:
    """Return the pids of a process's own."""
    listing = ["ps", "-ww", "--ppid", str(parent), "-o", "pid=,args="]
    listed = subprocess.run(listing, stdout=subprocess.PIPE, text=True, check=False).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if "workers.messenger" in line]


def asked_for(redis_url: str) -> list[tuple[str, tuple[str | None, str | None]]]:
    """Return which kinds workers are asked for, and with what bounds, the first first."""
    with redis.Redis.from_url(redis_url) as client:
        messages = [json.loads(message) for message in client.lrange(Queue.LIVE.value, 0, -1)]
    assert {message["headers"]["task"] for message in messages} == {"sync.kind"}
    found = []
    for message in reversed(messages):
        (kind,), bounds, _ = json.loads(base64.b64decode(message["body"]))
        found.append((kind, (bounds["since"], bounds["before"])))
    return found


def test_what_is_asked_for_waits_in_the_queue(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bounds = ("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    with summoned() as messenger:
        monkeypatch.setenv("REDIS_URL", redis_url)  # `up` may have been found only now
        messenger.prepare()
        messenger.ask("meals")
        messenger.ask("sleeps", *bounds)
    assert asked_for(redis_url) == [("meals", (None, None)), ("sleeps", bounds)]
    assert messengers(os.getpid()) == []


def test_a_redis_that_does_not_answer_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@127.0.0.1:1/0")
    with summoned() as messenger:
        messenger.prepare()
        with pytest.raises(StateUnavailable, match="cannot be reached: start it, or set REDIS_URL") as caught:
            messenger.ask("meals")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("asked_before", [False, True])
def test_what_it_dies_of_loses_no_request(asked_before: bool, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    with summoned() as messenger:
        if asked_before:
            messenger.prepare()
            messenger.ask("meals")
        (pid,) = messengers(os.getpid())
        os.kill(pid, signal.SIGKILL)
        messenger.prepare()
        for _ in range(2):
            messenger.ask("sleeps")
    assert [(kind, bounds) for kind, bounds in asked_for(redis_url) if kind == "sleeps"] == [
        ("sleeps", (None, None))
    ] * 2


def test_what_a_user_has_to_know_is_no_matter_of_which_process_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "gopher://nowhere")
    with summoned() as messenger:
        messenger.prepare()
        with pytest.raises(ConfigError, match="REDIS_URL"):
            messenger.ask("meals")


@pytest.mark.parametrize(
    ("module", "foreign"),
    [
        ("operate, broker", "sqlalchemy"),
        ("operate, one_pass, progress", "celery kombu redis"),
        ("messenger", "sqlalchemy celery"),
    ],
)
def test_each_process_imports_its_own_half(module: str, foreign: str) -> None:
    code = f"import sys\nfrom workers import {module}\nassert not set({foreign.split()!r}) & set(sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)


def test_it_outlives_no_command_that_was_killed() -> None:
    code = "import time\nfrom workers.messenger import summoned\nwith summoned():\n print(flush=True)\n time.sleep(60)"
    with subprocess.Popen([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        command.stdout.readline()
        (pid,) = messengers(command.pid)
        command.kill()
    until("it has ended", lambda: gone(pid))


def test_who_prepares_does_not_wait_for_a_redis_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks afterwards tries again."""
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr("kombu.utils.functional.sleep", pytest.fail)
    with pytest.raises(StateUnavailable):
        broker.prepare()
