"""What a command was asked to work on: kinds and bounds, checked before anything is started."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from humansync.errors import ConfigError
from humansync.kinds import KINDS
from humansync.windows import floor_second, format_instant


@dataclass(frozen=True, slots=True)
class Scope:
    """Kinds and bounds of a pass."""

    #: as named by the user; empty means every kind of the settings
    kinds: tuple[str, ...] = ()
    #: whole seconds, UTC
    since: datetime | None = None
    before: datetime | None = None

    @property
    def bounds(self) -> dict[str, str]:
        """The bounds that were given, as a message carries them."""
        given = {"since": self.since, "before": self.before}
        return {name: format_instant(instant) for name, instant in given.items() if instant is not None}


def known_kinds(names: Iterable[str]) -> tuple[str, ...]:
    """Return the kinds without repetition, in the order named. Raises ConfigError for one that does not exist."""
    kinds: list[str] = []
    for name in names:
        kind = name.strip().lower().replace("-", "_")
        if kind not in KINDS:
            close = difflib.get_close_matches(kind, KINDS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"kinds are {', '.join(KINDS)}"
            raise ConfigError(f"there is no kind {name!r}: {hint}")
        if kind not in kinds:
            kinds.append(kind)
    return tuple(kinds)


def instant(option: str, text: str | None, now: datetime) -> datetime | None:
    """Return the instant an option names, to the whole second. Raises ConfigError, naming the option."""
    if text is None:
        return None
    from humansync.timespec import parse_time  # noqa: PLC0415 -- keeps `--help` fast

    try:
        return floor_second(parse_time(text, now))
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from error


def moment(option: str, text: str) -> datetime:
    """Return the instant that a required option names. Raises ConfigError."""
    found = instant(option, text, datetime.now(UTC))
    if found is None or found > datetime.now(UTC):
        raise ConfigError(f"{option} ({text}) lies in the future")
    return found


def scope(
    kinds: Iterable[str],
    since: str | None,
    before: str | None,
    now: datetime | None = None,
    *,
    before_alone: bool = False,
) -> Scope:
    """Return what a command is to work on. Raises ConfigError.

    before_alone: whether an end without a beginning makes sense to the command.
    """
    now = now or datetime.now(UTC)
    asked = Scope(known_kinds(kinds), instant("--since", since, now), instant("--before", before, now))
    if asked.since and asked.before and asked.since >= asked.before:
        raise ConfigError(f"--since ({asked.bounds['since']}) must lie before --before ({asked.bounds['before']})")
    if asked.since and asked.since > now:
        raise ConfigError(f"--since ({asked.bounds['since']}) lies in the future")
    if asked.before and not asked.since and not before_alone:
        raise ConfigError("--before needs --since: a backfill has both bounds")
    return asked
