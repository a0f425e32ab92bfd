"""What a task was asked, checked: messages are also typed by hand, with `celery call`. Each fault is one sentence."""

from datetime import datetime

from humansync.errors import ConfigError
from humansync.kinds import KINDS
from humansync.ledger import Purpose, State, Walk, WindowRow
from humansync.redaction import one_line
from humansync.timespec import parse_time
from humansync.windows import Window, floor_second, parse_instant

#: What an id in the ledger, or an epoch, can be.
_INTEGER_MAX = 2**63 - 1


def known(kind: object) -> str:
    """Return the kind's name. Raises ConfigError where there is none of that name."""
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(f"unknown kind {one_line(repr(kind)[:60])}: allowed are {', '.join(KINDS)}")
    return kind


def instant(name: str, text: object, now: datetime) -> datetime:
    """Return the instant that an argument names. Raises ConfigError."""
    if not isinstance(text, str):
        raise ConfigError(f"{name} is a text that names an instant, not {type(text).__name__}")
    try:
        return parse_time(text, now)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def window(since: object, before: object, now: datetime) -> Window:
    """Return the window of two bounds. Raises ConfigError."""
    first, last = (floor_second(instant(name, text, now)) for name, text in (("since", since), ("before", before)))
    if first >= last:
        raise ConfigError("since must lie before before")
    return Window(first, last)


def number(name: str, value: object) -> int:
    """Return a row's id or epoch. Raises ConfigError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _INTEGER_MAX:
        raise ConfigError(f"{name} is a number of the ledger, not {one_line(repr(value)[:60])}")
    return value


def untouched(
    window_id: int, epoch: int, kind: str, bounds: Window, *, purpose: object, covered_to: object, sized: object
) -> WindowRow:
    """Return the row of a window that nothing has happened to, as its message tells of it. Raises ConfigError."""
    if not isinstance(purpose, str) or purpose not in set(Purpose):
        raise ConfigError(f"purpose is one of {', '.join(Purpose)}, not {one_line(repr(purpose)[:60])}")
    covered = None
    if covered_to is not None:
        try:
            covered = parse_instant(str(covered_to))
        except (ValueError, OverflowError):
            raise ConfigError("covered_to is an ISO 8601 instant with an offset") from None
    if not isinstance(sized, bool):
        raise ConfigError(f"sized is true or false, not {one_line(repr(sized)[:60])}")
    walk = Walk(sized=sized)
    return WindowRow(window_id, kind, bounds, Purpose(purpose), State.OWED, epoch, walk, covered_to=covered)
