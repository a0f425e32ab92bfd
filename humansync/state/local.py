"""The rate budget of one process while Redis is away: a small fixed share, so that all together stay within it."""

import threading
from collections.abc import Callable
from time import monotonic

#: Up to this many processes stay within the whole rate without hearing of each other.
PROCESSES = 8


class LocalBudget:
    """Instants for requests, evenly apart. Threads may share it."""

    def __init__(self, rate_per_s: float, clock: Callable[[], float] = monotonic) -> None:
        #: seconds between two requests; 0 without a limit
        self._interval_s = PROCESSES / rate_per_s if rate_per_s else 0.0
        self._clock = clock
        self._next = clock()
        self._lock = threading.Lock()

    def wait_s(self) -> float:
        """Take the next instant and return how many seconds it is away."""
        with self._lock:
            now = self._clock()
            slot = max(now, self._next)
            self._next = slot + self._interval_s
            return slot - now
