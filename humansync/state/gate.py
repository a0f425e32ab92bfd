"""Where the threads of one process wait for their turn to ask the API: no more at once than `parallel.Limit` says."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from humansync import parallel

#: Who waits longer does something else first, seconds: far less than after how long a message is taken for lost.
WAITS_S = 60.0


class Gate:
    """Lets so many requests through at once as the API's answers suggest. Threads share it."""

    def __init__(self, threads: int, clock: Callable[[], float] = monotonic) -> None:
        """Begin with few.

        threads: how many may come at most.
        """
        self._limit = parallel.Limit(threads)
        self._under_way = 0
        self._live_waiting = 0
        self._clock = clock
        self._moved = threading.Condition()

    @property
    def limit(self) -> parallel.Limit:
        """What holds now."""
        return self._limit

    @contextmanager
    def request(self, *, live: bool = False) -> Iterator[bool]:
        """Wait for a place, live work before the rest, and keep it for the block: one request, until its answer is there.

        Gives whether there was one in time.
        """
        with self._moved:
            self._live_waiting += live
            try:
                came = self._moved.wait_for(lambda: self._free(live=live), WAITS_S)
            finally:
                self._live_waiting -= live
                if live:  # what else waits had to let it go first
                    self._moved.notify_all()
            self._under_way += came
        try:
            yield came
        finally:
            with self._moved:
                self._under_way -= came
                self._moved.notify_all()

    def answered(self, took_s: float) -> None:
        """Note how long the answer took to the request that is being made."""
        with self._moved:
            self._limit = parallel.answered(self._limit, took_s, self._under_way, self._clock())
            self._moved.notify_all()

    def _free(self, *, live: bool) -> bool:
        return self._under_way < self._limit.places and (live or not self._live_waiting)

    def refused(self) -> None:
        """Note that the API has asked for less."""
        with self._moved:
            self._limit = parallel.refused(self._limit, self._clock())
