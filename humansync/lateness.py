"""How late do records appear? Classes, sums and the judgement that an operator needs. Pure.

A record is late when a read finds it behind what was already complete: it was not there when its time was
read. How far behind is what the overlap (`HUMANSYNC_OVERLAP_S`) has to reach back over to find it with the
next pass; what lies deeper waits for the daily sweep.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400

#: Upper bounds of the classes, in seconds.
CLASSES = (
    _MINUTE,
    2 * _MINUTE,
    5 * _MINUTE,
    10 * _MINUTE,
    15 * _MINUTE,
    30 * _MINUTE,
    _HOUR,
    2 * _HOUR,
    6 * _HOUR,
    12 * _HOUR,
    _DAY,
    2 * _DAY,
    3 * _DAY,
)
#: Stands for everything beyond the last class.
BEYOND = 0
#: From this share of the overlap on, lateness is near it.
NEAR = 0.8
#: What lies longer ago than this says nothing about today's API.
REMEMBERED = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Late:
    """Late records of one kind and class."""

    #: upper bound of the class; BEYOND for the last
    up_to_s: int
    records: int
    longest_s: float
    latest_at: datetime


def class_of(late_s: float) -> int:
    """Return the class of a lateness in seconds."""
    return next((bound for bound in CLASSES if late_s <= bound), BEYOND)


def count(updated: Iterable[datetime], covered_to: datetime, now: datetime) -> list[Late]:
    """Return the late ones among records found now, by class: those updated before `covered_to`."""
    seconds = sorted((covered_to - each).total_seconds() for each in updated if each < covered_to)
    found: dict[int, list[float]] = {}
    for late_s in seconds:
        found.setdefault(class_of(late_s), []).append(late_s)
    return [Late(bound, len(members), members[-1], now) for bound, members in found.items()]


@dataclass(frozen=True, slots=True)
class Lateness:
    """What is known of one kind's late records."""

    records: int
    longest_s: float
    latest_at: datetime
    #: the deepest of the last month lay this far behind
    recent_s: float
    classes: tuple[Late, ...]

    def percentile(self, share: float) -> float:
        """Return how late at most that share of the late records was, in seconds, as finely as classes tell."""
        left = share * self.records
        for late in self.classes:
            left -= late.records
            if left <= 0:
                return min(float(late.up_to_s or late.longest_s), late.longest_s)
        return self.longest_s

    def near(self, overlap_s: float) -> bool:
        """Whether records of the last month came near the overlap, or were beyond it."""
        return self.recent_s >= NEAR * overlap_s

    def beyond(self, overlap_s: float) -> bool:
        """Whether records of the last month came later than any pass would have found them."""
        return self.recent_s > overlap_s


def summary(classes: Collection[Late], now: datetime) -> Lateness | None:
    """Return what one kind's classes say together; None where no record was late."""
    if not classes:
        return None
    ordered = sorted(classes, key=lambda late: late.up_to_s or float("inf"))
    return Lateness(
        records=sum(late.records for late in ordered),
        longest_s=max(late.longest_s for late in ordered),
        latest_at=max(late.latest_at for late in ordered),
        recent_s=max((late.longest_s for late in ordered if now - late.latest_at <= REMEMBERED), default=0.0),
        classes=tuple(ordered),
    )
