"""One deployment, its faults one after the other while records change all the time, then the comparison with the truth."""

import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.acceptance.api_process import differences
from tests.chaos.faults import Fault
from tests.chaos.recovery import Recovery, keep_busy, owed
from tests.chaos.stage import KINDS, SETTLE_S, Stage, staged
from tests.processes import until

#: Everything must be equal so long after the last fault, at the latest.
CALM_WITHIN_S = 180.0
#: What is promised after kill -9 of all workers, or of Redis; here it is asked of every fault.
PROMISED_S = 60.0


@dataclass(frozen=True, slots=True)
class Result:
    """What one fault has cost."""

    fault: str
    #: windows that were owed when it struck
    interrupted: int
    #: those that were not under way again when patience was at its end
    lost: int
    #: seconds from the mending until the last of them was under way again
    recovery_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one deployment."""

    results: list[Result]
    #: kind -> how many records are missing, stale, extra
    differences: dict[str, dict[str, int]]

    @property
    def late(self) -> list[Result]:
        """The faults whose recovery took longer than promised."""
        return [each for each in self.results if each.lost or each.recovery_s > PROMISED_S]


def run(database: str, wanted: Sequence[Fault], *, append_only: bool, seed: int) -> Report:
    """Torment a deployment with faults in an order that the seed decides; return what became of it."""
    chance = random.Random(seed)
    ordered = chance.sample(wanted, len(wanted))
    with staged(database, append_only=append_only, seed=seed) as stage:
        results = [_torment(stage, fault, chance) for fault in ordered]
        found = _calm(stage)
        fenced = stage.processes.logged("another worker was faster")
        again = stage.processes.logged("issued again")
        say(f"{fenced} late commits were fenced off; {again} sweeps had something to issue again")
    return Report(results, found)


def _torment(stage: Stage, fault: Fault, chance: random.Random) -> Result:
    """Apply a fault while work is under way, and watch that work come back."""
    keep_busy(stage)
    course = fault(stage, chance)
    next(course)
    interrupted = owed(stage)
    for _ in course:
        raise AssertionError("a fault yields once")
    recovery = Recovery(stage, interrupted).watch()
    if ended := stage.processes.ended():
        words = "\n".join(f"{name}: {stage.processes.last_words(name)}" for name in ended)
        raise AssertionError(
            f"{fault.__name__}: {', '.join(ended)} came to an end, and nobody had asked for it\n{words}"
        )
    taken = sum(each.taken for each in interrupted)
    say(
        f"{fault.__name__:34} {taken:3} windows in hand, {len(interrupted) - taken:3} queued; "
        f"all under way again after {recovery.longest_s:5.1f} s" + (f", {recovery.lost} not" if recovery.lost else "")
    )
    return Result(fault.__name__, len(interrupted), recovery.lost, recovery.longest_s)


def _calm(stage: Stage) -> dict[str, dict[str, int]]:
    """Let the records rest, and return what still differs when everything had its time."""
    stage.api.control(change_per_s=0, add_per_s=0, fault_rate=0, latency_ms=0)
    time.sleep(SETTLE_S)
    found: list[dict[str, dict[str, int]]] = [{}]

    def equal() -> bool:
        found[0] = differences(stage.api, stage.database_url, KINDS)
        return not found[0] and _nothing_owed(stage)

    try:
        took = until("equal", equal, CALM_WITHIN_S)
        say(f"database and truth are equal {took:.1f} s after the last change")
    except AssertionError:
        found[0] = found[0] or {"ledger": {"owed": 1}}
    return found[0]


def _nothing_owed(stage: Stage) -> bool:
    with stage.store() as store:
        return not any(
            t.owed + t.walking + t.failed for kind, t in store.totals(records=False).items() if kind in KINDS
        )


def say(text: str) -> None:
    """Tell who watches."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')}  {text}\n")
    sys.stdout.flush()
