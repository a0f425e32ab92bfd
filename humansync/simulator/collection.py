"""The records of one kind as served: pre-serialised bodies, and an index sorted by `updatedAt`. Pure.

A million rows are held as bytes and packed integers, and a page is cut from the index without touching the rest.
"""

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterator

_SHIFT = 24
_MASK = (1 << _SHIFT) - 1


class Collection:
    """Rows by slot. A slot is a row's number for good: changes keep it, deletion leaves it empty."""

    def __init__(self) -> None:
        self.bodies: list[bytes | None] = []
        #: milliseconds since 1970 of `updatedAt` and of the event, and number of the person, by slot
        self.updated = array("q")
        self.events = array("q")
        self.persons = array("q")
        #: raised by every change, so that a remembered order can be told to be out of date
        self.version = 0
        self._index: list[int] = []  # (updated << 24) | slot, sorted
        self._sorted = True

    def __len__(self) -> int:
        return len(self._index)

    def append(self, body: bytes, updated: int, event: int, person: int) -> int:
        """Add a row that is served from now on, and return its slot."""
        slot = self._store(body, updated, event, person)
        insort(self._sorted_index(), updated << _SHIFT | slot)
        return slot

    def load(self, body: bytes, updated: int, event: int, person: int) -> int:
        """Add a row as one of very many: the index is sorted once, when it is next needed."""
        slot = self._store(body, updated, event, person)
        self._index.append(updated << _SHIFT | slot)
        self._sorted = False
        return slot

    def replace(self, slot: int, body: bytes, updated: int, event: int) -> None:
        """Serve another version of a row."""
        self._unindex(slot)
        self.bodies[slot], self.updated[slot], self.events[slot] = body, updated, event
        insort(self._sorted_index(), updated << _SHIFT | slot)
        self.version += 1

    def remove(self, slot: int) -> None:
        """Serve the row no more."""
        self._unindex(slot)
        self.bodies[slot] = None
        self.version += 1

    def body(self, slot: int) -> bytes:
        """Return the body of a row that is there."""
        body = self.bodies[slot]
        if body is None:
            raise KeyError(slot)
        return body

    def span(self, since: int, before: int) -> tuple[int, int]:
        """Return the positions [first, last) of the rows updated in [since, before), for `at` and `slots`."""
        index = self._sorted_index()
        return bisect_left(index, since << _SHIFT), bisect_left(index, before << _SHIFT)

    def slots(self, first: int, last: int) -> list[int]:
        """Return the slots at positions [first, last), least recently updated first."""
        return [key & _MASK for key in self._sorted_index()[first:last]]

    def at(self, position: int) -> int:
        """Return the slot at a position of the index."""
        return self._sorted_index()[position] & _MASK

    def rows(self) -> Iterator[tuple[int, bytes]]:
        """Yield slot and body of every row, in the order they came to be."""
        for slot, body in enumerate(self.bodies):
            if body is not None:
                yield slot, body

    def _store(self, body: bytes, updated: int, event: int, person: int) -> int:
        slot = len(self.bodies)
        if slot > _MASK:
            raise OverflowError(f"a collection holds at most {_MASK + 1} rows")
        self.bodies.append(body)
        self.updated.append(updated)
        self.events.append(event)
        self.persons.append(person)
        self.version += 1
        return slot

    def _unindex(self, slot: int) -> None:
        if self.bodies[slot] is None:
            raise KeyError(slot)
        index = self._sorted_index()
        del index[bisect_left(index, self.updated[slot] << _SHIFT | slot)]

    def _sorted_index(self) -> list[int]:
        if not self._sorted:
            self._index.sort()
            self._sorted = True
        return self._index
