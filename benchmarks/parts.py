"""The parts of the benchmark, each one or more scenes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.compare import Scene, race
from benchmarks.stand import Simulator, Stand


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    #: sizes to use instead of the scene's own
    records: tuple[int, ...] = ()
    repeat: int = 3
    #: contenders to use instead of the scene's own
    contenders: tuple[str, ...] = ()
    #: divides every size: a look at whether it all works
    shrink: int = 1

    def sizes(self, *usual: int) -> tuple[int, ...]:
        """Return how many records to use."""
        return self.records or tuple(max(1, size // self.shrink) for size in usual)

    def who(self, *usual: str) -> Sequence[str]:
        """Return whom to measure."""
        return self.contenders or usual


Part = Callable[[Stand, Options], Iterator[Scene]]


def throughput(stand: Stand, options: Options) -> Iterator[Scene]:
    """Yield all of one kind into an empty PostgreSQL, the API answering at once."""
    for records in options.sizes(100_000, 500_000):
        with Simulator(records, 60.0) as simulator:
            scene = Scene(f"{records:,} records, no latency", {"records": records, "latency_ms": 0})
            yield race(
                stand, simulator, options.who("humansync", "bare", "dlt", "dlt-arrow", "celery"), options.repeat, scene
            )


PARTS: dict[str, Part] = {"throughput": throughput}
