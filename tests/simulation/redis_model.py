"""What `humansync.state.shared.Shared` does, without Redis and in virtual time; the same rules as its Lua scripts.

`test_redis_model.py` compares the two on a real server.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from humansync.state.shared import (
    BACKFILL_AHEAD_S,
    ISSUED_S,
    PACE,
    RECOVERY_PER_S,
    SLOW_DOWN,
    SLOW_DOWN_EVERY_S,
    SLOWEST,
    TAKEN_S,
    Admission,
)

#: While live requests came within this, backfill leaves every fifth instant free (admit.lua).
_LIVE_FOR_S, _RUN_LENGTH, _PROBE_S = 2.0, 4, 180.0


@dataclass(slots=True)
class _Budget:
    next: float = 0.0
    run: int = 0
    live: float = 0.0
    factor: float = 1.0
    slowed: float | None = None
    gaps: deque[float] = field(default_factory=deque)


class RedisModel:
    """All keys of one Redis. `now` gives its own clock in seconds, `waiting` whether a queue holds anything."""

    def __init__(self, now: Callable[[], float], rate_per_s: float, waiting: Callable[[str], bool]) -> None:
        self._now, self._waiting = now, waiting
        self._pace = rate_per_s * PACE
        self.flush()

    def flush(self) -> None:
        """Forget everything."""
        self._expiring: dict[str, tuple[str, float]] = {}
        self._cursors: dict[str, datetime] = {}
        self._holds: dict[str, float] = {}
        self._budget = _Budget()

    # --- single keys -----------------------------------------------------------------------------

    def _get(self, key: str) -> str | None:
        found = self._expiring.get(key)
        if found is None:
            return None
        if found[1] <= self._now():
            del self._expiring[key]
            return None
        return found[0]

    def _set(self, key: str, value: str, seconds: float) -> None:
        self._expiring[key] = (value, self._now() + seconds)

    def _drop(self, key: str, token: str) -> None:
        if self._get(key) == token:
            del self._expiring[key]

    # --- the interface of Shared -----------------------------------------------------------------

    def admit(
        self, window_id: int, token: str, *, kind: str, lane: str, lease_s: float, max_wait_s: float
    ) -> Admission:
        lease, issued = f"lease:{window_id}", f"issued:{window_id}"
        holder = self._get(lease)
        if holder is not None and holder != token:
            self._expiring.pop(issued, None)
            return Admission(granted=False, wait_s=self._expiring[lease][1] - self._now(), busy=True)
        held = max(self._holds.get("*", 0.0), self._holds.get(kind, 0.0)) - self._now()
        granted, wait = (False, held) if held > 0 else self._slot(lane, max_wait_s)
        if not granted:
            self._drop(lease, token)
            return Admission(granted=False, wait_s=wait, busy=False)
        self._set(lease, token, lease_s)
        waited_for = self._get(issued) is not None and self._now() >= self._holds.get("*", 0.0) + _PROBE_S
        self._expiring.pop(issued, None)
        return Admission(granted=True, wait_s=wait, busy=False, waited_for=waited_for)

    def _slot(self, lane: str, max_wait_s: float) -> tuple[bool, float]:
        """Return whether an instant was taken, and the wait until it, or until asking again."""
        if not self._pace:
            return True, 0.0
        longest = min(max_wait_s, BACKFILL_AHEAD_S) if lane == "backfill" else max_wait_s
        now, budget = self._now(), self._budget
        interval = 1 / (self._pace * self._factor())
        line = max(now, budget.next if budget.next <= now + 60 + 4 * interval else now)
        slot, taken = line, False
        if lane == "live":
            budget.live = now
            while budget.gaps and budget.gaps[0] < now:
                budget.gaps.popleft()
            if budget.gaps and budget.gaps[0] < line:
                slot, taken = budget.gaps[0], True
        if slot - now > longest:
            return False, slot - now
        if taken:
            budget.gaps.popleft()
            return True, slot - now
        after = slot + interval
        if lane != "live":
            budget.run += 1
            if budget.run >= _RUN_LENGTH:
                budget.run = 0
                if now - budget.live < _LIVE_FOR_S:
                    budget.gaps.append(after)
                    after += interval
        budget.next = after
        return True, slot - now

    def _factor(self) -> float:
        budget = self._budget
        age = 0.0 if budget.slowed is None else max(self._now() - budget.slowed, 0.0)
        return min(budget.factor + age * RECOVERY_PER_S, 1.0)

    def slow_down(self) -> float:
        budget = self._budget
        factor = self._factor()
        if budget.slowed is None or self._now() - budget.slowed >= SLOW_DOWN_EVERY_S:
            factor = budget.factor = max(factor * SLOW_DOWN, SLOWEST)
            budget.slowed = self._now()
        return factor

    def hold(self, kind: str | None, seconds: float) -> None:
        name = kind or "*"
        if seconds <= 0:
            self._holds.pop(name, None)
        else:
            self._holds[name] = max(self._holds.get(name, 0.0), self._now() + seconds)

    def renew(self, window_ids: Sequence[int], token: str, lease_s: float) -> None:
        for key in (f"lease:{window_id}" for window_id in window_ids):
            holder = self._get(key)
            if holder is not None and (holder == token or holder.startswith(f"{token}:")):
                self._set(key, holder, lease_s)

    def release(self, window_id: int, token: str, *, kind: str | None = None, cursor: datetime | None = None) -> None:
        if kind and cursor:
            self.move_cursor(kind, cursor)
        self._drop(f"lease:{window_id}", token)

    def mark_issued(
        self, window_ids: Sequence[int], ttl_s: int = ISSUED_S, *, queue: str = "", delay_s: float = 0.0
    ) -> None:
        for window_id in window_ids:
            self._set(f"issued:{window_id}", f"{queue}:{max(1.0, ttl_s - delay_s - TAKEN_S)}", ttl_s)

    def unissued(self, window_ids: Sequence[int]) -> set[int]:
        return {each for each in window_ids if self._get(f"lease:{each}") is None and not self._issued(each)}

    def _issued(self, window_id: int) -> bool:
        """Whether a message for this window is waited for: a marker whose queue is empty counts for little."""
        key = f"issued:{window_id}"
        marker = self._get(key)
        if marker is None:
            return False
        queue, _, keeps_s = marker.partition(":")
        left_s = self._expiring[key][1] - self._now()
        return not queue or self._waiting(queue) or left_s >= float(keeps_s)

    def lock(self, kind: str, token: str, lease_s: float) -> bool:
        if self._get(f"lock:{kind}") is not None:
            return False
        self._set(f"lock:{kind}", token, lease_s)
        return True

    def unlock(self, kind: str, token: str) -> None:
        self._drop(f"lock:{kind}", token)

    def cursor(self, kind: str) -> datetime | None:
        return self._cursors.get(kind)

    def cursors(self) -> dict[str, datetime]:
        return dict(self._cursors)

    def move_cursor(self, kind: str, to: datetime) -> None:
        known = self._cursors.get(kind)
        if known is None or to > known:
            self._cursors[kind] = to

    def set_cursor(self, kind: str, to: datetime) -> None:
        self._cursors[kind] = to
