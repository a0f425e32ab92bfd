"""What all hosts share: one round trip each, Redis's own clock, and one error when Redis is away."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from time import monotonic
from typing import Any, Protocol, Self, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from humansync.errors import ConfigError, StateUnavailable
from humansync.redaction import redact, redact_url
from humansync.state import keys, urls

#: Requests aim at this share of the rate: what is left takes up the jitter between slot and arrival, so that no
#: second at the server holds more than the rate.
PACE = 0.975
#: Backfill takes instants at most this far ahead: a live request that comes along waits no longer.
BACKFILL_AHEAD_S = 1.5
#: What is left of the rate after a refusal ...
SLOW_DOWN = 0.5
#: ... never less than this share of it ...
SLOWEST = 0.05
#: ... and how much comes back each second: half the rate in 50 s.
RECOVERY_PER_S = 0.01
#: Refusals closer together than this are one: those requests were under way together.
SLOW_DOWN_EVERY_S = 2.0
#: After Redis did not answer, this long passes before it is asked again: a dead address costs seconds a try.
AWAY_S = 3.0

#: A message is waited for so long where its queue is too long to tell whether it is still there.
ISSUED_S = 600
#: Between leaving a queue and showing as a lease a message takes moments.
TAKEN_S = 5.0

_TIMEOUT_S = 5.0
_CONNECTIONS_MAX = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to "may I send?"."""

    #: a slot is reserved: wait `wait_s`, then send
    granted: bool
    #: seconds until the slot; if not granted, until asking again makes sense
    wait_s: float
    #: another holder has the window's lease, for `wait_s` more unless it renews
    busy: bool
    #: the window's message that was sent last is the one that was waited for, and nothing was stopped since
    waited_for: bool = False


class _Script(Protocol):
    def __call__(self, keys: Sequence[str], args: Sequence[object]) -> Any: ...


class Shared:
    """Leases, budget, cursors and heartbeats in Redis. One per process; threads may share it.

    Every method raises StateUnavailable when Redis does not answer or refuses.
    """

    def __init__(self, redis_url: str, *, rate_per_s: float) -> None:
        self._address = redact_url(redis_url)
        self._pace_per_s = rate_per_s * PACE
        self._away_until = 0.0
        try:
            self._client = redis.Redis.from_url(
                urls.for_client(redis_url),
                decode_responses=True,
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
                health_check_interval=30,
                max_connections=_CONNECTIONS_MAX,
                # A pooled connection that a restart has killed shows it on first use: the second try is a new one.
                retry=Retry(ExponentialWithJitterBackoff(base=0.01, cap=0.1), retries=2),
            )
            # Opens nothing, but names an option that there is not: else the first command would.
            pool = self._client.connection_pool
            pool.connection_class(**pool.connection_kwargs)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"REDIS_URL={self._address!r} is wrong: {redact(str(error))}") from None
        self._admit, self._slow, self._hold, self._renew, self._finish, self._tick = (
            self._script(name) for name in ("admit", "slow", "hold", "renew", "finish", "tick")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    # --- may I send? -------------------------------------------------------------------------

    def admit(
        self, window_id: int, token: str, *, kind: str, lane: str, lease_s: float, max_wait_s: float
    ) -> Admission:
        """Take a window's lease and a slot in the budget, both or none.

        The same token enters again. lane: "live" or "backfill". The window's issued-marker goes when the lease is
        taken or another has it; who has to wait keeps it, for the message that comes back.
        """
        budget = [keys.BUDGET, keys.GAPS, keys.HOLDS, keys.lease(window_id), keys.issued(window_id)]
        return self._ask(budget, kind, lane, max_wait_s, token, _ms(lease_s))

    def slot(self, kind: str, lane: str, max_wait_s: float) -> Admission:
        """Take a slot in the budget, without a window: a probe, a comparison."""
        return self._ask([keys.BUDGET, keys.GAPS, keys.HOLDS], kind, lane, max_wait_s)

    def _ask(self, names: list[str], kind: str, lane: str, max_wait_s: float, *lease: object) -> Admission:
        longest_s = min(max_wait_s, BACKFILL_AHEAD_S) if lane == "backfill" else max_wait_s
        with self._redis():
            what, wait_us, *waited_for = self._admit(
                names, [kind, lane, self._pace_per_s, _us(longest_s), RECOVERY_PER_S, *lease]
            )
        return Admission(what > 0, wait_us / 1e6, what < 0, waited_for == [1])

    def hold(self, kind: str | None, seconds: float) -> None:
        """Let nobody send for a kind, or for any with None, for so long; 0 lifts the hold."""
        with self._redis():
            self._hold([keys.HOLDS], [kind or keys.EVERYTHING, _us(seconds)])

    def held(self) -> dict[str, float]:
        """Return the seconds left of each hold, by kind; "*" holds every kind."""
        with self._redis() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.time()
            pipeline.hgetall(keys.HOLDS)
            now, holds = pipeline.execute()
        left = {kind: (int(until) - now[0] * 1_000_000 - now[1]) / 1e6 for kind, until in holds.items()}
        return {kind: seconds for kind, seconds in left.items() if seconds > 0}

    def slow_down(self) -> float:
        """Halve the rate of all hosts; it recovers within a minute or two. Returns the share now in use."""
        args = [SLOW_DOWN, SLOWEST, RECOVERY_PER_S, _us(SLOW_DOWN_EVERY_S)]
        with self._redis():
            return int(self._slow([keys.BUDGET], args)) / 1000

    # --- whose window is it? -----------------------------------------------------------------

    def renew(self, window_ids: Sequence[int], token: str, lease_s: float) -> None:
        """Renew those of the leases that are ours: whose token is `token` or begins with `token` and a colon."""
        if window_ids:
            with self._redis():
                self._renew([keys.lease(window_id) for window_id in window_ids], [token, _ms(lease_s)])

    def release(self, window_id: int, token: str, *, kind: str | None = None, cursor: datetime | None = None) -> None:
        """Give a lease back, if it is still ours, and move the kind's cursor forward where one is given."""
        moved = _text(cursor) if kind and cursor else ""
        with self._redis():
            self._finish([keys.CURSORS, keys.lease(window_id)], [kind or "", moved, token])

    def mark_issued(
        self, window_ids: Sequence[int], ttl_s: int = ISSUED_S, *, queue: str = "", delay_s: float = 0.0
    ) -> None:
        """Note that a message for each of these windows is on a queue.

        queue: which, as Redis names it; the marker counts for nothing once that queue is empty, unless the message
        was taken from it to be looked at in `delay_s`. Where it is not named the marker lasts as long as it may.
        """
        keeps_ms = _ms(max(1.0, ttl_s - delay_s - TAKEN_S))
        with self._redis() as client:
            pipeline = client.pipeline(transaction=False)
            for window_id in window_ids:
                pipeline.set(keys.issued(window_id), f"{queue}:{keeps_ms}", ex=ttl_s)
            pipeline.execute()

    def unissued(self, window_ids: Sequence[int]) -> set[int]:
        """Return which of these windows have neither a message on a queue nor a worker."""
        if not window_ids:
            return set()
        with self._redis() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.mget([keys.lease(window_id) for window_id in window_ids])
            pipeline.mget([keys.issued(window_id) for window_id in window_ids])
            for window_id in window_ids:
                pipeline.pttl(keys.issued(window_id))
            leases, markers, *left_ms = pipeline.execute()
            queues = {marker.partition(":")[0] for marker in markers if marker} - {""}
            empty = {queue for queue in queues if not client.llen(queue)}
        facts = zip(window_ids, leases, markers, left_ms, strict=True)
        return {
            window_id
            for window_id, lease, marker, left in facts
            if lease is None and (marker is None or _void(marker, left, empty))
        }

    def lock(self, kind: str, token: str, lease_s: float) -> bool:
        """Take a kind's planner lock; False where anybody has it."""
        with self._redis() as client:
            return bool(client.set(keys.lock(kind), token, nx=True, px=_ms(lease_s)))

    def unlock(self, kind: str, token: str) -> None:
        """Give a kind's planner lock back, if it is still ours."""
        with self._redis():
            self._finish([keys.CURSORS, keys.lock(kind)], [kind, "", token])

    # --- how far is it? ----------------------------------------------------------------------

    def cursor(self, kind: str) -> datetime | None:
        """Return the instant up to which a kind is complete; None where Redis does not know."""
        with self._redis() as client:
            text = client.hget(keys.CURSORS, kind)
        return _instant(text) if text else None

    def cursors(self) -> dict[str, datetime]:
        """Return every cursor by kind."""
        with self._redis() as client:
            cursors = client.hgetall(keys.CURSORS)
        return {kind: _instant(text) for kind, text in cursors.items()}

    def move_cursor(self, kind: str, to: datetime) -> None:
        """Move a kind's cursor, only forward."""
        with self._redis():
            self._finish([keys.CURSORS], [kind, _text(to)])

    def set_cursor(self, kind: str, to: datetime) -> None:
        """Set a kind's cursor, backward too: an operator's reset."""
        with self._redis() as client:
            client.hset(keys.CURSORS, kind, _text(to))

    # --- is anybody alive? -------------------------------------------------------------------

    def tick(self, name: str) -> None:
        """Note that a task went round in this worker just now."""
        with self._redis():
            self._tick([keys.TICKS], [name])

    def ticks(self) -> dict[str, float]:
        """Return how many seconds ago a task last went round, by worker; those of the last day."""
        with self._redis() as client:
            pipeline = client.pipeline(transaction=False)
            pipeline.time()
            pipeline.zrange(keys.TICKS, 0, -1, withscores=True)
            now, ticks = pipeline.execute()
        return {name: max(0.0, now[0] + now[1] / 1e6 - at_ms / 1e3) for name, at_ms in ticks}

    # --- Redis itself ------------------------------------------------------------------------

    def _script(self, name: str) -> _Script:
        text = resources.files(__package__).joinpath(f"{name}.lua").read_text("utf-8")
        return cast(_Script, self._client.register_script(text))

    @contextmanager
    def _redis(self) -> Iterator[Any]:
        """Give the client; its errors become ours here, and only here. Any: redis-py leaves open what it decodes."""
        if monotonic() < self._away_until:
            raise StateUnavailable(f"Redis at {self._address} did not answer a moment ago")
        try:
            yield self._client
        except (redis.ConnectionError, redis.TimeoutError) as error:
            self._away_until = monotonic() + AWAY_S
            raise StateUnavailable(f"Redis at {self._address} cannot be reached: {redact(str(error))}") from error
        except redis.RedisError as error:
            raise StateUnavailable(f"Redis at {self._address} refuses: {redact(str(error))}") from error


def _void(marker: str, left_ms: int, empty: AbstractSet[str]) -> bool:
    """Whether a marker speaks of a message that was taken from its queue and never became a lease.

    Its worker was killed, or dropped the message: neither puts it back for ten minutes.
    """
    queue, _, keeps_ms = marker.partition(":")
    return queue in empty and left_ms < int(keeps_ms)


def _us(seconds: float) -> int:
    return round(seconds * 1e6)


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1e3))


def _text(instant: datetime) -> str:
    """Return an aware instant as whole microseconds since 1970."""
    return str((instant - _EPOCH) // timedelta(microseconds=1))


def _instant(text: str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(text))
