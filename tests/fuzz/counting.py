"""How many inputs are tried: as many for each property as FUZZ_EXAMPLES says, counted and told at the end of a run.

The hooks below are those of `tests/conftest.py`: with pytest-xdist each worker hands its counts to the process that
prints.
"""

import functools
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

#: Inputs tried by this process, by what they are; in the process that prints, those of all processes.
TRIED: Counter[str] = Counter()
#: Name of the variable that asks for more inputs than every run tries.
EXAMPLES = "FUZZ_EXAMPLES"
#: Examples of one property in a run that asked for no number: all of them together take less than a minute.
USUAL = 150
_OUTPUT = "humansync_fuzz"

Test = Callable[..., None]


def fuzzed(what: str, *, share: float = 1.0, **given_by: SearchStrategy[Any]) -> Callable[[Test], Test]:
    """Return a decorator that tries a property with arguments of these strategies, and counts them as `what`.

    share: of the usual number of examples, for a property that takes its time. Without a number asked for, the inputs
    are the same in every run: what CI finds, a developer finds.
    """
    asked = os.environ.get(EXAMPLES)
    examples = max(1, round(int(asked or USUAL) * share))

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def counted(*arguments: Any, **named: Any) -> None:
            TRIED[what] += 1
            test(*arguments, **named)

        profile = settings(
            max_examples=examples,
            deadline=None,
            derandomize=asked is None,
            database=None if asked is None else settings().database,
            # A fixture is an empty database, a server or a folder: the properties clean up behind themselves.
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        )
        tried: Test = profile(given(**given_by)(counted))
        return tried

    return decorate


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the counts of a worker on."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_OUTPUT] = dict(TRIED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take the counts of a worker; one that crashed has left none."""
    TRIED.update(getattr(node, "workeroutput", {}).get(_OUTPUT, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many inputs were tried."""
    if TRIED:
        parts = ", ".join(f"{what} {count:,}" for what, count in sorted(TRIED.items()))
        terminalreporter.write_line(f"fuzz: {TRIED.total():,} inputs tried: {parts}")
