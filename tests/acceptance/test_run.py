"""`humansync run` for real: a folder, a Redis, workers, the simulator, and nothing left behind."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),  # real processes start slowly on a busy machine
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

KINDS = ("sleeps", "weights", "genetic_traits")


def until(true: Callable[[], bool], seconds: float = 90) -> bool:
    """Wait until something is true; return whether it became so in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return true()


class Place:
    """A folder in which humansync runs, and every process that was started there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []
        self.mark = f"HUMANSYNC_TEST={uuid.uuid4()}"
        name, _, value = self.mark.partition("=")
        self.env = {**os.environ, name: value, "HUMANSYNC_RATE": "0"}

    def start(self, *words: str, **env: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "workers.cli", *words],
            cwd=self.folder,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def close(self) -> None:
        """End whatever a failed test has left."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self.started:
            if process.stdout is not None and not process.stdout.closed:
                process.communicate()

    def run(self, *words: str, **env: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*words, **env)
        out, err = process.communicate(timeout=180)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def processes(self) -> dict[int, str]:
        """Return what runs here: the command line by process."""
        found = {}
        for entry in Path("/proc").glob("[1-9]*"):
            try:
                # Redis writes its title over its environment, but its folder is ours.
                ours = self.mark.encode() in (entry / "environ").read_bytes().split(b"\0")
                if ours or (entry / "cwd").readlink().is_relative_to(self.folder):
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    def named(self, word: str) -> list[int]:
        return [pid for pid, line in self.processes().items() if word in line]

    def sql(self, query: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "var" / "humansync.db", timeout=10)) as database:
            return database.execute(query).fetchall()

    def reading(self) -> bool:
        """Say whether workers have begun to read."""
        try:
            return bool(self.sql("SELECT 1 FROM sync_windows WHERE requests > 0 LIMIT 1"))
        except sqlite3.OperationalError:
            return False


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    here = Place(tmp_path)
    yield here
    here.close()


def document(done: "subprocess.CompletedProcess[str]") -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_first_run_brings_everything_in_and_a_second_goes_on_from_there(place: Place) -> None:
    first = document(place.run("run", *KINDS, "--since", "20d", "--json"))
    assert first["ok"] is True
    assert [kind["kind"] for kind in first["kinds"]] == list(KINDS)
    assert {kind["state"] for kind in first["kinds"]} == {"done"}
    for kind in first["kinds"]:
        assert [(kind["records"],)] == place.sql(f"SELECT count(*) FROM {kind['kind']}")
        assert kind["records"] > 0
    assert place.processes() == {}

    second = document(place.run("run", *KINDS, "--json"))
    assert second["ok"] is True
    assert second["requests"] <= 2 * len(KINDS)
    assert second["records"] < first["records"] / 10

    status = place.run("status", "--json")
    picture = document(status)
    assert "Redis" in status.stderr
    fresh = {kind["kind"]: kind for kind in picture["kinds"]}
    assert len(fresh) == 16
    assert fresh["weights"]["state"] == "idle"
    assert 0 < fresh["weights"]["lag_s"] < 600
    assert fresh["weights"]["windows"]["owed"] == fresh["weights"]["windows"]["failed"] == 0
    assert fresh["meals"]["cursor"] is None


def test_an_earlier_beginning_and_a_range_by_hand_are_backfills(place: Place) -> None:
    document(place.run("run", "weights", "--since", "5d", "--json"))
    before = place.sql("SELECT count(*) FROM weights")[0][0]
    document(place.run("run", "weights", "--since", "15d", "--json"))
    more = place.sql("SELECT count(*) FROM weights")[0][0]
    assert more > before
    assert place.sql("SELECT purpose FROM sync_windows WHERE purpose = 'backfill'")
    again = document(place.run("run", "weights", "--since", "15d", "--json"))
    assert again["requests"] == 1  # the idle kind's one: what was read is not read again
    by_hand = document(place.run("run", "weights", "--since", "15d", "--before", "10d", "--json"))
    assert by_hand["kinds"][0]["windows"] == 1
    assert by_hand["records"] == 0


def test_ctrl_c_ends_everything_quickly_with_status_130(place: Place) -> None:
    process = place.start("run", HUMANSYNC_RATE="1")
    assert until(place.reading)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    assert time.monotonic() - began < 10
    assert place.processes() == {}


def test_kill_9_of_the_command_leaves_no_process_behind_and_loses_nothing(place: Place) -> None:
    process = place.start("run", "weights", "sleeps", HUMANSYNC_RATE="1")
    assert until(place.reading)
    assert len(place.processes()) >= 6  # itself, two workers, the simulator, Redis and its guard
    process.kill()
    process.communicate()
    assert until(lambda: not place.processes(), 20), place.processes()
    assert document(place.run("run", "weights", "sleeps", "--json"))["ok"] is True
    assert place.sql("SELECT count(*) FROM sync_windows WHERE state <> 'done'") == [(0,)]


def test_a_killed_worker_and_a_killed_redis_cost_time_only(place: Place) -> None:
    process = place.start("run", "weights", "sleeps", "--json", HUMANSYNC_RATE="2")
    assert until(place.reading)
    os.kill(place.named("workers.crew")[-1], signal.SIGKILL)  # a worker; the one that started first has forked it
    os.kill(place.named("valkey-server unixsocket")[0], signal.SIGKILL)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    assert json.loads(out)["ok"] is True
    assert "worker-" in err
    assert "Redis was gone" in err
    assert place.processes() == {}


def test_two_runs_at_once_share_one_redis(place: Place) -> None:
    both = [place.start("run", kind, "--json", HUMANSYNC_RATE="3") for kind in ("weights", "sleeps")]
    assert until(lambda: len(place.named("humansync.simulator")) == 2 and place.reading())
    assert len(place.named("valkey-server unixsocket")) == 1
    for process in both:
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
        assert json.loads(out)["ok"] is True
    assert place.processes() == {}


def test_a_refused_key_fails_each_kind_with_its_reason(place: Place) -> None:
    api = place.start("simulator", "--port", "0", "--days", "1")
    assert api.stdout is not None
    url = api.stdout.readline().split()[-1]
    keys = {"HUMANAPI_BASE_URL": url, "HUMANAPI_CLIENT_ID": "simulator"}
    refused = place.run("run", "weights", "meals", **keys, HUMANAPI_APP_KEY="wrong-key")
    assert refused.returncode == 1, refused.stderr
    assert "weights: " in refused.stdout
    assert "401" in refused.stdout
    assert "wrong-key" not in refused.stdout + refused.stderr
    mended = place.run("run", "weights", "meals", "--json", **keys, HUMANAPI_APP_KEY="simulator")
    assert document(mended)["ok"] is True
    without = place.run("run", "weights")
    assert without.returncode == 2
    assert "real API" in without.stderr
    api.terminate()
    api.communicate()
    assert place.processes() == {}


def test_simulated_data_step_aside_for_real_ones(place: Place) -> None:
    document(place.run("run", "heights", "--since", "3d", "--json"))
    api = place.start("simulator", "--port", "0", "--days", "1")
    assert api.stdout is not None
    url = api.stdout.readline().split()[-1]
    keys = {"HUMANAPI_BASE_URL": url, "HUMANAPI_CLIENT_ID": "simulator", "HUMANAPI_APP_KEY": "simulator"}
    explicit = place.run("run", "heights", **keys, DATABASE_URL="sqlite:///var/humansync.db")
    assert explicit.returncode == 2
    assert "DATABASE_URL" in explicit.stderr
    moved = place.run("run", "heights", "--since", "1d", "--json", **keys)
    assert document(moved)["ok"] is True
    assert "moved aside to var/humansync.simulated.db" in moved.stderr
    assert (place.folder / "var" / "humansync.simulated.db").exists()
    assert place.sql("SELECT value FROM sync_meta WHERE key = 'simulated'") == [("0",)]
    api.terminate()
    api.communicate()


def test_term_ends_everything_too(place: Place) -> None:
    process = place.start("run", "weights", "sleeps", HUMANSYNC_RATE="1")
    assert until(place.reading)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert place.processes() == {}


def test_a_server_takes_the_place_of_what_is_embedded(place: Place, postgres_url: str, redis_url: str) -> None:
    servers = {"DATABASE_URL": postgres_url, "REDIS_URL": redis_url}
    report = document(place.run("run", "weights", "--since", "5d", "--json", **servers))
    assert report["records"] > 0
    assert not (place.folder / "var" / "redis").exists()
    assert not (place.folder / "var" / "humansync.db").exists()
    status = place.run("status", "--json", **servers)
    assert status.stderr == ""
    picture = document(status)
    assert picture["queues"] == {"live": 0, "backfill": 0}
    assert {kind["kind"]: kind["state"] for kind in picture["kinds"]}["weights"] == "idle"


def test_up_keeps_everything_fresh_until_it_is_told_to_stop(place: Place) -> None:
    process = place.start("up", HUMANSYNC_KINDS="weights,meals", HUMANSYNC_EVERY_S="2", HUMANSYNC_SETTLE_S="1")
    cursor = "SELECT max(before) FROM sync_windows WHERE kind = 'weights' AND state = 'done'"
    assert until(place.reading)
    assert until(lambda: len(place.processes()) >= 8)  # as in `run`, and beat and Flower
    assert until(lambda: place.sql(cursor)[0][0] is not None)
    first = place.sql(cursor)
    assert until(lambda: place.sql(cursor) > first)

    waited = document(place.run("sync", "meals", "--wait", "--json"))
    assert [(kind["kind"], kind["state"]) for kind in waited["kinds"]] == [("meals", "done")]
    picture = document(place.run("status", "--json"))
    assert {worker["name"].partition("@")[2] for worker in picture["workers"]} == {socket.gethostname()}
    assert len(picture["workers"]) == 2
    assert place.run("pause", "meals").stdout == "meals is paused\n"
    states = {kind["kind"]: kind["state"] for kind in document(place.run("status", "--json"))["kinds"]}
    assert states["meals"] == "paused"
    refused = place.run("sync", "meals", "--wait")
    assert refused.returncode == 1
    assert "humansync resume meals" in refused.stdout
    assert place.run("resume", "meals").stdout == "meals is going on\n"
    assert place.run("reset", "meals", "--to", "2d").returncode == 0
    assert document(place.run("sync", "meals", "--wait", "--json"))["ok"] is True

    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Flower    http://127.0.0.1:" in err
    assert "Traceback" not in err
    assert place.processes() == {}


def test_a_second_up_in_the_same_folder_shares_everything_and_outlives_the_first(place: Place) -> None:
    variables = {"HUMANSYNC_KINDS": "weights", "HUMANSYNC_EVERY_S": "2", "HUMANSYNC_SETTLE_S": "1"}
    first, second = (place.start("up", **variables) for _ in range(2))
    assert until(lambda: len(place.named("celery -A workers.app beat")) == 2 and place.reading())
    assert len(place.named("valkey-server unixsocket")) == 1
    asked = "SELECT sum(requests) FROM sync_windows"
    assert until(lambda: place.sql("SELECT DISTINCT state FROM sync_windows") == [("done",)])
    began, before = time.monotonic(), place.sql(asked)[0][0]
    time.sleep(8)
    periods = (time.monotonic() - began) / 2
    assert place.sql(asked)[0][0] - before <= periods + 1

    first.terminate()
    assert first.wait(60) == 0
    cursor = "SELECT max(before) FROM sync_windows WHERE state = 'done'"
    reached = place.sql(cursor)
    assert until(lambda: place.sql(cursor) > reached)
    second.terminate()
    assert second.wait(60) == 0
    assert place.processes() == {}


def test_doctor_and_operators_commands_without_anything(place: Place) -> None:
    doctor = place.run("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert "bundled simulator" in doctor.stdout
    for words in (["pause", "meals"], ["reset", "meals", "--to", "1d"]):
        refused = place.run(*words)
        assert refused.returncode == 1
        assert refused.stderr == "humansync: the database has no tables yet: run `humansync migrate`\n"
    away = {"REDIS_URL": "redis://:secret@127.0.0.1:1/0"}
    empty = place.run("status", "--json", **away)
    assert {kind["state"] for kind in document(empty)["kinds"]} == {"idle"}
    assert "secret" not in empty.stderr
    assert place.run("migrate").returncode == 0
    assert "already" not in place.run("pause", "meals").stdout
    keys = {"HUMANAPI_CLIENT_ID": "a", "HUMANAPI_APP_KEY": "b", "HUMANAPI_BASE_URL": "http://127.0.0.1:9/v1"}
    lost = place.run("sync", "meals", **away, **keys)
    assert lost.returncode == 1
    assert (
        lost.stderr == "humansync: Redis at redis://:***@127.0.0.1:1/0 cannot be reached: start it, or set REDIS_URL\n"
    )
    assert place.run("doctor", **away, **keys).returncode == 1
