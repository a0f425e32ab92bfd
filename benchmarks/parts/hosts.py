"""Two hosts: network namespaces with a name, an address and a link of their own, on one machine."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import ClassVar

import redis

from benchmarks.compare import Scene, say
from benchmarks.deployment import Deployment, celery
from benchmarks.parts import rate
from benchmarks.parts.options import Options
from benchmarks.stand import DurablePostgres, Simulator, Stand

BRIDGE, NETWORK = "hsbench", "10.213.7"
#: where Redis, PostgreSQL and the API are
MAIN = f"{NETWORK}.1"
THREADS = 4


class ReachablePostgres(DurablePostgres):
    """A PostgreSQL that the hosts may use."""

    SETTINGS: ClassVar[dict[str, str]] = {**DurablePostgres.SETTINGS, "listen_addresses": f"127.0.0.1,{MAIN}"}

    def __init__(self) -> None:
        super().__init__()
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {NETWORK}.0/24 trust\n")


def hosts(stand: Stand, options: Options) -> Iterator[Scene]:
    """One host and two, at 150 ms; then both under one rate limit. Where network namespaces can be made."""
    if missing := _missing():
        yield Scene("hosts", f"two hosts: not measured here, {missing}", {})
        return
    with ExitStack() as stack:
        names = stack.enter_context(_network())
        postgres = stand.postgres
        stack.callback(setattr, stand, "postgres", postgres)
        stand.postgres = ReachablePostgres().start()
        stack.callback(stand.postgres.close)
        stack.enter_context(_reachable(stand))
        for records in options.sizes(50_000):
            yield _latency(stand, options, names, records)
        for records in options.sizes(150_000):
            yield _limit(stand, names, records)


def _latency(stand: Stand, options: Options, names: Sequence[str], records: int) -> Scene:
    facts = {"records": records, "latency_ms": 150, "kinds": 1, "database": "PostgreSQL", "threads": THREADS}
    scene = Scene("hosts", f"{records:,} records, 150 ms latency, one worker of {THREADS} threads a host", facts)
    with Simulator(records, 60.0, host=MAIN, switches=("--latency-ms", "150")) as simulator:
        for number in range(options.times(1) * 2):
            used = names[: 1 + number % 2]
            with _deployed(stand, simulator, used) as deployment:
                measured = deployment.sync(simulator)
            name = f"{len(used)} host{'s' if len(used) > 1 else ''}"
            scene.runs.setdefault(name, []).append(measured)
            say(name, measured)
    return scene


def _limit(stand: Stand, names: Sequence[str], records: int) -> Scene:
    scene = Scene(
        "hosts-rate", f"two hosts, {rate.RATE} requests a second allowed", {"records": records, "rate": rate.RATE}
    )
    switches = ("--rate-limit", str(rate.RATE))
    with (
        Simulator(records, 60.0, host=MAIN, switches=switches) as simulator,
        _deployed(stand, simulator, names, limit=rate.RATE) as deployment,
    ):
        watch = rate.Meter(simulator)
        thread = threading.Thread(target=watch.run, daemon=True)
        thread.start()
        scene.runs["2 hosts"] = [deployment.sync(simulator)]
        watch.stop()
        thread.join()
        say("2 hosts", scene.runs["2 hosts"][0])
    scene.figures |= watch.figures()
    return scene


@contextmanager
def _deployed(stand: Stand, simulator: Simulator, names: Sequence[str], limit: float = 0.0) -> Iterator[Deployment]:
    with stand.database() as url:
        there = url.replace("127.0.0.1", MAIN)
        broker = stand.redis.url.replace("127.0.0.1", MAIN)
        job = simulator.job(redis_url=broker, rate=limit).on(there)
        words = ("worker", "--pool", "threads", "--concurrency", str(THREADS), "--queues", "live,backfill")
        commands = [[*_on(name), *celery(*words)] for name in names]
        with Deployment(stand, job, commands) as deployment:
            yield deployment


def _on(name: str) -> list[str]:
    """Return the words that make a command run on a host, under its name."""
    return ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "sh"]


def _missing() -> str:
    """Return why there can be no hosts; empty where there can."""
    if os.geteuid() != 0:
        return "that takes root"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "there is no `ip` or no `unshare`"
    probe = subprocess.run(["ip", "netns", "add", f"{BRIDGE}-probe"], check=False, capture_output=True)
    if probe.returncode == 0:
        subprocess.run(["ip", "netns", "del", f"{BRIDGE}-probe"], check=False)
    return "network namespaces cannot be made" if probe.returncode else ""


@contextmanager
def _network() -> Iterator[list[str]]:
    """Make a bridge and two hosts on it; yield their names."""
    names = [f"{BRIDGE}-{letter}" for letter in "ab"]
    with ExitStack() as stack:
        _ip("link", "add", BRIDGE, "type", "bridge")
        stack.callback(_ip, "link", "del", BRIDGE)
        _ip("addr", "add", f"{MAIN}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(names, start=11):
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("link", "add", f"{name}0", "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", f"{name}0", "master", BRIDGE, "up")
            _ip("-n", name, "addr", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield names


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def _reachable(stand: Stand) -> Iterator[None]:
    """Let the hosts use the stand's Redis."""
    with redis.Redis.from_url(stand.redis.url) as client:
        client.config_set("protected-mode", "no")
        client.config_set("bind", f"127.0.0.1 {MAIN}")
        try:
            yield
        finally:
            client.config_set("bind", "127.0.0.1")
            client.config_set("protected-mode", "yes")
