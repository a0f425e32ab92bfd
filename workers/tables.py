"""Aligned tables as plain text; bold and colour only where a terminal shows them."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from humansync.redaction import redact_url


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, and whether it holds numbers (flush right)."""

    heading: str
    number: bool = False


#: ANSI codes of the few styles in use
STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def colourful(stream: TextIO) -> bool:
    """Say whether a stream shows colours and its reader wants them (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """Return the text in a style, unchanged where the stream (default: stdout) shows none."""
    if not style or not colourful(stream or sys.stdout):
        return text
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m"


def count(number: float) -> str:
    """Return a number in groups of three."""
    return f"{number:,.0f}"


def span(seconds: float | None) -> str:
    """Return a length of time in its largest fitting unit: `45 s`, `3 min`, `5 h`, `2 d`; `-` where there is none."""
    if seconds is None:
        return "-"
    if seconds < 100:  # noqa: PLR2004 -- "95 s" says more than "2 min"
        return f"{max(0, round(seconds))} s"
    for unit, length, most in (("min", 60, 100), ("h", 3600, 48)):
        if seconds < length * most:
            return f"{round(seconds / length)} {unit}"
    return f"{round(seconds / 86400):,} d"


def database(url: str) -> str:
    """Return a database's address as people say it: a file's path, else the URL without its password."""
    scheme, _, path = url.partition(":///")
    return path if scheme.startswith("sqlite") and path else redact_url(url)


def table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    total: Sequence[str] | None = None,
    styles: Sequence[str] = (),
) -> str:
    """Return the lines of a table; `styles` names one per row, `total` is a last row below a rule."""
    every = [[column.heading for column in columns], *rows, *([total] if total else [])]
    widths = [max(len(row[i]) for row in every) for i in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if column.number else cell.ljust(width)
            for cell, width, column in zip(row, widths, columns, strict=True)
        )
        return "  ".join(cells).rstrip()

    rule = styled("-" * (sum(widths) + 2 * (len(widths) - 1)), "dim")
    lines = [styled(line(every[0]), "bold"), rule]
    lines += [styled(line(row), styles[i] if styles else "") for i, row in enumerate(rows)]
    if total:
        lines += [rule, styled(line(total), "bold")]
    return "\n".join(lines)
