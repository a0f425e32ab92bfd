"""In which order a selection of records is served, and which page of it. Pure."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from humansync.simulator.collection import Collection
from humansync.simulator.shelf import Shelf
from humansync.simulator.switches import Switches

#: Selections whose order is remembered, so that walking a large window sorts it once.
_REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class Selection:
    """The page of a selection."""

    #: slots in the order served; `~slot` stands for an older version of that record
    slots: list[int]
    #: records in the whole selection
    total: int


class Selector:
    """Orders selections and cuts pages from them."""

    def __init__(self, seed: int, rng: Random) -> None:
        self._seed = seed
        self._rng = rng
        self._remembered: OrderedDict[tuple[object, ...], list[int]] = OrderedDict()
        self._answered = 0

    def page(self, shelf: Shelf, span: tuple[int, int], offset: int, limit: int, switches: Switches) -> Selection:
        """Return the page at `offset` of the rows at the positions `span` of a kind's collection."""
        collection, (first, last) = shelf.collection, span
        self._answered += 1
        if switches.order == "updated-asc" and not (switches.duplicates or switches.stale_duplicates):
            start = min(first + offset, last)
            return Selection(collection.slots(start, min(start + limit, last)), last - first)
        ordered = self._ordered(shelf.kind, collection, first, last, switches)
        return Selection(ordered[offset : offset + limit], len(ordered))

    def _ordered(self, kind: str, collection: Collection, first: int, last: int, switches: Switches) -> list[int]:
        server = self._answered % switches.servers if switches.order == "random-fixed" else 0
        key = (
            server,
            kind,
            collection.version,
            first,
            last,
            switches.order,
            switches.duplicates,
            switches.stale_duplicates,
        )
        known = self._remembered.get(key)
        if known is not None and switches.order != "random":
            self._remembered.move_to_end(key)
            return known
        slots = self._arrange(collection.slots(first, last), collection, switches.order, server)
        slots = _repeat(slots, switches.duplicates, lambda slot: slot)
        slots = _repeat(slots, switches.stale_duplicates, lambda slot: ~slot)
        self._remembered[key] = slots
        if len(self._remembered) > _REMEMBERED:
            self._remembered.popitem(last=False)
        return slots

    def _arrange(self, slots: list[int], collection: Collection, order: str, server: int) -> list[int]:
        """Put slots, given least recently updated first, into the order."""
        match order:
            case "updated-desc":
                slots.reverse()
            case "event-desc":
                slots.sort(key=collection.events.__getitem__, reverse=True)
            case "event-asc":
                slots.sort(key=collection.events.__getitem__)
            case "per-user":
                slots.sort(key=collection.persons.__getitem__)
            case "natural":
                slots.sort()
            case "random-fixed":
                seed = self._seed + server
                slots.sort(key=lambda slot: (slot * 0x9E3779B1 ^ seed * 0x85EBCA6B) * 0xC2B2AE35 & 0xFFFFFFFF)
            case "random":
                self._rng.shuffle(slots)
        return slots


def _repeat(slots: list[int], every: int, twin: Callable[[int], int]) -> list[int]:
    """Return the slots, every n-th followed by its twin; 0: as they are."""
    if not every:
        return slots
    repeated: list[int] = []
    for number, slot in enumerate(slots, start=1):
        repeated.append(slot)
        if number % every == 0 and slot >= 0:
            repeated.append(twin(slot))
    return repeated
