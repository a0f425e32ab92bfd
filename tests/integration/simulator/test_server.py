"""The simulator on real sockets and as a real process."""

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from humansync.simulator import App, Switches, World
from humansync.simulator.__main__ import main
from humansync.simulator.server import running

AUTH = {"Authorization": "Basic " + base64.b64encode(b"simulator:").decode()}
PATH = "/v1/apps/simulator/users/activities"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def world() -> World:
    world = World(now, switches=Switches(slow_s=0.8, stall_s=0.8, huge_mb=5))
    world.load(["activities"], 1_000, 0.9)
    return world


@pytest.fixture
def address(world: World) -> Iterator[tuple[str, int]]:
    with running(App(world)) as base:
        parts = urlsplit(base)
        assert parts.hostname
        assert parts.port
        yield parts.hostname, parts.port


@contextmanager
def connected(address: tuple[str, int]) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection(*address, timeout=10)) as connection:
        yield connection


def get(connection: http.client.HTTPConnection, target: str = PATH, **headers: str) -> tuple[int, bytes]:
    connection.request("GET", target, headers={**AUTH, **headers})
    response = connection.getresponse()
    return response.status, response.read()


def test_a_connection_serves_many_requests(address: tuple[str, int]) -> None:
    with connected(address) as connection:
        for _ in range(5):
            status, body = get(connection, f"{PATH}?limit=500")
            assert (status, len(json.loads(body))) == (200, 500)
        kept = connection.sock
        status, _ = get(connection, "/v1/elsewhere")
        assert status == 404
        assert connection.sock is kept
        get(connection, Connection="close")
        assert connection.sock is None


def test_requests_may_come_in_pieces_and_in_a_row(address: tuple[str, int]) -> None:
    request = f"GET {PATH}?limit=1 HTTP/1.1\r\nHost: x\r\nAuthorization: {AUTH['Authorization']}\r\n\r\n".encode()
    with socket.create_connection(address, timeout=10) as client:
        client.sendall(request[:25])
        time.sleep(0.05)
        client.sendall(request[25:] + request + request)
        received = b""
        while received.count(b"HTTP/1.1 200 OK") < 3 or not received.endswith(b"]"):
            piece = client.recv(65_536)
            assert piece
            received += piece


def test_control_and_truth_go_over_the_wire(address: tuple[str, int], world: World) -> None:
    with connected(address) as connection:
        order = json.dumps({"do": [{"act": "change", "kind": "activities", "n": 9}]})
        connection.request("POST", "/_control", body=order)
        response = connection.getresponse()
        assert (response.status, len(json.loads(response.read())["results"][0])) == (200, 9)
        status, lines = get(connection, "/_truth/activities")
        assert (status, len(lines.splitlines())) == (200, world.count("activities"))


def test_a_cut_answer_is_shorter_than_it_says(address: tuple[str, int], world: World) -> None:
    world.fail_next("cut")
    with connected(address) as connection, pytest.raises(http.client.IncompleteRead):
        get(connection)


def test_a_reset_brings_nothing(address: tuple[str, int], world: World) -> None:
    world.fail_next("reset")
    with connected(address) as connection, pytest.raises(http.client.RemoteDisconnected):
        get(connection)


@pytest.mark.parametrize("fault", ["slow", "stall"])
def test_slow_and_stalled_answers_come_whole_in_the_end(address: tuple[str, int], world: World, fault: str) -> None:
    world.fail_next(fault)
    with connected(address) as connection:
        began = time.monotonic()
        connection.request("GET", PATH, headers=AUTH)
        response = connection.getresponse()
        headers_after = time.monotonic() - began
        body = response.read()
        assert time.monotonic() - began > 0.7 > headers_after
        assert len(json.loads(body)) == 50
        assert get(connection)[0] == 200, "and the connection goes on"


def test_a_stalled_answer_holds_up_nobody_else(address: tuple[str, int], world: World) -> None:
    world.set(stall_s=60)
    world.fail_next("stall")
    with connected(address) as stuck, connected(address) as other:
        stuck.request("GET", PATH, headers=AUTH)
        stuck.getresponse()
        assert get(other)[0] == 200


def test_latency_delays_and_waits_overlap(address: tuple[str, int], world: World) -> None:
    world.set(latency_ms=500)
    with connected(address) as one, connected(address) as two:
        began = time.monotonic()
        for connection in (one, two):
            connection.request("GET", PATH, headers=AUTH)
        for connection in (one, two):
            assert connection.getresponse().status == 200
        assert 0.5 <= time.monotonic() - began < 0.95


def test_huge_bodies_arrive(address: tuple[str, int], world: World) -> None:
    world.fail_next("huge")
    with connected(address) as connection:
        assert len(get(connection)[1]) == 5_000_000


def test_an_endless_request_is_dropped(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as client, pytest.raises(OSError, match=r"reset|pipe"):
        client.sendall(b"x" * 50_000_000)


@contextmanager
def process(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", tuple[str, int]]]:
    """Run the simulator as a process of its own and yield it with its address."""
    command = [sys.executable, "-m", "humansync.simulator", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout
            found = re.fullmatch(r"simulator listening on http://(127\.0\.0\.1):(\d+)/v1\n", child.stdout.readline())
            assert found
            yield child, (found[1], int(found[2]))
        finally:
            child.kill()


def test_a_process_says_where_it_listens_and_stops_cleanly() -> None:
    arguments = ("--records", "700", "--days", "5", "--kinds", "activities", "--page-cap", "100", "--app-key", "secret")
    with process(*arguments) as (child, address):
        assert child.stdout
        assert child.stdout.readline() == "client id: simulator, app key: secret\n"
        with connected(address) as connection:
            assert get(connection)[0] == 401
            key = "Basic " + base64.b64encode(b"secret:").decode()
            status, body = get(connection, f"{PATH}?limit=500", Authorization=key)
            assert (status, len(json.loads(body))) == (200, 100)
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0


def test_a_process_serves_realistic_lives_by_default() -> None:
    with process("--days", "3", "--kinds", "sleeps,meals") as (_, address), connected(address) as connection:
        records = json.loads(get(connection, "/_stats")[1])["records"]
        assert records["sleeps"] > 30
        assert records["meals"] > 50
        assert records["weights"] == 0


def test_a_process_ends_with_the_one_it_belongs_to() -> None:
    with (
        subprocess.Popen(["sleep", "60"]) as owner,
        process("--records", "1", "--parent-pid", str(owner.pid)) as (child, _),
    ):
        assert child.poll() is None
        owner.kill()
        owner.wait()
        assert child.wait(10) == 0


def test_a_port_in_use_is_one_clear_sentence(capsys: pytest.CaptureFixture[str], address: tuple[str, int]) -> None:
    assert main(["--records", "1", "--port", str(address[1])]) == 1
    assert capsys.readouterr().err.startswith(f"humansync simulator: cannot listen on 127.0.0.1:{address[1]}: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--order", "sideways"], "order is one of"),
        (["--kinds", "steps"], "--kinds: there is no steps"),
        (["--days", "0"], "--days and --records are above 0"),
        (["--records", "5", "--until", "soon"], "--until is an ISO 8601 instant"),
    ],
)
def test_wrong_usage_is_one_clear_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"humansync simulator: {message}")


def test_the_server_is_faster_than_any_client_of_ours(address: tuple[str, int]) -> None:
    """400 pages a second on one core is the aim, and four times that is usual; shared machines get some slack."""
    with connected(address) as connection:
        get(connection)
        began = time.process_time()
        for _ in range(200):
            get(connection, f"{PATH}?limit=500")
        assert 200 / (time.process_time() - began) > 200  # both sides run in this process


def test_the_process_is_not_left_behind_when_its_parent_is_killed() -> None:
    script = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'humansync.simulator', '--port', '0', '--records', '1',"
        " '--parent-pid', str(os.getpid())], stdout=subprocess.PIPE, text=True)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "import time; time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        pid = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            if _zombie(pid):
                return
            time.sleep(0.1)
        os.kill(pid, signal.SIGKILL)
        pytest.fail("the simulator lived on")


def _zombie(pid: int) -> bool:
    """Return whether the process is dead and merely unclaimed, as happens where nobody reaps orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False
