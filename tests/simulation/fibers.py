"""Steps that can be stopped half-way: greenlets, of which exactly one runs at any time.

Real code runs in them unchanged. It parks where a simulated edge (Redis, database, API) says so, and goes on, or dies,
when the simulation says so. Which one runs is the simulation's choice alone: the same seed makes the same choices.
"""

import contextlib
from collections.abc import Callable

from greenlet import getcurrent, greenlet


class Killed(BaseException):
    """The process has died: nothing of it runs on, `finally` blocks have no effect on anything outside."""


class Fiber:
    """One body of code under way."""

    def __init__(self, body: Callable[[], None]) -> None:
        self._inner = greenlet(body)
        self._doomed = False

    def finished(self) -> bool:
        """Whether the body has ended, or died."""
        return self._inner.dead

    def resume(self, *, kill: bool = False) -> None:
        """Run on until the body parks or ends; raises what the body raised. kill: the body dies where it is parked."""
        if self.finished():
            return
        self._doomed = self._doomed or kill
        self._inner.parent = getcurrent()
        with contextlib.suppress(Killed):
            if kill:
                self._inner.throw(Killed)
            else:
                self._inner.switch()

    def park(self) -> None:
        """Called by the body: give the baton back until somebody resumes; raises Killed if that was the end."""
        parent = self._inner.parent
        assert parent is not None, "only a body parks itself"
        if self._doomed:  # what cleans up behind a death cannot wait
            raise Killed
        parent.switch()
