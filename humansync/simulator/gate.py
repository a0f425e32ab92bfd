"""What stands before the records: access, the rate limit, faults. And the tally of what came by. Pure."""

from collections import Counter, deque
from dataclasses import dataclass
from random import Random

from humansync.simulator.faults import BEFORE_READING, Answer, Fault, oversized, refusal, reset
from humansync.simulator.instants import SECOND_MS, http_date
from humansync.simulator.switches import Switches

_MEGABYTE = 1_000_000


@dataclass(slots=True)
class _Planned:
    fault: Fault
    kind: str | None
    times: int


class Gate:
    """Decides which requests get through."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._planned: list[_Planned] = []
        self._second = 0
        self._in_second = 0

    def plan(self, fault: Fault, times: int, kind: str | None) -> None:
        """Let the next requests (of a kind, or of all) meet a fault."""
        self._planned.append(_Planned(fault, kind, times))

    def refuse(self, kind: str, now: int, switches: Switches) -> Answer | None:
        """Return the answer of a request that gets nowhere; None for one that gets through."""
        if switches.revoked:
            return refusal(Fault.E401)
        if switches.rate_limit and self._over_rate(now, switches.rate_limit):
            return refusal(Fault.E429_AFTER, *_retry_after(now, switches))
        if kind in switches.absent:
            return refusal(Fault.E404)
        if kind in switches.forbidden:
            return refusal(Fault.E403)
        return None

    def fault(self, kind: str, switches: Switches) -> Fault | None:
        """Return the fault that this request meets, if any."""
        for planned in self._planned:
            if planned.kind in {None, kind}:
                planned.times -= 1
                if planned.times <= 0:
                    self._planned.remove(planned)
                return planned.fault
        if (
            not switches.fault_rate
            or not switches.faults
            or (switches.fault_kinds and kind not in switches.fault_kinds)
        ):
            return None
        return Fault(self._rng.choice(switches.faults)) if self._rng.random() < switches.fault_rate else None

    def _over_rate(self, now: int, limit: int) -> bool:
        second = now // SECOND_MS
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        return self._in_second > limit


def answer_without_records(fault: Fault, now: int, switches: Switches) -> Answer | None:
    """Return the answer of a fault that looks at no record; None for a fault that spoils a good answer."""
    if fault not in BEFORE_READING:
        return None
    match fault:
        case Fault.RESET:
            return reset()
        case Fault.HUGE | Fault.BOMB:
            return oversized(fault, switches.huge_mb * _MEGABYTE)
        case Fault.E429_AFTER | Fault.E503_AFTER:
            return refusal(fault, *_retry_after(now, switches))
        case Fault.REDIRECT:
            return refusal(fault, ("Location", f"{switches.redirect_to}/v1/elsewhere"))
        case _:
            return refusal(fault)


def _retry_after(now: int, switches: Switches) -> list[tuple[str, str]]:
    match switches.retry_after:
        case "seconds":
            return [("Retry-After", str(switches.retry_after_s))]
        case "date":
            return [("Retry-After", http_date(now + switches.retry_after_s * SECOND_MS))]
        case _:
            return []


class Tally:
    """Counts of what was asked and answered."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.rows = 0
        #: most requests seen within any one second
        self.peak_per_s = 0
        self._recent: deque[int] = deque()

    def request(self, kind: str, now: int) -> None:
        """Count a request as it comes in."""
        self.requests[kind] += 1
        recent = self._recent
        recent.append(now)
        while recent[0] <= now - SECOND_MS:
            recent.popleft()
        self.peak_per_s = max(self.peak_per_s, len(recent))

    def answer(self, answer: Answer) -> None:
        """Count an answer as it goes out."""
        self.statuses[answer.status] += 1
        if answer.fault is not None:
            self.faults[answer.fault.value] += 1  # a plain text: keys of JSON

    def as_dict(self) -> dict[str, object]:
        """Return the counts, fit for JSON."""
        return {
            "requests": sum(self.requests.values()),
            "rows": self.rows,
            "peak_per_s": self.peak_per_s,
            "by_kind": dict(self.requests),
            "by_status": {str(status): count for status, count in sorted(self.statuses.items())},
            "by_fault": dict(self.faults),
        }
