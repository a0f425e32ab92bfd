"""What a process holds open: HTTP sessions, the engine, Redis. Open, current, close."""

import logging
import os
import random
import socket
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from config.settings import Settings, load
from humansync import errors, plan, reading
from humansync.api import Api
from humansync.parts import Parts
from humansync.state.gate import Gate
from humansync.state.local import LocalBudget
from humansync.state.shared import Shared
from humansync.store import Store, make_engine

log = logging.getLogger(__name__)

#: Leases are renewed three times within their life, so that one lost renewal costs nothing.
RENEW_EVERY_S = reading.LEASE_S / 3
#: More requests at once than this no process needs: whoever has more threads is told so by `HUMANSYNC_CONCURRENCY`.
THREADS_MOST = 64


class SystemClock:
    """The machine's own clock and chance."""

    def now(self) -> datetime:
        """Return the local time, aware UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Block this thread."""
        time.sleep(seconds)

    def random(self) -> float:
        """Return a uniform number in [0, 1)."""
        return random.random()  # noqa: S311 - jitter, not a secret


@dataclass(frozen=True, slots=True)
class Runtime:
    """One process's open things."""

    settings: Settings
    parts: Parts
    api: Api
    shared: Shared
    stop: threading.Event

    def close(self) -> None:
        """Give everything back; in-flight work is fenced by its epoch."""
        self.stop.set()
        self.api.close()
        self.parts.store.close()
        self.shared.close()


_lock = threading.Lock()
_current: tuple[int, Runtime] | None = None


def open_runtime(settings: Settings) -> Runtime:
    """Open what the settings name; raises errors.ConfigError without credentials."""
    client_id, app_key = settings.credentials()
    api = Api(base_url=settings.base_url, client_id=client_id, app_key=app_key)
    store = Store(make_engine(settings.database_url))
    shared = Shared(settings.redis_url, rate_per_s=settings.rate)
    policy = plan.Policy(settings.settle_s, settings.overlap_s, settings.since)
    owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    budget, gate = LocalBudget(settings.rate), Gate(settings.concurrency or THREADS_MOST)
    parts = Parts(api, store, shared, SystemClock(), policy, owner, budget.wait_s, gate)
    stop = threading.Event()
    runtime = Runtime(settings, parts, api, shared, stop)
    threading.Thread(target=_renew, args=(runtime,), name="leases", daemon=True).start()
    return runtime


def _renew(runtime: Runtime) -> None:
    """Keep the leases of running steps alive; a process that hangs stops doing so."""
    while not runtime.stop.wait(RENEW_EVERY_S):
        try:
            runtime.shared.renew(tuple(runtime.parts.held), runtime.parts.owner, reading.LEASE_S)
        except errors.StateUnavailable as error:
            log.warning("leases not renewed", extra={"error": str(error)})


def runtime() -> Runtime:
    """Return this process's runtime, opened on first use; a forked child opens its own."""
    global _current  # noqa: PLW0603 - one per process is the meaning
    with _lock:
        if _current is None or _current[0] != os.getpid():
            _current = (os.getpid(), open_runtime(load()))
        return _current[1]


def close() -> None:
    """Close this process's runtime, if it is open."""
    global _current  # noqa: PLW0603 - one per process is the meaning
    with _lock:
        if _current is not None and _current[0] == os.getpid():
            _current[1].close()
            _current = None
