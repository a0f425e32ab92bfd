"""What the command line says to every part."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes, repetitions and contenders."""

    #: sizes to use instead of the scene's own
    records: tuple[int, ...] = ()
    #: runs of each contender; a scene may have its own number
    repeat: int | None = None
    #: contenders to use instead of the scene's own
    contenders: tuple[str, ...] = ()
    #: divides every size: a look at whether it all works
    shrink: int = 1
    #: threads of each process, for contenders that choose for themselves too
    threads: int | None = None

    def sizes(self, *usual: int) -> tuple[int, ...]:
        """Return how many records to use."""
        return self.records or tuple(max(1, size // self.shrink) for size in usual)

    def who(self, *usual: str) -> Sequence[str]:
        """Return whom to measure."""
        return self.contenders or usual

    def given(self) -> dict[str, int | bool]:
        """Return what every job is told of threads."""
        return {} if self.threads is None else {"threads": self.threads, "pinned": True}

    def times(self, usual: int) -> int:
        """Return how often to measure."""
        return self.repeat or usual
