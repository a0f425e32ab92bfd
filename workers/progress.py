"""The live view of a pass: a table that redraws itself on a terminal, a line now and then elsewhere. Always on stderr."""

import sys
import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from workers.report import KindReport, Phase
from workers.tables import count, span

if TYPE_CHECKING:
    from rich.table import Table

#: seconds between the lines of the plain view
LINE_EVERY_S = 3.0
#: rates are taken over this many seconds
RATE_OVER_S = 5.0


#: the bar's width where there is room, and what the other columns take
BAR_WIDTH, WIDTH_BESIDE_BAR = 24, 64
#: lines for what goes wrong: the screen may be as low as 24
TROUBLES = 3
#: windows that must be done before their pace means anything
ENOUGH_WINDOWS = 3


class View(Protocol):
    """Something that shows a pass as it goes."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, kinds: Sequence[KindReport]) -> None:
        """Show where the kinds stand now."""

    def note(self, text: str) -> None:
        """Say one sentence that stays."""


class Pace:
    """Rate and remaining time from what was seen so far."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._seen: deque[tuple[float, int]] = deque()
        self._ended: dict[str, float] = {}

    @property
    def elapsed_s(self) -> float:
        """Seconds since the pass began."""
        return time.monotonic() - self._began

    def rate(self, records: int) -> float:
        """Return records per second over the last few seconds, given the sum so far."""
        now = time.monotonic()
        self._seen.append((now, records))
        while now - self._seen[0][0] > RATE_OVER_S:
            self._seen.popleft()
        since, count_then = self._seen[0]
        return (records - count_then) / (now - since) if now - since > 0 else 0.0

    def kind_seconds(self, kind: KindReport) -> float:
        """Return how long a kind took, or has taken so far."""
        if kind.phase.final:
            return self._ended.setdefault(kind.kind, self.elapsed_s)
        self._ended.pop(kind.kind, None)
        return self.elapsed_s

    def left_s(self, kind: KindReport) -> float | None:
        """Return seconds a kind will still take at its pace; None while there is no pace."""
        if kind.phase.final:
            return 0.0
        return self.elapsed_s * kind.owed / kind.windows if kind.windows >= ENOUGH_WINDOWS else None


class Lines:
    """A sentence every few seconds, for logs and pipes."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held open."""

    def show(self, kinds: Sequence[KindReport]) -> None:
        """Say where the pass stands, unless that was said a moment ago."""
        rate = self._pace.rate(sum(kind.records for kind in kinds))
        if time.monotonic() - self._last < LINE_EVERY_S:
            return
        self._last = time.monotonic()
        done, records = sum(kind.phase.final for kind in kinds), sum(kind.records for kind in kinds)
        windows, owed = sum(kind.windows for kind in kinds), sum(kind.owed for kind in kinds)
        self.note(
            f"{self._pace.elapsed_s:4.0f} s  {done} of {len(kinds)} kinds, {windows} of {windows + owed} windows, "
            f"{count(records)} records, {count(rate)} a second"
        )

    def note(self, text: str) -> None:
        """Say one sentence."""
        print(text, file=sys.stderr, flush=True)


class Screen:
    """A table that redraws itself."""

    def __init__(self) -> None:
        # Only a terminal needs it, and it is slow to import.
        from rich.console import Console  # noqa: PLC0415
        from rich.live import Live  # noqa: PLC0415

        self._pace = Pace()
        # No thread of its own: processes are started while it is up, and fork wants a single thread.
        self._live = Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, kinds: Sequence[KindReport]) -> None:
        """Redraw."""
        from rich.console import Group  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        troubled = [kind for kind in kinds if kind.error and kind.phase is not Phase.DISABLED]
        lines = [
            Text(f"{kind.kind}: {kind.error}", style="red", no_wrap=True, overflow="ellipsis") for kind in troubled
        ]
        if len(lines) > TROUBLES:
            lines[TROUBLES - 1 :] = [Text(f"... and {len(lines) - TROUBLES + 1} more kinds", style="red")]
        self._live.update(Group(self._grid(kinds), *lines), refresh=True)

    def _grid(self, kinds: Sequence[KindReport]) -> "Table":
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        records, done = sum(kind.records for kind in kinds), sum(kind.phase.final for kind in kinds)
        windows, rate = _share(sum(k.windows for k in kinds), sum(k.owed for k in kinds)), self._pace.rate(records)
        width = max(4, min(BAR_WIDTH, self._live.console.width - WIDTH_BESIDE_BAR))
        grid = Table(
            box=None, padding=(0, 1), pad_edge=False, show_footer=True, header_style="bold", footer_style="bold"
        )
        grid.add_column("kind", f"{done} of {len(kinds)} kinds", no_wrap=True, min_width=20)
        grid.add_column("", "", width=width)
        grid.add_column("windows", windows, justify="right", no_wrap=True, min_width=8)
        grid.add_column("records", count(records), justify="right", no_wrap=True, min_width=9)
        grid.add_column("per s", count(rate), justify="right", no_wrap=True, min_width=7)
        grid.add_column("left", f"{span(self._pace.elapsed_s)} gone", justify="right", no_wrap=True, min_width=9)
        for kind in kinds:
            planning = kind.phase is Phase.PLANNING
            bar = ProgressBar(
                total=max(1, kind.windows + kind.owed),
                completed=max(1, kind.windows) if kind.phase is Phase.DONE else kind.windows,
                width=width,
                pulse=planning,
                animation_time=self._pace.elapsed_s,
                complete_style="cyan",
                finished_style="green",
            )
            seconds = max(self._pace.kind_seconds(kind), 0.001)
            grid.add_row(
                kind.kind,
                bar,
                "[dim]planning" if planning else _share(kind.windows, kind.owed),
                count(kind.records),
                count(kind.records / seconds) if kind.records else "",
                _left(kind, self._pace.left_s(kind)),
            )
        return grid

    def note(self, text: str) -> None:
        """Say one sentence above the table."""
        self._live.console.print(text, markup=False)


def _share(windows: int, owed: int) -> str:
    return f"{windows}/{windows + owed}"


def _left(kind: KindReport, seconds: float | None) -> str:
    if kind.phase is Phase.DONE:
        return "[green]done"
    if kind.phase.final:
        return f"[{'red' if kind.phase is Phase.FAILED else 'dim'}]{kind.phase}"
    return span(seconds)


def view() -> View:
    """Return the view that fits where stderr leads."""
    return Screen() if sys.stderr.isatty() else Lines()
