"""Every command of the Procfile and of the compose file starts for real, does its job, and ends when asked."""

import base64
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.deployment import Command, compose_commands, procfile
from tests.servers import RedisServer, dies_with_parent, free_port

pytestmark = pytest.mark.slow

#: a Celery process imports for seconds on a small busy machine
WITHIN_S = 120
#: less than any platform gives a process between TERM and KILL
ENDS_WITHIN_S = 25
PASSWORD = "someone:secret"


@pytest.fixture
def environment(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """Give the environment of a deployment whose API is away: no process may need it to start."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'humansync.db'}",
        "REDIS_URL": redis_url,
        "HUMANAPI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1",
        "HUMANAPI_CLIENT_ID": "client",
        "HUMANAPI_APP_KEY": "key",
        "HUMANSYNC_EVERY_S": "1",
        "FLOWER_BASIC_AUTH": PASSWORD,
        "PORT": str(free_port()),
        "HOSTNAME": socket.gethostname(),
    }


def commands() -> list[Command]:
    """Return every command once: a line of the Procfile that stands in the compose file too is started as from there."""
    composed = compose_commands()
    return [*composed, *(line for line in procfile() if line.words not in [command.words for command in composed])]


@pytest.fixture(params=commands(), ids=lambda command: f"{command.source}:{command.name}")
def command(request: pytest.FixtureRequest) -> Command:
    """Give one command after the other."""
    found: Command = request.param
    return found


def test_starts_does_its_job_and_ends_when_asked(command: Command, environment: dict[str, str], tmp_path: Path) -> None:
    deployed = {**command.environment, **environment}
    if command.role != "migrate":
        subprocess.run(["humansync", "migrate"], check=True, capture_output=True, env=environment, cwd=tmp_path)
    with started(here(command.argv, environment), deployed, tmp_path) as process:
        if command.role == "migrate":
            assert process.wait(WITHIN_S) == 0, output(tmp_path)
            return
        eventually(lambda: SIGNS[command.role](environment, command), process, tmp_path)
        if command.healthcheck:
            subprocess.run(here(command.healthcheck, environment), check=True, capture_output=True, env=deployed)
        process.send_signal(signal.SIGTERM)
        assert process.wait(ENDS_WITHIN_S) in (0, -signal.SIGTERM), output(tmp_path)


def test_a_beat_that_is_asked_to_end_while_it_sends_ends(environment: dict[str, str], tmp_path: Path) -> None:
    with contextlib.closing(RedisServer().start()) as server:
        environment |= {"REDIS_URL": server.url}
        beat = next(command for command in procfile() if command.role == "beat")
        with started(here(beat.argv, environment), environment, tmp_path) as process:
            eventually(lambda: beat_sends(environment, beat), process, tmp_path)
            server.pause()
            time.sleep(2.5)  # the next tick, of each second, is on its way
            process.send_signal(signal.SIGTERM)
            server.resume()
            assert process.wait(ENDS_WITHIN_S) == 0, output(tmp_path)


def here(argv: str | list[str], environment: dict[str, str]) -> list[str]:
    """Return a command as its runner executes it, with this test's port in place of the container's own."""
    if isinstance(argv, str):
        return ["sh", "-c", f"exec {argv}"]
    port = environment["PORT"]
    words = [word.replace("5555", port).replace("8080", port).replace("$$", "$") for word in argv]
    runner = {"CMD": [], "CMD-SHELL": ["sh", "-c"]}
    return [*runner[words[0]], *words[1:]] if words[0] in runner else words


@contextlib.contextmanager
def started(argv: list[str], environment: dict[str, str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Start a command in an empty folder, as a hosting platform or a container does; end it afterwards."""
    with (folder / "output").open("wb") as log:
        process = subprocess.Popen(
            argv, env=environment, cwd=folder, stdout=log, stderr=log, preexec_fn=dies_with_parent(signal.SIGTERM)
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def output(folder: Path) -> str:
    """Return the end of what the process has written."""
    return (folder / "output").read_text(errors="replace")[-4000:]


def eventually(sign: Callable[[], bool], process: "subprocess.Popen[bytes]", folder: Path) -> None:
    """Wait for a sign of life that counts."""
    deadline = time.monotonic() + WITHIN_S
    while not sign():
        assert process.poll() is None, output(folder)
        assert time.monotonic() < deadline, output(folder)
        time.sleep(0.2)


# --- what each kind of process must show ------------------------------------------------------------------------------


def worker_answers(environment: dict[str, str], command: Command) -> bool:
    """Whether a worker of the asked name consumes the asked queues."""
    words = command.words
    with Celery("probe", broker=environment["REDIS_URL"]) as probe:
        replies = probe.control.inspect(timeout=1).active_queues() or {}
    prefix = words[words.index("--hostname") + 1].partition("@")[0]
    queues = {queue["name"] for name, found in replies.items() if name.startswith(f"{prefix}@") for queue in found}
    return queues == set(words[words.index("--queues") + 1].split(","))


def beat_sends(environment: dict[str, str], _: Command) -> bool:
    """Whether ticks have come into the live queue."""
    with redis.Redis.from_url(environment["REDIS_URL"]) as client:
        return any(client.type(key) == b"list" for key in client.scan_iter("live*"))


def flower_asks_for_the_password(environment: dict[str, str], _: Command) -> bool:
    """Whether Flower shows its page to who knows the password, and to nobody else."""
    address = f"http://127.0.0.1:{environment['PORT']}/workers"
    try:
        assert _status(address) == 401
    except (urllib.error.URLError, ConnectionError):
        return False
    return _status(address, PASSWORD) == 200


def simulator_answers(environment: dict[str, str], _: Command) -> bool:
    """Whether the simulator knows who may ask."""
    with contextlib.suppress(urllib.error.URLError, ConnectionError):
        return _status(f"http://127.0.0.1:{environment['PORT']}/v1/apps/simulator/users/bmis") == 401
    return False


def _status(address: str, userinfo: str = "") -> int:
    request = urllib.request.Request(address)
    if userinfo:
        request.add_header("Authorization", "Basic " + base64.b64encode(userinfo.encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            status: int = answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    return status


SIGNS: dict[str, Callable[[dict[str, str], Command], bool]] = {
    "worker": worker_answers,
    "beat": beat_sends,
    "flower": flower_asks_for_the_password,
    "simulator": simulator_answers,
}
