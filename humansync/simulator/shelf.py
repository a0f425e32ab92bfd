"""The records of one kind as they change: what is visible now, and what becomes so later. Pure."""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from humansync.simulator.canon import digest, dump, has_time, identity, parse
from humansync.simulator.collection import Collection
from humansync.simulator.instants import iso, parse_iso


@dataclass(frozen=True, slots=True)
class Version:
    """One state of one record, from the instant on at which it becomes visible."""

    #: None for a record that cannot be told apart: it is never replaced
    identity: str | None
    body: bytes
    updated: int
    event: int
    person: int


@dataclass(order=True, slots=True)
class _Arrival:
    visible: int
    number: int
    version: Version = field(compare=False)


class Shelf:
    """A kind's records: `collection` is what queries see."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.collection = Collection()
        self._arrivals: list[_Arrival] = []
        self._number = 0
        self._slots: dict[str, int] | None = None

    def put(self, version: Version, visible: int, now: int) -> None:
        """Make a version visible at an instant, now if that has passed. It replaces an older one of its identity."""
        if visible <= now:
            self._apply(version)
        else:
            self._number += 1
            heapq.heappush(self._arrivals, _Arrival(visible, self._number, version))

    def load(self, body: bytes, updated: int, event: int, person: int) -> None:
        """Add a visible record as one of very many; its identity is new."""
        self._slots = None
        self.collection.load(body, updated, event, person)

    def advance(self, now: int) -> None:
        """Make visible what has arrived by now."""
        while self._arrivals and self._arrivals[0].visible <= now:
            self._apply(heapq.heappop(self._arrivals).version)

    def remove(self, slot: int) -> None:
        """Delete a record, also its versions to come."""
        slots = self._by_identity()
        name = self.identity_at(slot)
        if name is not None:
            slots.pop(name, None)
            self._keep_arrivals(lambda version: version.identity != name)
        self.collection.remove(slot)

    def forget(self, person: int) -> int:
        """Delete the records of a person, also those to come, and return how many were visible."""
        self._keep_arrivals(lambda version: version.person != person)
        slots = [slot for slot, _ in self.collection.rows() if self.collection.persons[slot] == person]
        for slot in slots:
            self.remove(slot)
        return len(slots)

    def body(self, slot: int) -> bytes:
        """Return what is served for a slot; for `~slot` an older version of that record, made up."""
        return self.collection.body(slot) if slot >= 0 else _older(self.collection.body(~slot))

    def slot(self, name: str) -> int:
        """Return the slot of an identity; KeyError where it is not visible."""
        return self._by_identity()[name]

    def identity_at(self, slot: int) -> str | None:
        """Return the identity of the record in a slot."""
        return _identity(self.kind, self.collection.body(slot))

    def record(self, name: str) -> Any:
        """Return a record by its identity; KeyError where it is not visible."""
        return parse(self.collection.body(self.slot(name)))

    def truth(self, since: int | None, before: int | None) -> Iterator[tuple[str, str, str]]:
        """Yield identity, updatedAt (empty for kinds without) and digest of every usable record.

        since, before: only records updated in [since, before); None leaves that side open.
        """
        updated_at = self.collection.updated
        for slot, body in self.collection.rows():
            if (since is not None and updated_at[slot] < since) or (before is not None and updated_at[slot] >= before):
                continue
            record = parse(body)
            name = identity(self.kind, record)
            if name is not None and has_time(self.kind, record):
                yield name, record.get("updatedAt", ""), digest(record)

    def _apply(self, version: Version) -> None:
        name, collection = version.identity, self.collection
        known = self._by_identity() if name is not None else {}
        slot = known.get(name) if name is not None else None
        if slot is None:
            slot = collection.append(version.body, version.updated, version.event, version.person)
            if name is not None:
                known[name] = slot
        elif collection.updated[slot] <= version.updated:
            collection.replace(slot, version.body, version.updated, version.event)

    def _keep_arrivals(self, keep: Callable[[Version], bool]) -> None:
        self._arrivals = [arrival for arrival in self._arrivals if keep(arrival.version)]
        heapq.heapify(self._arrivals)

    def _by_identity(self) -> dict[str, int]:
        """Return slots by identity; made on first need, because plain load of a million rows never asks."""
        if self._slots is None:
            named = ((_identity(self.kind, body), slot) for slot, body in self.collection.rows())
            self._slots = {name: slot for name, slot in named if name is not None}
        return self._slots


def _identity(kind: str, body: bytes) -> str | None:
    return identity(kind, parse(body))


def _older(body: bytes) -> bytes:
    """Return a record as it might have been a millisecond before its last update."""
    record = parse(body)
    updated = parse_iso(record.get("updatedAt")) if isinstance(record, dict) else None
    return body if updated is None else dump({**record, "updatedAt": iso(updated - 1), "outdated": True})
