"""A realistic Human API: some forty persons with habits, several sources, time zones, imports, re-syncs. Pure.

What happens on a day is a function of the seed, the person and the calendar day alone: a simulator started later
serves the same history, plus what came since.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from humansync.simulator.canon import dump, identity
from humansync.simulator.habits import Day, Draft, Fields, Habits, live, make_habits, traits
from humansync.simulator.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, iso
from humansync.simulator.load import Person, person
from humansync.simulator.shelf import Version

#: Persons who have been there since long.
REGULARS = 32
#: A newcomer connects once in so many days, brings a past along, and stays for a while.
_NEWCOMER_EVERY_DAYS = 3
_NEWCOMER_STAYS_DAYS = 24
_IMPORT_DAYS = range(20, 60)
#: Records of one kind that an import brings in one second.
_IMPORT_PER_S = 150
_REGULARS_SINCE = 1_704_067_200_000  # 2024-01-01
#: Share of nights that the source sends again within days, with both times reset and nothing changed.
_RESYNCED = 0.04
#: Share of records whose first updatedAt is a millisecond after their createdAt.
_LATE_MILLISECOND = 0.1

#: Sources that are asked at fixed times: period and phase. All others notify.
_ASKED_AT: dict[str, tuple[int, int]] = {
    "googlefit": (2 * HOUR_MS, 0),
    "mapmyfitness": (2 * HOUR_MS, 0),
    "myfitnesspal": (30 * MINUTE_MS, 0),
    "runkeeper": (12 * HOUR_MS, HOUR_MS + 5 * MINUTE_MS),
    "withings": (4 * HOUR_MS, 2 * HOUR_MS + 30 * MINUTE_MS),
}


@dataclass(frozen=True, slots=True)
class _Member:
    number: int
    name: str
    person: Person
    habits: Habits
    joined_day: int


class RealisticFeed:
    """A `stock.Feed` of invented lives."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.people: list[Person] = []
        self._members: dict[str, _Member] = {}
        self._introduced: set[str] = set()
        self._imported: Counter[str] = Counter()  # records of the import under way, by kind
        for number in range(REGULARS):
            self._member(f"{number:03d}", number, 0, _REGULARS_SINCE + number * DAY_MS)

    def day(self, number: int) -> Iterator[tuple[str, Version]]:
        """Yield kind and version of all that happens on a day (counted from 1970), newest version of each first."""
        for member in self._present(number):
            if member.name not in self._introduced:
                self._introduced.add(member.name)
                yield from _facts(member, Random(f"{self._seed}/{member.name}/facts"))
            before = self._imported_days(member) if number == member.joined_day else 0
            for lived in range(number, number - before - 1, -1):
                rng = Random(f"{self._seed}/{member.name}/{lived}")
                for draft in live(Day(lived, member.habits, rng)):
                    for version in self._stored(member, draft, rng):
                        yield draft.kind, version

    def _present(self, day: int) -> list[_Member]:
        """Return who is connected on a day: the regulars, and the newcomers of the last weeks."""
        present = list(self._members.values())[:REGULARS]
        newest = day // _NEWCOMER_EVERY_DAYS
        for block in range(newest - _NEWCOMER_STAYS_DAYS // _NEWCOMER_EVERY_DAYS, newest + 1):
            rng = Random(f"{self._seed}/n{block}")
            joined = block * _NEWCOMER_EVERY_DAYS + rng.randrange(_NEWCOMER_EVERY_DAYS)
            connected = joined * DAY_MS + rng.randrange(DAY_MS)
            if joined <= day < joined + _NEWCOMER_STAYS_DAYS:
                present.append(self._member(f"n{block}", block, joined, connected))
        return present

    def _member(self, name: str, number: int, joined_day: int, connected: int) -> _Member:
        if name not in self._members:
            habits = make_habits(Random(f"{self._seed}/{name}/habits"), number)
            someone = person(self._seed, name, connected)
            self._members[name] = _Member(len(self.people), name, someone, habits, joined_day)
            self.people.append(someone)
        return self._members[name]

    def _imported_days(self, member: _Member) -> int:
        """Return how many days of the past a newcomer brings along."""
        self._imported.clear()
        return Random(f"{self._seed}/{member.name}/import").choice(_IMPORT_DAYS)

    def _stored(self, member: _Member, draft: Draft, rng: Random) -> Iterator[Version]:
        """Yield what the API makes of a draft, newest version first."""
        connected = member.person.connected
        imported = [fields for known, fields in draft.versions if known <= connected]
        states: list[tuple[int, Fields]] = []
        if imported:
            place = self._imported[draft.kind]
            self._imported[draft.kind] += 1
            states.append((connected + 5 * SECOND_MS + place * SECOND_MS // _IMPORT_PER_S, imported[-1]))
        for known, fields in draft.versions[len(imported) :]:
            states.append((_arrival(draft.source, known, rng), fields))
        created = states[0][0]
        name = f"{created // SECOND_MS:08x}{rng.getrandbits(64):016x}"
        late = rng.random() < _LATE_MILLISECOND
        versions = [
            _version(member, name, draft, fields, created=created, updated=max(updated, created) + number + late)
            for number, (updated, fields) in enumerate(states)
        ]
        if draft.kind in {"sleeps", "sleep_summaries"} and rng.random() < _RESYNCED:
            day = created // DAY_MS + rng.randrange(1, 9)
            again = day * DAY_MS + 3 * HOUR_MS + connected % HOUR_MS
            versions.append(_version(member, name, draft, states[-1][1], created=again, updated=again))
        yield from reversed(versions)


def _facts(member: _Member, rng: Random) -> Iterator[tuple[str, Version]]:
    """Yield what has no time: the genetic traits of those who have been there since long."""
    if member.joined_day:
        return
    for fields in traits(member.habits, rng):
        record = {"userId": member.person.user_id, "humanId": member.person.human_id, **fields}
        joined = member.person.connected
        version = Version(identity("genetic_traits", record), dump(record), joined, joined, member.number)
        yield "genetic_traits", version


def _version(member: _Member, name: str, draft: Draft, fields: Fields, *, created: int, updated: int) -> Version:
    head = {"id": name, "userId": member.person.user_id, "humanId": member.person.human_id}
    record = {**head, **fields, "createdAt": iso(created), "updatedAt": iso(updated)}
    return Version(name, dump(record), updated, draft.event, member.number)


def _arrival(source: str, known: int, rng: Random) -> int:
    """Return when the API stores what the source knows from an instant on."""
    if source in _ASKED_AT:
        period, phase = _ASKED_AT[source]
        return ((known - phase) // period + 1) * period + phase + rng.randrange(20 * SECOND_MS)
    return known + rng.randrange(20 * SECOND_MS, 20 * MINUTE_MS)
