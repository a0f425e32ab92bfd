"""`humansync verify`: is the database as the API has it? Record by record."""

import json
import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from config.settings import Settings
from humansync.check import Findings
from humansync.errors import ConfigError
from humansync.records import SEPARATOR
from humansync.state.local import PROCESSES, LocalBudget
from humansync.verify import Asked
from humansync.verify import verify as compare
from humansync.windows import format_instant
from workers import dataset, deployment
from workers.arguments import Scope
from workers.tables import Column, count, span, styled, table

#: exit status where records differ
DIFFERENT = 3
#: identities of a sort that are listed for people; `--json` names all
NAMED = 10
#: seconds between two words on how far it is: on a terminal, elsewhere
TOLD_EVERY_S, LINE_EVERY_S = 0.2, 5.0


def verify(asked: Scope, *, repair: bool, as_json: bool) -> int:
    """Compare, report, and return the exit status. Raises HumansyncError where it cannot be done to the end."""
    settings = deployment.settings()
    settings.credentials()
    _no_simulated_data(settings)
    # What goes on inside is told on stderr; the library's own log lines are for workers.
    logging.getLogger("humansync").addHandler(logging.NullHandler())
    kinds = asked.kinds or settings.kinds
    with deployment.runtime(settings) as held, _progress() as progress:
        if not settings.has_redis:  # if none runs here either, no worker is there to share the rate with
            held.parts.fallback = LocalBudget(settings.rate * PROCESSES).wait_s
        found = compare(
            held.parts,
            Asked(kinds, asked.since, asked.before, repair, settings.every),
            slot=held.shared.slot,
            progress=progress.told,
        )
    equal = not any(each.left for each in found)
    print(json.dumps(document(found, equal=equal)) if as_json else report(found, repair=repair))
    return 0 if equal else DIFFERENT


def _no_simulated_data(settings: Settings) -> None:
    if dataset.origin(settings.database_url) is dataset.Origin.SIMULATOR:
        raise ConfigError(
            "the database holds data of the bundled simulator, and the simulator that it had them from is gone: "
            "there is nothing to compare it with"
        )


def document(found: Iterable[Findings], *, equal: bool) -> dict[str, object]:
    """Return the document that `--json` prints.

    With `--repair` the lists name what was found, and `equal` says whether all of it is mended.
    """
    return {
        "equal": equal,
        "kinds": [
            {
                "kind": each.kind,
                "upstream": each.upstream,
                "stored": each.stored,
                "missing": sorted(each.missing),
                "stale": sorted(each.stale),
                "extra": sorted(each.extra),
            }
            for each in found
        ],
    }


# --- for people -----------------------------------------------------------------------------------

_SORTS = ("missing", "stale", "extra")
#: 80 characters at most
_COLUMNS = tuple(Column(name, number=name != "kind") for name in ("kind", "upstream", "stored", *_SORTS))


def report(found: Sequence[Findings], *, repair: bool) -> str:
    """Return the table, what differs by name, and what to do about it."""
    columns = [*_COLUMNS, *([Column("mended", number=True)] if repair else [])]
    rows = [[each.kind, *map(count, _figures(each))][: len(columns)] for each in found]
    total = ["total", *(count(sum(column)) for column in zip(*map(_figures, found), strict=True))][: len(columns)]
    styles = ["red" if each.left else "dim" if each.window is None else "" for each in found]
    lines = [table(columns, rows, total=total, styles=styles), "", _compared(found)]
    lines += [line for each in found for line in _remarks(each)]
    differences, left = sum(each.differences for each in found), sum(each.left for each in found)
    if not differences:
        lines.append(styled("Equal.", "green"))
    elif not left:
        lines.append(styled(f"All {count(differences)} differences are mended.", "green"))
    else:
        lines.append(styled(f"{count(left)} records differ{'' if repair else '; --repair mends them'}.", "red"))
    return "\n".join(lines)


def _figures(found: Findings) -> list[int]:
    return [found.upstream, found.stored, *(len(getattr(found, sort)) for sort in _SORTS), found.mended]


def _compared(found: Sequence[Findings]) -> str:
    windows = [each.window for each in found if each.window is not None]
    requests = count(sum(each.requests for each in found))
    if not windows:
        return "Nothing is claimed to be complete there, so nothing was compared."
    first, last = min(each.since for each in windows), max(each.before for each in windows)
    return f"Compared what was updated from {format_instant(first)} to {format_instant(last)}, by {requests} requests."


def _remarks(found: Findings) -> Iterator[str]:
    if found.disabled is not None:
        yield f"{found.kind}: the API does not offer it: {found.disabled}"
    for sort in _SORTS:
        names = sorted(getattr(found, sort))
        if names:
            shown = ", ".join(name.replace(SEPARATOR, "/") for name in names[:NAMED])
            more = f", and {count(len(names) - NAMED)} more (--json names all)" if len(names) > NAMED else ""
            yield f"{found.kind}, {sort}: {shown}{more}"
    for note in found.notes:
        yield f"{found.kind}: {note}"


class _Progress:
    """Tells on stderr how far it is: one line that changes on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._terminal = sys.stderr.isatty()
        self._began = self._last = time.monotonic()
        self._requests = self._records = 0

    def told(self, kind: str, requests: int, records: int) -> None:
        """Take note of a part that is compared. From any thread."""
        with self._lock:
            self._requests, self._records = self._requests + requests, self._records + records
            now = time.monotonic()
            if now - self._last >= (TOLD_EVERY_S if self._terminal else LINE_EVERY_S):
                self._last = now
                facts = f"{count(self._records)} records compared by {count(self._requests)} requests"
                self._say(f"{span(now - self._began)}  {facts}, at {kind} now")

    def _say(self, line: str) -> None:
        print(f"\r{line}\x1b[K" if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def close(self) -> None:
        """Leave the terminal's line empty."""
        if self._terminal:
            self._say("")


@contextmanager
def _progress() -> Iterator[_Progress]:
    shown = _Progress()
    try:
        yield shown
    finally:
        shown.close()
