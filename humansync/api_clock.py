"""The API's clock, which may run apart from ours: asked for once, known to all who share the database from then on."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from humansync.kinds import KINDS, Kind

if TYPE_CHECKING:  # who only looks the offset up needs no HTTP client
    from humansync.api import Page
    from humansync.store import Store

_KEY = "clock_offset_s"


class _Api(Protocol):
    def fetch(self, kind: Kind, *, since: datetime, before: datetime, limit: int, offset: int) -> "Page": ...


def ask(api: _Api, kind: str, now: datetime) -> datetime | None:
    """Return the API's time from its answer to a small request; None where it gives none. Raises ApiError."""
    return api.fetch(KINDS[kind], since=now - timedelta(minutes=1), before=now, limit=1, offset=0).api_time


def known_offset_s(store: "Store") -> float | None:
    """Return by how much the API's clock is ahead of ours, as far as anybody knows."""
    known = store.meta(_KEY)
    return float(known) if known is not None else None


def note_offset(store: "Store", offset_s: float) -> None:
    """Let all know by how much the API's clock is ahead of ours."""
    store.set_meta(_KEY, f"{offset_s:.3f}")
