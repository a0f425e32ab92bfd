"""All the records of a simulated API: where they come from, how they change. Pure."""

import zlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Protocol

from humansync.kinds import KINDS, Read
from humansync.simulator import load
from humansync.simulator.canon import dump, has_time, identity, parse
from humansync.simulator.instants import DAY_MS, SECOND_MS, iso, parse_iso
from humansync.simulator.load import Person
from humansync.simulator.odd import Odd, make_odd
from humansync.simulator.shelf import Shelf, Version
from humansync.simulator.switches import Switches

#: Where a change shows, by kind: a number of the kind's own.
_SHOWS_IN: dict[str, str] = {
    "activities": "calories",
    "activity_summaries": "steps",
    "heart_rate_summaries": "averageHR",
    "blood_pressures": "systolic",
    "sleeps": "timeAsleep",
    "sleep_summaries": "timeAsleep",
    "meals": "calories",
}
_EVENT_KEYS = ("timestamp", "startTime")
#: Changes by the clock that are made up for at most, after a long silence.
_MOST_AT_ONCE = 10_000


class Feed(Protocol):
    """Where records come from as days go by."""

    #: everybody so far; grows when days are asked for, never shrinks
    people: list[Person]

    def day(self, number: int) -> Iterable[tuple[str, Version]]:
        """Return kind and version of all that happens on a day (counted from 1970), also versions it gets later."""
        ...


class Stock:
    """Shelves by kind, and what fills and stirs them."""

    def __init__(
        self,
        now_ms: Callable[[], int],
        switches: Callable[[], Switches],
        *,
        seed: int,
        kinds: Collection[str] | None,
        feed: Feed | None,
        since: int | None,
    ) -> None:
        self._now_ms = now_ms
        self._switches = switches
        self._seed = seed
        self._rng = Random(f"{seed}/changes")
        self._kinds = frozenset(KINDS if kinds is None else kinds)
        self._shelves = {kind: Shelf(kind) for kind in KINDS}
        self._feed = feed
        self._fed_through = ((now_ms() if since is None else since) // DAY_MS) - 1
        self.people = feed.people if feed else [load.person(seed, str(number), 0) for number in range(load.PEOPLE)]
        self._gone: set[int] = set()
        self._hidden: set[int] = set()
        self._added = 0
        self._stirred = dict.fromkeys(KINDS, now_ms())

    # --- looking ---------------------------------------------------------------------------------------

    def shelf(self, kind: str) -> Shelf:
        """Return a kind's records as they are now: everything that is due has arrived."""
        now, shelf = self._now_ms(), self._shelves[kind]
        self._feed_until(now)
        shelf.advance(now)
        switches = self._switches()
        if switches.change_per_s or switches.add_per_s:
            self._stir_by_clock(kind, now, switches)
        return shelf

    def present(self, now: int) -> list[Person]:
        """Return the users that the list of users shows."""
        self._feed_until(now)
        return [
            person
            for number, person in enumerate(self.people)
            if person.connected <= now and number not in self._gone and number not in self._hidden
        ]

    def choose(self, kind: str, n: int, identities: Iterable[str] | None) -> list[int]:
        """Return the slots of the records named, KeyError for one that is not visible; else of n at random."""
        shelf = self.shelf(kind)
        if identities is not None:
            return [shelf.slot(name) for name in identities]
        return self._sample(shelf, 0, len(shelf.collection), n)

    # --- filling ---------------------------------------------------------------------------------------

    def load(self, kind: str, records: int, days: float, until: int) -> None:
        """Add plain records, spread evenly over the days before an instant."""
        switches = self._switches()

        def put(body: bytes, updated: int, event: int, person: int) -> None:
            self._put(kind, Version(identity(kind, parse(body)), body, updated, event, person))

        plain = not (switches.odd or switches.lag_s or until > self._now_ms())
        store = self._shelves[kind].load if plain else put
        number = 0 if switches.shared_ids else load.KIND_NUMBERS[kind]
        load.spread(kind, number, load.even(records, days, until), self.people, store)

    def put_record(self, kind: str, record: object, visible: int | None) -> None:
        """Add or replace one record as it stands."""
        fields = record if isinstance(record, dict) else {}
        now = self._now_ms()
        updated = parse_iso(fields.get("updatedAt"))
        updated = now if updated is None else updated
        events = (parse_iso(fields.get(key)) for key in _EVENT_KEYS)
        event = next((event for event in events if event is not None), updated)
        human = fields.get("humanId")
        person = next((number for number, one in enumerate(self.people) if one.human_id == human), 0)
        version = Version(identity(kind, record), dump(record), updated, event, person)
        self._shelves[kind].put(version, updated if visible is None else visible, now)

    def add(self, kind: str, updated: Sequence[int]) -> list[str]:
        """Add a new record for each instant of update and return their identities."""
        self.shelf(kind)
        number = 0 if self._switches().shared_ids else load.KIND_NUMBERS[kind]
        names = []
        for instant in updated:
            self._added += 1
            person = self._rng.randrange(len(self.people))
            name = load.object_id(instant // SECOND_MS, number, 0xADD << 40 | self._added)
            event = instant - self._rng.randrange(DAY_MS)
            value = 1_000_000 + self._added if kind == "genetic_traits" else self._rng.randrange(40, 200)
            body = load.body(
                kind, name, self.people[person], created=instant, updated=instant, event=event, value=value
            )
            version = Version(identity(kind, parse(body)), body, instant, event, person)
            names.append(version.identity or "")
            self._put(kind, version)
        return names

    # --- changing --------------------------------------------------------------------------------------

    def touch(self, kind: str, slots: Iterable[int], now: int, *, content: bool) -> list[str]:
        """Update records and return their identities; those that nobody can use stay as they are."""
        collection = self._shelves[kind].collection
        names = []
        for slot in slots:
            record = parse(collection.body(slot))
            name = identity(kind, record)
            if name is None or not has_time(kind, record):
                continue
            _touch(kind, record, now, content=content)
            version = Version(name, dump(record), now, collection.events[slot], collection.persons[slot])
            self._shelves[kind].put(version, now + self._lag(version), now)
            names.append(name)
        return names

    def delete(self, kind: str, slots: Iterable[int]) -> list[str]:
        """Delete records and return their identities, empty for what has none."""
        shelf = self._shelves[kind]
        names = []
        for slot in slots:
            names.append(shelf.identity_at(slot) or "")
            shelf.remove(slot)
        return names

    def delete_user(self, human_id: str, *, keep_records: bool) -> int:
        """Let a user vanish, with all records or without, and return how many went; KeyError for nobody."""
        numbers = [number for number, person in enumerate(self.people) if person.human_id == human_id]
        if not numbers:
            raise KeyError("there is no such user")
        if keep_records:
            self._hidden.update(numbers)
            return 0
        self._gone.update(numbers)
        return sum(shelf.forget(number) for shelf in self._shelves.values() for number in numbers)

    def stir(self, kind: str, first: int, last: int, window: tuple[int, int]) -> None:
        """Change what the switches say after a page of the rows at positions [first, last) was served."""
        switches, now, shelf = self._switches(), self._now_ms(), self._shelves[kind]
        whole = switches.scope == "kind"
        if whole:
            first, last = 0, len(shelf.collection)
        slots = self._sample(shelf, first, last, switches.change + switches.drop)
        self.delete(kind, slots[switches.change :])
        self.touch(kind, slots[: switches.change], now, content=True)
        self.add(kind, [now] * switches.add)
        if switches.late:
            reach = int(switches.late_by_s * SECOND_MS)
            since, before = (now - reach, now) if whole else (max(window[0], now - 400 * DAY_MS), min(window[1], now))
            self.add(kind, [self._rng.randrange(since, max(before, since + 1)) for _ in range(switches.late)])

    # --- inside ------------------------------------------------------------------------------------------

    def _stir_by_clock(self, kind: str, now: int, switches: Switches) -> None:
        elapsed = now - self._stirred[kind]
        if elapsed <= 0:
            return
        self._stirred[kind] = now
        shelf = self._shelves[kind]
        changes = self._share(elapsed * switches.change_per_s / SECOND_MS)
        for slot in self._sample(shelf, 0, len(shelf.collection), changes):
            self.touch(kind, [slot], now - self._rng.randrange(elapsed), content=True)
        additions = self._share(elapsed * switches.add_per_s / SECOND_MS)
        self.add(kind, [now - self._rng.randrange(elapsed) for _ in range(additions)])

    def _share(self, expected: float) -> int:
        """Return a whole number whose mean is `expected`."""
        whole = int(expected)
        return min(_MOST_AT_ONCE, whole + (self._rng.random() < expected - whole))

    def _sample(self, shelf: Shelf, first: int, last: int, n: int) -> list[int]:
        positions = self._rng.sample(range(first, last), min(n, last - first))
        return [shelf.collection.at(position) for position in positions]

    def _feed_until(self, now: int) -> None:
        """Take in all days through tomorrow: local days begin up to fourteen hours before UTC's."""
        if self._feed is None:
            return
        while self._fed_through <= now // DAY_MS:
            self._fed_through += 1
            for kind, version in self._feed.day(self._fed_through):
                if kind in self._kinds:
                    self._put(kind, version)

    def _put(self, kind: str, version: Version) -> None:
        if version.person in self._gone:
            return
        switches = self._switches()
        if switches.odd:
            version = self._made_odd(kind, version, switches)
        self._shelves[kind].put(version, version.updated + self._lag(version), self._now_ms())

    def _lag(self, version: Version) -> int:
        """Return how long after its update a version becomes visible: always the same for one version."""
        lag = int(self._switches().lag_s * SECOND_MS)
        return self._hash(f"lag/{version.identity}/{version.updated}") % (lag + 1) if lag else 0

    def _made_odd(self, kind: str, version: Version, switches: Switches) -> Version:
        number = self._hash(f"odd/{kind}/{version.identity}")
        if number >= switches.odd * 2**32 or not switches.odd_ways:
            return version
        record = parse(version.body)
        if not isinstance(record, dict):
            return version
        number = self._hash(f"way/{kind}/{version.identity}")
        odd = make_odd(record, Odd(switches.odd_ways[number % len(switches.odd_ways)]), number)
        return replace(version, identity=identity(kind, odd), body=dump(odd))

    def _hash(self, text: str) -> int:
        return zlib.crc32(f"{self._seed}/{text}".encode())


def _touch(kind: str, record: dict[str, object], now: int, *, content: bool) -> None:
    """Give a record a new time of update, and a new content or a new time of creation."""
    if KINDS[kind].read is Read.WHOLE:
        if content:
            record["trait"] = f"Likely {iso(now)}"
        return
    record["updatedAt"] = iso(now)
    if not content:
        record["createdAt"] = iso(now)
        return
    key = _SHOWS_IN.get(kind, "value")
    if kind == "locations":
        record["name"] = f"place {iso(now)}"
        return
    value = record.get(key)
    record[key] = value + 1 if isinstance(value, int | float) and not isinstance(value, bool) else 1
