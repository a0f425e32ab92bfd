"""The parts of the benchmark: each yields one or more scenes."""

from collections.abc import Callable, Iterator

from benchmarks.compare import Scene
from benchmarks.parts import again, crash, hosts, profile, races, rate, scale
from benchmarks.parts.options import Options
from benchmarks.stand import Stand

Part = Callable[[Stand, Options], Iterator[Scene]]

#: Every part by the name that `make bench-NAME` gives it.
PARTS: dict[str, Part] = {
    "throughput": races.throughput,
    "latency": races.latency,
    "kinds": races.kinds,
    "sqlite": races.sqlite,
    "rate": rate.limit,
    "nothing-new": again.nothing_new,
    "changes": again.changes,
    "crash": crash.crash,
    "scale": scale.scale,
    "processes": scale.processes,
    "hosts": hosts.hosts,
    "profile": profile.profile,
}

__all__ = ["PARTS", "Options", "Part"]
