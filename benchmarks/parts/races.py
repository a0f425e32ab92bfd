"""First loads: everything into an empty database, start and stop included, contenders in turn."""

from collections.abc import Iterator

from benchmarks.compare import Scene, race
from benchmarks.parts.options import Options
from benchmarks.stand import Simulator, Stand
from humansync.kinds import KINDS

DAYS = 60.0
EVERYBODY = ("humansync", "bare", "bare-copy", "dlt", "dlt-arrow", "celery")


def throughput(stand: Stand, options: Options) -> Iterator[Scene]:
    """One kind into an empty PostgreSQL, the API answering at once."""
    for records in options.sizes(100_000, 500_000):
        facts = {"records": records, "latency_ms": 0, "kinds": 1, "database": "PostgreSQL"}
        with Simulator(records, DAYS) as simulator:
            scene = Scene(f"throughput-{records}", f"{records:,} records, no latency", facts)
            yield race(stand, simulator, options.who(*EVERYBODY), scene, repeat=options.times(3), **options.given())


def latency(stand: Stand, options: Options) -> Iterator[Scene]:
    """One kind from an API that takes 150 ms to answer; every contender asks with 16 threads."""
    for records in options.sizes(50_000):
        facts = {"records": records, "latency_ms": 150, "kinds": 1, "database": "PostgreSQL", "threads": 16}
        with Simulator(records, DAYS, switches=("--latency-ms", "150")) as simulator:
            scene = Scene("latency", f"{records:,} records, 150 ms latency, 16 threads", facts)
            names = options.who("humansync", "humansync-unset", "bare", "dlt", "dlt-arrow", "celery")
            yield race(
                stand,
                simulator,
                names,
                scene,
                repeat=options.times(3),
                **{"threads": 8, "pinned": True, **options.given()},
            )


def kinds(stand: Stand, options: Options) -> Iterator[Scene]:
    """All 16 kinds at once."""
    for records in options.sizes(5_000):
        facts = {"records": records * len(KINDS), "latency_ms": 0, "kinds": len(KINDS), "database": "PostgreSQL"}
        with Simulator(records, DAYS, kinds=tuple(KINDS)) as simulator:
            scene = Scene("kinds", f"16 kinds x {records:,} records, no latency", facts)
            names = options.who("humansync", "bare", "dlt", "dlt-arrow", "celery")
            yield race(stand, simulator, names, scene, repeat=options.times(3), **options.given())


def sqlite(stand: Stand, options: Options) -> Iterator[Scene]:
    """One kind into a SQLite file."""
    for records in options.sizes(100_000):
        facts = {"records": records, "latency_ms": 0, "kinds": 1, "database": "SQLite"}
        with Simulator(records, DAYS) as simulator:
            scene = Scene("sqlite", f"{records:,} records into SQLite, no latency", facts)
            names = options.who("humansync", "bare-sqlite")
            yield race(stand, simulator, names, scene, repeat=options.times(3), place=stand.file, **options.given())
