"""Child processes and the shared Redis: who ends whom, and when."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import gone
from workers import processes
from workers.processes import Child, ChildFailed, Children
from workers.redis_server import EmbeddedRedis, ask, in_use, socket_path

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, lambda *_: None); print('up', flush=True); time.sleep(60)",
]


def until(true: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait until something is true; return whether it became so in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return true()


def child(tmp_path: Path, argv: list[str], most_deaths: int | None = None) -> Child:
    return Child("sleeper", argv, dict(os.environ), tmp_path / "log" / "sleeper.log", most_deaths=most_deaths)


def test_a_dead_child_is_started_again_after_a_pause(tmp_path: Path) -> None:
    children, sleeper = Children(), child(tmp_path, SLEEP)
    first = children.start(sleeper)
    assert children.tend() == []
    first.kill()
    assert until(lambda: first.poll() is not None)
    assert children.tend() == ["sleeper died (ended by SIGKILL); starting it again in 0.5 s"]
    assert until(lambda: children.tend() == ["sleeper was started again"])
    assert sleeper.process is not None
    assert sleeper.process.pid != first.pid
    children.stop(5.0)
    assert sleeper.process.returncode == -signal.SIGTERM


def test_orders_come_first_and_what_is_told_later_follows_while_there_is_somebody_to_read_it(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import sys; [print(line, end='', flush=True) for line in sys.stdin]"]
    reader = Child("reader", argv, dict(os.environ), tmp_path / "reader.log", listen=True, takes_orders=True)
    assert not reader.tell(b"too early\n")
    process = reader.start()
    reader.order(b"orders\n")
    assert reader.tell(b"one\n")
    assert reader.tell(b"two\n")
    heard: list[str] = []
    assert until(lambda: heard.extend(reader.news()) or len(heard) == 3)  # type: ignore[func-returns-value]
    assert heard == ["orders", "one", "two"]
    process.kill()
    process.wait()
    assert not reader.tell(b"too late\n")
    reader.kill_group()


def test_a_child_that_will_not_live_is_given_up_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "MAX_BACKOFF_S", 0.0)
    children, broken = Children(), child(tmp_path, [sys.executable, "-c", "import sys; sys.exit('no such thing')"], 3)
    children.start(broken)
    with pytest.raises(ChildFailed, match=r"sleeper ended 3 times \(exit status 1\); .*sleeper.log.*no such thing"):
        until(lambda: bool(children.tend()) and False)


def test_a_child_that_does_not_listen_is_killed_after_the_grace(tmp_path: Path) -> None:
    children, stubborn = Children(), child(tmp_path, STUBBORN)
    process = children.start(stubborn)
    assert until(lambda: processes.last_line(stubborn.log) == "up")
    began = time.monotonic()
    children.stop(0.2)
    assert process.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 5


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_child_dies_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    code = (
        "import os, time\nfrom pathlib import Path\nfrom workers.processes import Child\n"
        f"c = Child('s', {STUBBORN!r}, dict(os.environ), Path({str(tmp_path)!r}) / 's.log')\n"
        "print(c.start().pid, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert until(lambda: processes.last_line(tmp_path / "s.log") == "up")
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert until(lambda: gone(pid))


def redis(folder: Path, *, durable: bool = False) -> EmbeddedRedis:
    return EmbeddedRedis(folder / "redis", folder / "log" / "redis.log", durable=durable)


def test_two_users_share_one_redis_and_the_last_one_out_stops_it(tmp_path: Path) -> None:
    first, second = redis(tmp_path), redis(tmp_path)
    first.join()
    second.join()
    assert first.path == second.path
    pid = server_pid(first)
    first.leave()
    assert second.alive()
    assert server_pid(second) == pid
    assert in_use(tmp_path / "redis")
    second.leave()
    assert not second.alive()
    assert gone(pid)
    assert not in_use(tmp_path / "redis")


def test_a_joining_up_makes_the_queue_of_a_run_durable(tmp_path: Path) -> None:
    run, up = redis(tmp_path), redis(tmp_path, durable=True)
    run.join()
    assert b"aof_enabled:0" in info(run)
    up.join()
    assert b"aof_enabled:1" in info(up)
    run.leave()
    up.leave()
    assert not up.alive()


def test_a_redis_that_was_killed_is_started_again(tmp_path: Path) -> None:
    user = redis(tmp_path)
    user.join()
    assert user.tend() is None
    os.kill(server_pid(user), signal.SIGKILL)
    assert until(lambda: not user.alive())
    assert user.tend() == "Redis was gone and has been started again; the ledger knows what was queued"
    assert user.alive()
    user.leave()
    assert not user.alive()


def test_redis_outlives_a_user_that_is_killed_but_not_the_last_one(tmp_path: Path) -> None:
    code = (
        "import time\nfrom pathlib import Path\nfrom workers.redis_server import EmbeddedRedis\n"
        f"f = Path({str(tmp_path)!r})\nr = EmbeddedRedis(f / 'redis', f / 'log' / 'redis.log', durable=False)\n"
        "r.join()\nprint('in', flush=True)\ntime.sleep(60)"
    )
    starter, joiner = (
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    for user in (starter, joiner):
        assert user.stdout is not None
        assert user.stdout.readline() == "in\n"
        user.stdout.close()
    path = tmp_path / "redis" / "redis.sock"
    starter.kill()
    starter.wait()
    time.sleep(0.5)  # the guard looks every 0.2 s
    assert ask(path, "PING").startswith(b"+PONG")
    joiner.kill()
    joiner.wait()
    assert until(lambda: not ask(path, "PING"))
    assert until(lambda: not in_use(tmp_path / "redis"))


def test_a_folder_too_deep_or_odd_for_a_socket_gets_a_private_one_elsewhere(tmp_path: Path) -> None:
    deep, odd = tmp_path / ("d" * 100), tmp_path / "Ünder wegs"
    for folder in (deep, odd):
        folder.mkdir()
        path = socket_path(folder)
        assert path == socket_path(folder)
        assert len(bytes(path)) <= 100
        assert path.parent.stat().st_mode & 0o777 == 0o700
        path.parent.rmdir()
    assert socket_path(deep) != socket_path(odd)
    for folder in (deep, odd):
        socket_path(folder).parent.rmdir()


def info(user: EmbeddedRedis) -> bytes:
    return ask(user.path, "INFO persistence")


def server_pid(user: EmbeddedRedis) -> int:
    return int(ask(user.path, "INFO server").partition(b"process_id:")[2].split()[0])
