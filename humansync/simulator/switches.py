"""Every behaviour that can be switched on, each with its default and meaning: the one table of them.

The command line, `/_control` and the documentation all read this table. Numbers in brackets are the rows of
section 9 of `docs/human-api.md` that a switch makes real.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from humansync.kinds import KINDS
from humansync.simulator.faults import DEFAULT_MIX, Fault
from humansync.simulator.odd import Odd

T = TypeVar("T")

#: Orders in which the records of a window are served.
ORDERS = (
    "event-desc",
    "event-asc",
    "updated-asc",
    "updated-desc",
    "per-user",
    "natural",
    "random-fixed",
    "random",
)


class SwitchError(ValueError):
    """A switch that does not exist, or a value it does not take: the message names both."""


def _switch(default: T, meaning: str, *choices: str) -> T:
    """Return a dataclass field that knows what it means; typed as its value, as `dataclasses.field` is."""
    value: T = field(default=default, metadata={"meaning": meaning, "choices": choices})
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What the simulated API does. Immutable: `changed` returns another one."""

    # --- which records a query selects -----------------------------------------------------------
    bounds: str = _switch(
        "ge-lt",
        "how updatedAt is compared with updated_since and updated_before: >= or >, < or <= ([7])",
        "ge-lt",
        "ge-le",
        "gt-lt",
        "gt-le",
    )
    truncate: bool = _switch(default=False, meaning="compare updatedAt by whole seconds, rounded down ([8])")
    ignore: str = _switch("none", "bounds that are read and not applied ([9], [13])", "none", "since", "before", "both")
    malformed: str = _switch(
        "ignore", "a bound that is not YYYYMMDDTHHmmssZ: taken as absent, or refused ([9])", "ignore", "400"
    )
    wide: str = _switch(
        "400",
        "windows over 31 days: refused, older or newer part cut off, or served whole ([10])",
        "400",
        "clamp-head",
        "clamp-tail",
        "serve",
    )
    old: str = _switch("serve", "windows that end over 31 days ago ([11])", "serve", "empty", "400")
    traits: str = _switch("ignore", "bounds on genetic traits: ignored, or nothing matches ([16])", "ignore", "empty")

    # --- how a selection is paged ----------------------------------------------------------------
    order: str = _switch("event-desc", "order of the records; `random` is another one for each request ([4])", *ORDERS)
    servers: int = _switch(
        1,
        "this many servers answer in turn, page by page: with order `random-fixed`, each has an order of its own ([4])",
    )
    page_cap: int = _switch(500, "most records in a page, whatever was asked for ([6])")
    over_limit: str = _switch("clamp", "a limit over 500: cut down, or refused ([6])", "clamp", "400")
    short_pages: float = _switch(0.0, "share of pages that hold 1 to 3 records fewer than they should ([6])")
    beyond: str = _switch("empty", "an offset beyond the end ([3])", "empty", "404", "400")
    headers: str = _switch(
        "both",
        "Link and X-Total-Count: which are sent, or both with wrong values ([1])",
        "both",
        "link",
        "total",
        "none",
        "wrong",
    )
    link_host: str = _switch("", "scheme and host that Link names in place of the real ones ([47])")
    duplicates: int = _switch(0, "every n-th record of a selection comes twice in a row ([30]); 0: none")
    stale_duplicates: int = _switch(
        0, "every n-th record is followed by an older version of itself ([29], [30]); 0: none"
    )

    # --- time ------------------------------------------------------------------------------------
    lag_s: float = _switch(0.0, "records become visible up to so many seconds after their updatedAt ([14])")
    clock_skew_s: float = _switch(0.0, "the whole API's clock runs ahead of the machine's ([15]); may be negative")
    date_skew_s: float = _switch(0.0, "only the Date header runs ahead ([15]); may be negative")

    # --- access ----------------------------------------------------------------------------------
    absent: tuple[str, ...] = _switch((), "kinds that answer 404 ([34])", *KINDS)
    forbidden: tuple[str, ...] = _switch((), "kinds that answer 403 ([34])", *KINDS)
    revoked: bool = _switch(default=False, meaning="every request answers 401 ([35])")
    rate_limit: int = _switch(0, "requests served in each whole second, 429 beyond ([36]); 0: no limit")
    retry_after: str = _switch("seconds", "form of Retry-After on 429 and 503 ([36])", "seconds", "date", "none")
    retry_after_s: int = _switch(1, "what Retry-After says")
    redirect_to: str = _switch("http://127.0.0.1:9", "where the fault `redirect` points ([42])")

    # --- faults ----------------------------------------------------------------------------------
    fault_rate: float = _switch(0.0, "share of requests that meet a fault instead of their answer")
    faults: tuple[str, ...] = _switch(tuple(DEFAULT_MIX), "the faults they meet, equally often ([36]-[42])", *Fault)
    fault_kinds: tuple[str, ...] = _switch((), "kinds that meet faults; none named: all", *KINDS)
    latency_ms: float = _switch(0.0, "every answer waits so long")
    jitter_ms: float = _switch(0.0, "and up to so much longer")
    slow_s: float = _switch(30.0, "how long the bytes of a `slow` answer take ([40])")
    stall_s: float = _switch(300.0, "how long a `stall` lasts after the headers ([40])")
    huge_mb: int = _switch(80, "size of the bodies of `huge` and `bomb` ([40])")
    gzip: bool = _switch(default=False, meaning="compress answers for clients that accept it ([41])")

    # --- records that change while a client reads -------------------------------------------------
    change_every: int = _switch(0, "records change after every n-th served page ([5]); 0: never")
    change: int = _switch(1, "so many records are updated then: they leave the window")
    add: int = _switch(0, "so many records are added then, updated now")
    late: int = _switch(0, "so many records are added then, with an updatedAt already passed ([14])")
    drop: int = _switch(0, "so many records are deleted then ([32])")
    late_by_s: float = _switch(
        600.0, "with scope `kind`: how far in the past the updatedAt of late records lies at most"
    )
    scope: str = _switch(
        "window", "where they are chosen: in the window just read, or in the whole kind", "window", "kind"
    )
    change_per_s: float = _switch(0.0, "updates a second in each kind, by the clock")
    add_per_s: float = _switch(0.0, "new records a second in each kind, by the clock")

    # --- what the records look like; for those that come to be from then on -----------------------
    odd: float = _switch(0.0, "share of records that are odd in one of the ways of `odd_ways` ([16]-[28], [46])")
    odd_ways: tuple[str, ...] = _switch(tuple(Odd.usable()), "the ways, equally often", *Odd)
    shared_ids: bool = _switch(default=False, meaning="ids are unique within a kind only ([31])")

    def changed(self, changes: Mapping[str, object]) -> "Switches":
        """Return these switches with some set to other values, given as values or texts; SwitchError if wrong."""
        table = {spec.name: spec for spec in fields(self)}
        values: dict[str, Any] = {}
        for name, value in changes.items():
            key = name.replace("-", "_")
            if key not in table:
                raise SwitchError(f"there is no switch {name!r}; there are: {', '.join(table)}")
            values[key] = _read(key, value, type(table[key].default), table[key].metadata["choices"])
        return replace(self, **values)

    def as_dict(self) -> dict[str, object]:
        """Return every switch and its value, fit for JSON."""
        return {spec.name: getattr(self, spec.name) for spec in fields(self)}


@dataclass(frozen=True, slots=True)
class Spec:
    """What the command line and the documentation need to know of a switch."""

    name: str
    default: object
    meaning: str
    choices: tuple[str, ...]


def specs() -> list[Spec]:
    """Return every switch, in the order of the table."""
    return [
        Spec(spec.name, spec.default, spec.metadata["meaning"], tuple(map(str, spec.metadata["choices"])))
        for spec in fields(Switches)
    ]


def _read(name: str, value: object, kind: type, choices: tuple[str, ...]) -> object:
    """Return the value as the switch's type."""
    if kind is tuple:
        return _read_names(name, value, choices)
    if kind is bool:
        return _read_bool(name, value)
    if kind is str:
        if choices and value not in choices:
            raise SwitchError(f"{name} is one of {', '.join(choices)}, not {value!r}")
        return str(value)
    return _read_number(name, value, kind)


def _read_names(name: str, value: object, choices: tuple[str, ...]) -> tuple[str, ...]:
    given = value.split(",") if isinstance(value, str) else value
    if not isinstance(given, list | tuple):
        raise SwitchError(f"{name} is a list of names, not {value!r}")
    names = tuple(text for item in given if (text := str(item).strip()))
    if wrong := [item for item in names if item not in choices]:
        raise SwitchError(f"{name} takes {', '.join(choices)}, not {', '.join(wrong)}")
    return names


def _read_bool(name: str, value: object) -> bool:
    known = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    answer = known.get(str(value).lower())
    if answer is None:
        raise SwitchError(f"{name} is true or false, not {value!r}")
    return answer


def _read_number(name: str, value: object, kind: type) -> int | float:
    try:
        number = None if isinstance(value, bool) else kind(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if kind is int and isinstance(value, float) and not value.is_integer():
        raise SwitchError(f"{name} is a whole number, not {value!r}")
    if number is None or not math.isfinite(number) or (number < 0 and not name.endswith("_skew_s")):
        raise SwitchError(f"{name} is a number from 0, not {value!r}")
    if name in {"fault_rate", "short_pages", "odd"} and number > 1:
        raise SwitchError(f"{name} is a share between 0 and 1, not {value!r}")
    if name in {"page_cap", "servers"} and number < 1:
        raise SwitchError(f"{name} is at least 1")
    result: int | float = number
    return result
