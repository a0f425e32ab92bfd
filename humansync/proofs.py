"""How much of history is proven equal with the API, and what is to be looked at next? Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from humansync.windows import SECOND, Window, gaps, merge

#: Adjoining ranges proven within this of each other become one, dated by the older: the list stays short.
TOGETHER = timedelta(days=7)
#: An audit leaves the last days alone: the sweep reads them again anyway, and most records change there.
SETTLED = timedelta(days=3)
#: What is proven is looked at again after this long, as far as turns reach.
AGAIN = timedelta(days=7)
#: An audit's window, where nothing is known of density.
UNKNOWN_S = 86_400.0
#: Rows an audit aims at with one request: half a page, so that most windows need no cutting.
ROWS_A_REQUEST = 250
#: The API refuses longer ones.
LONGEST = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Proof:
    """A range that was compared with the API, record by record."""

    window: Window
    proven_at: datetime
    #: what was found different and not mended; 0 where the range is proven equal
    differences: int = 0


def add(proofs: Iterable[Proof], new: Proof) -> list[Proof]:
    """Return the proofs with a newer one, sorted and disjoint: it takes the place of what it covers."""
    kept = [replace(proof, window=part) for proof in proofs for part in gaps(proof.window, [new.window])]
    joined: list[Proof] = []
    for proof in sorted([*kept, new], key=lambda each: each.window):
        if joined and _together(joined[-1], proof):
            last = joined.pop()
            window = Window(last.window.since, proof.window.before)
            joined.append(Proof(window, min(last.proven_at, proof.proven_at)))
        else:
            joined.append(proof)
    return joined


def _together(a: Proof, b: Proof) -> bool:
    close = abs(a.proven_at - b.proven_at) <= TOGETHER
    return a.window.before == b.window.since and not a.differences and not b.differences and close


def pick(
    coverage: Sequence[Window],
    proofs: Sequence[Proof],
    density: float | None,
    now: datetime,
    *,
    requests: int,
    chance: float,
) -> Window | None:
    """Return a covered window to compare next, drawn by lot; None where all is proven as of late, or nothing is old.

    What was never proven goes first, then what was proven longest ago. By lot, because a window that cannot be read
    must not keep the others from their turn. density: rows per second. requests: about so many may be spent on it.
    chance: uniform in [0, 1).
    """
    # By whole days: slivers that grow old between two turns must not take every turn.
    edge = (now - SETTLED).replace(hour=0, minute=0, second=0, microsecond=0)
    settled = [part for window in merge(coverage) if (part := _until(window, edge)) is not None]
    unproven = [gap for window in settled for gap in gaps(window, [proof.window for proof in proofs])]
    candidates = unproven or [
        common
        for proof in proofs
        for window in settled
        if now - proof.proven_at > AGAIN and (common := _common(proof.window, window)) is not None
    ]
    width_s = requests * ROWS_A_REQUEST / density if density else UNKNOWN_S
    return _drawn(candidates, max(1, int(min(width_s, LONGEST.total_seconds()))), chance)


def _drawn(windows: Sequence[Window], width_s: int, chance: float) -> Window | None:
    """Return one of the nearly equal parts, none wider than `width_s`, that the windows can be cut into."""
    second = int(chance * sum(window.seconds for window in windows))
    for window in windows:
        if second < window.seconds:
            parts = -(-window.seconds // width_s)
            number = (second * parts + parts - 1) // window.seconds
            since, before = (window.seconds * i // parts for i in (number, number + 1))
            return Window(window.since + SECOND * since, window.since + SECOND * before)
        second -= window.seconds
    return None


def _until(window: Window, edge: datetime) -> Window | None:
    before = min(window.before, edge)
    return Window(window.since, before) if window.since < before else None


def _common(a: Window, b: Window) -> Window | None:
    since, before = max(a.since, b.since), min(a.before, b.before)
    return Window(since, before) if since < before else None


@dataclass(frozen=True, slots=True)
class Standing:
    """How much of one kind's history is proven."""

    #: of what is covered, from 0 to 1
    share: float
    #: the proof that is oldest, and the newest
    oldest_at: datetime | None
    latest_at: datetime | None
    #: known to differ and not mended
    differences: int


def standing(coverage: Sequence[Window], proofs: Sequence[Proof], *, whole: bool = False) -> Standing:
    """Return how much of what is covered is proven equal, and when that was proven.

    whole: the kind has no times, so that one comparison is about all of it.
    """
    merged = [proof.window for proof in proofs] if whole and proofs else merge(coverage)
    covered_s = sum(window.seconds for window in merged)
    equal = [
        (part, proof.proven_at)
        for proof in proofs
        if not proof.differences
        for window in merged
        if (part := _common(proof.window, window)) is not None
    ]
    instants = [at for _, at in equal]
    return Standing(
        share=sum(part.seconds for part, _ in equal) / covered_s if covered_s else 0.0,
        oldest_at=min(instants, default=None),
        latest_at=max(instants, default=None),
        differences=sum(proof.differences for proof in proofs),
    )
