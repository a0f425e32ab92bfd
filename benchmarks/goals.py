"""What the project promises about speed, each as a figure of one scene and its limit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Goal:
    """One promise."""

    scene: str
    words: str
    limit: float
    #: the figure; None where the scene lacks what it takes
    figure: Callable[[Document], float | None]
    #: whether the figure is to stay below its limit, or to reach it
    at_most: bool = True

    def reached(self, figure: float) -> bool:
        """Return whether a figure keeps the promise."""
        return figure <= self.limit if self.at_most else figure >= self.limit


def of_ceiling(scene: Document) -> float | None:
    """Return humansync's time as a multiple of the ceiling's."""
    found: float | None = scene["medians"].get("humansync", {}).get("of_ceiling")
    return found


def times_as_fast_as(*rivals: str) -> Callable[[Document], float | None]:
    """Return a figure: how much longer the fastest of these takes than humansync."""

    def figure(scene: Document) -> float | None:
        found = [scene["medians"][name]["of_humansync"] for name in rivals if name in scene["medians"]]
        return min((each for each in found if each), default=None)

    return figure


def median(what: str) -> Callable[[Document], float | None]:
    """Return a figure: one of humansync's medians."""

    def figure(scene: Document) -> float | None:
        found: float | None = scene["medians"].get("humansync", {}).get(what)
        return found

    return figure


def stated(name: str) -> Callable[[Document], float | None]:
    """Return a figure that the scene states."""

    def figure(scene: Document) -> float | None:
        found: float | None = scene["figures"].get(name)
        return found

    return figure


CELERY = times_as_fast_as("celery", "celery-prefork")
GOALS: tuple[Goal, ...] = (
    Goal("throughput-500000", "time, as a multiple of the bare loop's", 1.4, of_ceiling),
    Goal("throughput-500000", "times as fast as dlt", 2.4, times_as_fast_as("dlt"), at_most=False),
    Goal("throughput-500000", "times as fast as dlt's Arrow path", 1.7, times_as_fast_as("dlt-arrow"), at_most=False),
    Goal("throughput-500000", "times as fast as the Celery script", 2.0, CELERY, at_most=False),
    Goal("throughput-100000", "time, as a multiple of the bare loop's", 1.7, of_ceiling),
    Goal("throughput-100000", "times as fast as dlt", 2.5, times_as_fast_as("dlt"), at_most=False),
    Goal("latency", "time, as a multiple of the bare loop's", 1.5, of_ceiling),
    Goal("latency", "times as fast as dlt", 2.3, times_as_fast_as("dlt"), at_most=False),
    Goal("kinds", "time, as a multiple of the bare loop's", 1.7, of_ceiling),
    Goal("kinds", "times as fast as dlt", 1.9, times_as_fast_as("dlt"), at_most=False),
    Goal("sqlite", "time, as a multiple of the bare loop's", 2.0, of_ceiling),
    Goal("again", "requests", 16, median("requests")),
    Goal(
        "again",
        "times as fast as dlt's second run",
        1.0,
        times_as_fast_as("dlt-merge", "dlt-arrow-merge"),
        at_most=False,
    ),
    Goal("standing", "seconds", 0.5, median("seconds")),
    Goal(
        "crash", "fetched again beyond what was missing and in flight, share of what was missing", 0.1, stated("again")
    ),
    Goal(
        "scale", "rate of a million records, as a multiple of a hundred thousand's", 1.0, stated("rate"), at_most=False
    ),
    Goal("scale", "memory at a million, as a multiple of a hundred thousand's; worst process", 1.1, stated("memory")),
    Goal("rate", "share of the allowed rate", 0.95, stated("share of the allowed rate"), at_most=False),
    Goal("rate", "429 after the first second", 0, stated("429 after the first second")),
)
