"""What the runs must have met, all together: whatever stands at nothing was not tested."""

from collections import Counter
from collections.abc import Mapping

from humansync.simulator.faults import Fault
from humansync.simulator.switches import specs
from tests.simulation.scenario import COMMANDS, FAULTS, POINTS, Scenario

#: Readings of what the API's documentation leaves open, each a switch of the simulator.
_SWITCHES = ("order", "headers", "bounds", "beyond", "retry_after")
_CHOICES = {spec.name: spec.choices for spec in specs()}


def readings(settings: Scenario) -> list[tuple[str, str]]:
    """Return how the API of a run behaves, as name and reading."""
    switches = settings.switches
    cap = int(str(switches["page_cap"]))
    found = [(name, str(switches[name])) for name in _SWITCHES]
    found.append(("bounds compared", "in whole seconds" if switches["truncate"] else "in milliseconds"))
    found.append(("pages", "capped" if cap < settings.page else "as long as asked"))
    off = switches["clock_skew_s"] or switches["date_skew_s"] or settings.ahead_s
    found.append(("the API's clock", "off" if off else "right"))
    found.append(("the hosts' clocks", "off" if settings.skew_s else "right"))
    traits = ("duplicates", "stale_duplicates", "lag_s", "short_pages", "odd", "rate_limit")
    return found + [(name, "yes") for name in traits if switches[name]]


#: Heading -> what is counted under it.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Messages": (
        *(f"messages {fate}" for fate in ("lost", "doubled", "delayed", "reordered", "expired", "restored")),
        "follow-ups not sent",
        "issued again",
        "tasks retried",
    ),
    "Workers killed": tuple(f"kill {point}" for point in POINTS),
    "Workers stopped": (*(f"pause {point}" for point in POINTS), "pauses past the lease"),
    "Redis": (
        "flushes",
        "outages of Redis",
        "redis: commands not sent",
        "redis: answers lost",
        *(f"redis: {command}" for command in COMMANDS),
    ),
    "Database": (
        "outages of the database",
        "database: could not begin",
        "database: failed before its commit",
        "database: answer to a commit lost",
    ),
    "Records": (
        "pages after which records changed",
        "records that came late",
        *(f"records: {what}" for what in ("change", "touch", "add", "late", "burst", "drop")),
        "rows deleted",
        "versions replaced",
        "whole reads",
    ),
    "Requests by what the API's documentation leaves open": (
        *(f"{name}: {choice}" for name in _SWITCHES for choice in _CHOICES[name]),
        "bounds compared: in whole seconds",
        "bounds compared: in milliseconds",
        "pages: capped",
        "pages: as long as asked",
        "the API's clock: off",
        "the hosts' clocks: off",
        *(f"{trait}: yes" for trait in ("duplicates", "stale_duplicates", "lag_s", "short_pages", "odd", "rate_limit")),
        "filter not applied for a while",
        "key refused for a while",
        "the API's dates step back",
    ),
    "Faults of the API": tuple(f"fault {Fault(fault)}" for fault in FAULTS),
    "How windows were read": tuple(
        f"step: {why}"
        for why in (
            "fits one page",
            "dense by experience",
            "full",
            "full, density unknown",
            "fits one page; rest cut",
            "fits one page; not settled yet",
            "little more than a page",
            "end to be confirmed",
            "more pages",
            "walked to the end",
            "one second holds more than a page",
            "anchor missing",
            "anchor lost",
            "order changes",
            "passes found nothing new",
            "no more than a page is left",
            "one record",
            "no times to cut by",
            "first page unchanged since the last complete read",
        )
    ),
    "What became of steps": (
        *(
            f"outcome: {what}"
            for what in (
                *("gone", "moved on", "held by another", "too early", "waits for the budget"),
                *("retry", "wait", "shrink", "parked", "credentials refused", "paused"),
            )
        ),
        "kind: another planner is at work",
    ),
    "Operators": tuple(f"operator: {what}" for what in ("pause", "resume", "reset", "backfill", "retry")),
    "Checks": ("windows done", "cursors checked", "records compared"),
}


class Met:
    """What many runs have met, and in how many of them each thing was met."""

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self.runs: Counter[str] = Counter()

    def add(self, tally: Mapping[str, int]) -> None:
        """Add what one run met."""
        self.total.update(tally)
        self.runs.update(name for name, count in tally.items() if count)

    def lacking(self) -> list[str]:
        """Return what should have been met and was not."""
        return [name for names in GROUPS.values() for name in names if not self.total[name]]

    def __str__(self) -> str:
        named = {name for names in GROUPS.values() for name in names}
        rest = tuple(sorted(name for name, count in self.total.items() if count and name not in named))
        lines = []
        for heading, names in {**GROUPS, "Besides": rest}.items():
            lines.append(f"\n{heading}")
            lines += [f"{self.total[name]:10,}  in {self.runs[name]:6,} runs  {name}" for name in names]
        return "\n".join(lines).strip()
