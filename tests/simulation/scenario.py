"""One seed -> everything that a run is made of: how the API behaves, what breaks how often, how long it goes on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random

from humansync.simulator.faults import DEFAULT_MIX, Fault
from humansync.simulator.odd import UNUSABLE, Odd
from humansync.simulator.switches import specs

_CHOICES = {spec.name: spec.choices for spec in specs()}
#: Kinds of different shape; the reader treats all windowed kinds alike.
_WINDOWED = ("activities", "heart_rates", "sleeps", "meals", "blood_pressures", "bmis")
_WHOLE = "genetic_traits"
#: Where these stay, a window is parked after three in a row, or its kind is left alone for a day.
_REFUSALS = (Fault.E400, Fault.E401, Fault.E403, Fault.E404, Fault.REDIRECT)
_SLIPS = (Fault.ERROR_OBJECT, Fault.WRONG_TYPE, Fault.EMPTY_OBJECT, Fault.NULL)
_SLOW = (Fault.SLOW, Fault.STALL, Fault.HUGE, Fault.BOMB)
#: Every fault that a run may meet.
FAULTS = (*DEFAULT_MIX, *_SLIPS, *_SLOW, *_REFUSALS)
#: Where a process can die, or be stopped: before and after everything that others can see.
POINTS = (
    *("before plan", "after plan", "before unlock"),
    *("before admit", "after admit", "before fetch", "after fetch", "before commit", "after commit"),
    *("before release", "after release", "before follow-ups", "between follow-ups", "before acknowledging"),
)
#: What Redis is asked; each can fail before it took effect, or after.
COMMANDS = (
    *("admit", "release", "renew", "mark", "unissued", "lock", "unlock", "hold", "slow_down"),
    *("cursor", "move_cursor"),
)
#: Each run has its focus on some places, commands and faults, so that all are met often: so many of each sort.
FOCUSED = 2
#: Where a run has its focus, this is the chance of death, of a stop, of a failing command ...
FOCUS = 0.35
#: ... or more, where a run comes by seldom ...
RARE: dict[str, float] = {"hold": 0.6, "slow_down": 0.6, "renew": 0.9}
#: ... and this that a request meets a fault.
FAULT_FOCUS = 0.6
#: What is hardly met by the way is chosen as a focus more often, by this factor.
_OFTEN: dict[str, float] = {
    **dict.fromkeys(("before plan", "after plan", "before unlock", "renew"), 2),
    "move_cursor": 3,
    **dict.fromkeys((*_SLIPS, *_SLOW, *_REFUSALS), 1.5),
    Fault.E401: 1,
}
#: What is read while the API's dates run ahead counts as covered up to there. The overlap behind it must reach back to
#: the present, and beyond it to what comes late: so much of it is used up.
_COVERED_AHEAD = 0.4
#: Commands that are only given where the API asks to wait, or is slow: the faults that go with them.
_COMPANY: dict[str, Sequence[Fault]] = {
    **dict.fromkeys(("hold", "slow_down"), (Fault.E429, Fault.E429_AFTER, Fault.E503_AFTER)),
    "renew": (Fault.SLOW, Fault.STALL),
}
#: Oddities that matter to paging and to versions; what becomes of the others is tested with the mapping.
_ODD = (*sorted(UNUSABLE), Odd.TIME_SPELLING, Odd.NUL, Odd.STRING_NUMBERS)


@dataclass(frozen=True, slots=True)
class Scenario:
    """The settings of one run. Rates are chances for each occasion; spans are seconds."""

    seed: int
    kinds: tuple[str, ...]
    # --- ours
    every_s: int
    ticks: int
    beats: int
    settle_s: int
    overlap_s: int
    since_s: int
    rate_per_s: float
    #: records of a full page; the real 500 is one of several, so that few records make many pages
    page: int
    processes: int
    concurrency: int
    #: clocks of processes differ from the true one by up to this
    skew_s: float
    # --- the API
    switches: dict[str, object]
    #: records of history of each kind
    history: dict[str, int]
    #: imports: so many records within one second or a few, for each kind
    bursts: dict[str, tuple[int, ...]]
    #: something happens to the records about this often
    stir_every_s: float
    #: chance that a record arrives late after a request
    late_rate: float
    #: how far in the past its `updatedAt` lies at most
    late_by_s: float
    #: the API does not apply its filter for a while
    deaf: bool
    #: the key is refused for a while
    revoked: bool
    #: seconds by which the answers' dates run ahead until they step back to what `switches` say; 0: they do not
    ahead_s: float
    # --- what breaks
    loss: float
    double: float
    delay: float
    delay_s: float
    kill: float
    pause: float
    #: places where that happens far more often
    kill_at: tuple[str, ...]
    pause_at: tuple[str, ...]
    #: commands to Redis that fail far more often
    redis_at: tuple[str, ...]
    #: faults that the API shows far more often
    fault_at: tuple[str, ...]
    #: a failing statement, before or after its commit
    store_fault: float
    #: commands to Redis that fail, before or after they took effect
    redis_fault: float
    #: about so many outages of Redis, of the database, and losses of all of Redis's keys
    outages: int
    flushes: int
    #: an operator pauses, resumes, resets, asks for a backfill
    operator: bool

    @property
    def covered_ahead_s(self) -> float:
        """How far beyond the API's present a window may have been read while its dates ran ahead."""
        return max(0.0, self.ahead_s - self.settle_s)

    def as_dict(self) -> dict[str, object]:
        """Return the settings, for printing."""
        return asdict(self)


def scenario(seed: int) -> Scenario:
    """Return what a seed stands for: always the same."""
    chance = Random(f"{seed}/scenario")
    pick, some = chance.choice, chance.random
    kinds = tuple(chance.sample(_WINDOWED, pick((1, 1, 2)))) + ((_WHOLE,) if some() < 0.3 else ())
    page = pick((50, 50, 50, 50, 50, 100, 100, 500))
    overlap_s = pick((60, 120, 300, 900))
    settle_s = pick((5, 30, 120, 120))
    calm = some() < 0.15
    rough = 0.0 if calm else pick((0.3, 1.0, 1.0, 2.0))
    switches = _switches(chance, page, settle_s, calm=calm)
    if _WHOLE in kinds:
        switches["drop"] = 0  # of traits few may vanish: a read that looks like a mass deletion is not believed
    ahead_s = settle_s + overlap_s * _COVERED_AHEAD if not calm and some() < 0.3 else 0.0
    if switches["date_skew_s"] or ahead_s:
        # A date that counts from another clock than the answer's own asks for minutes each time.
        switches["retry_after"] = "seconds"
    small, cap = switches["order"] == "random", int(str(switches["page_cap"]))
    redis_at = _focus(chance, COMMANDS) if rough else ()
    fault_at = _focus(chance, FAULTS) if rough else ()
    company = [pick(_COMPANY[command]) for command in redis_at if command in _COMPANY]
    fault_at = (*company, *fault_at)[:FOCUSED]
    return Scenario(
        seed=seed,
        kinds=kinds,
        every_s=pick((60, 60, 120, 300)),
        ticks=pick((12, 18, 26)),
        beats=pick((1, 2)),
        settle_s=settle_s,
        overlap_s=overlap_s,
        since_s=pick((1800, 7200, 86400, 10 * 86400, 40 * 86400)),
        rate_per_s=pick((0, 5, 10, 10)),
        page=page,
        processes=pick((1, 2, 3)),
        concurrency=pick((1, 2, 3)),
        skew_s=pick((0, 0, 1, 60, 600)),
        switches=switches,
        history={kind: _history(chance, page, cap, whole=kind == _WHOLE) for kind in kinds},
        bursts={kind: _bursts(chance, min(page, cap), small=small) for kind in kinds},
        stir_every_s=pick((10, 20, 60)),
        late_rate=pick((0, 0.02, 0.1)),
        late_by_s=pick((overlap_s, overlap_s, 86400)),
        deaf=some() < 0.25,
        revoked=not calm and some() < 0.25,
        ahead_s=ahead_s,
        loss=rough * pick((0, 0.01, 0.05)),
        double=rough * pick((0, 0.02, 0.2)),
        delay=rough * pick((0, 0.05, 0.3)),
        delay_s=pick((1, 10, 120)),
        kill=rough * pick((0, 0.001, 0.01)),
        pause=rough * pick((0, 0.002, 0.01)),
        kill_at=_focus(chance, POINTS) if rough else (),
        pause_at=_focus(chance, POINTS) if rough else (),
        redis_at=redis_at,
        fault_at=fault_at,
        store_fault=rough * pick((0, 0.005, 0.03)),
        redis_fault=rough * pick((0, 0.005, 0.05)),
        outages=0 if calm else pick((0, 0, 1, 3)),
        flushes=0 if calm else pick((0, 0, 1, 3)),
        operator=not calm and some() < 0.25,
    )


def _focus(chance: Random, names: Sequence[str]) -> tuple[str, ...]:
    found: list[str] = []
    while len(found) < FOCUSED:
        found += set(chance.choices(names, [_OFTEN.get(name, 1) for name in names])) - set(found)
    return tuple(found)


def _switches(chance: Random, page: int, settle_s: int, *, calm: bool) -> dict[str, object]:
    """Return how the API behaves: every reading of what its documentation leaves open."""
    pick = chance.choice
    order = pick(_CHOICES["order"])
    # With an order that is random for each request, and headers that lie about the end, nothing is left to go by.
    headers = pick([each for each in _CHOICES["headers"] if each != "wrong" or order != "random"])
    cap = pick((500, 500, 500, 500, 100, 40, 25))
    faults: tuple[Fault, ...] = DEFAULT_MIX
    for more, share in ((_SLIPS, 0.5), (_SLOW, 0.5), (_REFUSALS, 0.5)):
        if chance.random() < share:
            faults += more
    return {
        "bounds": pick(_CHOICES["bounds"]),
        "truncate": chance.random() < 0.3,
        "order": order,
        "headers": headers,
        "beyond": pick(_CHOICES["beyond"]),
        "page_cap": cap,
        # Pages a little short of a cap are told from the last one by the headers alone.
        "short_pages": 0.3 if page == 500 and cap == 500 and headers == "both" else 0.0,
        "duplicates": pick((0, 0, 0, 7)),
        "stale_duplicates": pick((0, 0, 0, 5)),
        "lag_s": pick((0.0, 0.0, settle_s * 0.9)),
        "clock_skew_s": pick((0.0, 0.0, 0.0, 2.0, -600.0, 900.0)),
        "date_skew_s": pick((0.0, 0.0, 0.0, -300.0, settle_s * 0.5)),
        "retry_after": pick(_CHOICES["retry_after"]),
        "retry_after_s": pick((1, 1, 20)),
        "fault_rate": 0.0 if calm else pick((0.0, 0.1, 0.3, 0.3)),
        "faults": faults,
        "slow_s": 20.0,
        "stall_s": 300.0,
        "huge_mb": 0,
        "rate_limit": pick((0, 0, 0, 0, 8)),
        "change_every": 0 if calm else pick((0, 1, 1, 2, 5)),
        "change": pick((1, 1, 3, max(1, page * 6 // 10))) if order != "random" else 1,
        "add": pick((0, 0, 1)),
        "drop": pick((0, 0, 0, 1)),
        "scope": pick(("window", "window", "kind")),
        "odd": pick((0.0, 0.0, 0.0, 0.05)),
        "odd_ways": _ODD,
    }


def _history(chance: Random, page: int, cap: int, *, whole: bool) -> int:
    if whole:
        return chance.choice((0, 10, page - 1, page, 2 * page + 7 if page < 500 else 300))
    full = min(page, cap)
    return chance.choice((0, 5, full - 1, full, full + 1, 3 * page if page < 500 else 600))


def _bursts(chance: Random, page: int, *, small: bool) -> tuple[int, ...]:
    """Return the sizes of imports. `small`: none that a second could not hold in one page."""
    sizes = (page // 2, page - 1, page, page + 1, min(2 * page + 11, 620), min(4 * page, 700))
    return tuple(chance.choice(sizes[:2] if small else sizes) for _ in range(chance.choice((0, 0, 1, 2))))
