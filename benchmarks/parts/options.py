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

    def sizes(self, *usual: int) -> tuple[int, ...]:
        """Return how many records to use."""
        return self.records or tuple(max(1, size // self.shrink) for size in usual)

    def who(self, *usual: str) -> Sequence[str]:
        """Return whom to measure."""
        return self.contenders or usual

    def times(self, usual: int) -> int:
        """Return how often to measure."""
        return self.repeat or usual
