"""Steps that can be stopped half-way: threads that hand one baton on, so that exactly one of them runs at any time.

Real code runs in them unchanged. It parks where a simulated edge (Redis, database, API) says so, and goes on, or dies,
when the simulation says so. Which one runs is the simulation's choice alone: the same seed makes the same choices.
"""

import threading
from collections.abc import Callable


class Killed(BaseException):
    """The process has died: nothing of it runs on, `finally` blocks have no effect on anything outside."""


class _Runner(threading.Thread):
    """A thread that lives longer than the fibers it runs: starting one costs more than a step."""

    def __init__(self) -> None:
        super().__init__(name="fiber", daemon=True)
        self.go = threading.Lock()
        self.back = threading.Lock()
        self.go.acquire()
        self.back.acquire()
        self.body: Callable[[], None] = lambda: None
        self.start()

    def run(self) -> None:
        while True:
            self.go.acquire()
            self.body()
            self.back.release()


_idle: list[_Runner] = []


class Fiber:
    """One body of code under way."""

    def __init__(self, body: Callable[[], None]) -> None:
        self._body = body
        self._runner: _Runner | None = None
        self._doomed = False
        self._error: BaseException | None = None
        self._finished = False

    def finished(self) -> bool:
        """Whether the body has ended, or died."""
        return self._finished

    def resume(self, *, kill: bool = False) -> None:
        """Run on until the body parks or ends; raises what the body raised. kill: the body dies where it is parked."""
        if self.finished():
            return
        self._doomed = self._doomed or kill
        if self._runner is None:
            if kill:
                self._finished = True
                return
            self._runner = _idle.pop() if _idle else _Runner()
            self._runner.body = self._run
        runner = self._runner
        runner.go.release()
        runner.back.acquire()
        if self.finished():
            _idle.append(runner)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def park(self) -> None:
        """Called by the body: give the baton back until somebody resumes; raises Killed if that was the end."""
        runner = self._runner
        assert runner is not None, "only a body parks itself"
        runner.back.release()
        runner.go.acquire()
        if self._doomed:
            raise Killed

    def _run(self) -> None:
        try:
            self._body()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to whoever resumed
            self._error = error
        self._finished = True
