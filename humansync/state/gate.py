"""Where the threads of one process wait for their turn: no more pages are in hand than `parallel.Limit` says."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from humansync import parallel

#: Who waits longer does something else first, seconds: far less than after how long a message is taken for lost.
WAITS_S = 60.0


class Gate:
    """Lets so many pages be in hand as the API's answers suggest. Threads share it."""

    def __init__(self, threads: int, clock: Callable[[], float] = monotonic) -> None:
        """Begin with few.

        threads: how many may come at most.
        """
        self._limit = parallel.Limit(threads)
        self._storing_limit = parallel.Storing(threads)
        self._in_hand = 0
        self._storing = 0
        self._live_waiting = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._turns = threading.Condition(self._lock)
        self._live, self._history = threading.Condition(self._lock), threading.Condition(self._lock)

    @property
    def limit(self) -> parallel.Limit:
        """What holds now."""
        return self._limit

    @contextmanager
    def page(self, *, live: bool = False) -> Iterator[bool]:
        """Wait for a place, live work before the rest, and keep it for the block: one page, from request to commit.

        Gives whether there was one in time.
        """
        came = False
        try:
            with self._lock:
                came = self._come(live=live)
                self._in_hand += came
                if live:  # what else waits had to let it go first
                    self._wake()
            yield came
        finally:
            with self._lock:
                self._in_hand -= came
                self._wake()

    def _come(self, *, live: bool) -> bool:
        self._live_waiting += live
        try:
            return (self._live if live else self._history).wait_for(lambda: self._free(live=live), WAITS_S)
        finally:
            self._live_waiting -= live

    def _wake(self) -> None:
        """Wake who has a place to go to, and nobody else: each that wakes in vain takes time from those at work."""
        free = self._limit.places - self._in_hand
        if free > 0:
            (self._live if self._live_waiting else self._history).notify(free)

    def answered(self, took_s: float) -> None:
        """Note how long the answer took to the request for a page in hand."""
        with self._lock:
            self._limit = parallel.answered(self._limit, took_s, self._in_hand, self._clock())
            self._wake()

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Wait for a turn to store a page in hand, for a while at most, and keep it for the block."""
        with self._lock:
            self._turns.wait_for(lambda: self._storing < self._storing_limit.places, self._storing_limit.wait_s)
            self._storing += 1
        try:
            yield
        finally:
            with self._lock:
                self._storing -= 1
                self._turns.notify(max(0, self._storing_limit.places - self._storing))

    def stored(self, took_s: float, waited_s: float) -> None:
        """Note how long it took to store a page in hand, in its turn; waited_s: for its turn."""
        with self._lock:
            self._limit = parallel.stored(self._limit, waited_s + took_s)
            self._storing_limit = parallel.was_stored(self._storing_limit, took_s, self._storing)

    def _free(self, *, live: bool) -> bool:
        return self._in_hand < self._limit.places and (live or not self._live_waiting)

    def refused(self) -> None:
        """Note that the API has asked for less."""
        with self._lock:
            self._limit = parallel.refused(self._limit, self._clock())
