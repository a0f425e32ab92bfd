"""Load: any number of plain records, spread evenly over days, pre-serialised from one template a kind. Pure."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from humansync.kinds import KINDS, Read
from humansync.simulator.instants import DAY_MS, HOUR_MS, SECOND_MS, iso

#: Persons among whom load is spread.
PEOPLE = 100


@dataclass(frozen=True, slots=True)
class Person:
    """One user of the simulated app."""

    human_id: str
    user_id: str
    external_id: str
    #: milliseconds since 1970; before it the list of users does not hold the person
    connected: int


def person(seed: int, name: str, connected: int) -> Person:
    """Return the person of a seed and a name: always the same ids."""
    digits = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=28).hexdigest()
    return Person(digits[:32], digits[32:], f"member-{name}", connected)


_TIMES = {"startTime": "%(event)s", "endTime": "%(end)s"}
_HEAD = {"id": "%(id)s", "userId": "%(user)s", "humanId": "%(human)s"}
_TAIL = {"createdAt": "%(created)s", "updatedAt": "%(updated)s"}
_VALUE = "%(value)d"


def _reading(unit: str, source: str) -> dict[str, object]:
    reading: dict[str, object] = {"timestamp": "%(event)s", "tzOffset": "-05:00", "value": _VALUE, "unit": unit}
    return {**reading, "source": source, "sourceData": {}}


_SAMPLES: dict[str, dict[str, object]] = {
    "activities": {
        **_TIMES,
        "tzOffset": "-05:00",
        "type": "running",
        "source": "strava",
        "duration": 2416.5,
        "distance": 7312.44,
        "steps": 0,
        "calories": _VALUE,
        "sourceData": {"averageHeartrate": 148, "maxHeartrate": 177, "movingTime": 2401, "type": "Run"},
    },
    "activity_summaries": {
        "date": "%(date)s",
        "duration": 4560,
        "distance": 8120.6,
        "steps": _VALUE,
        "calories": 2391,
        "vigorous": 22,
        "moderate": 9,
        "light": 45,
        "sedentary": 902,
        "source": "fitbit",
        "sourceData": {"floors": 7, "caloriesBMR": 1602, "tracker": {"steps": _VALUE, "floors": 7, "elevation": 21.3}},
    },
    "heart_rates": _reading("bpm", "ihealth"),
    "heart_rate_summaries": {
        "date": "%(date)s",
        "zones": [{"name": "Fat Burn", "min": 93, "max": 130, "duration": 3780, "caloriesBurned": 402.75}],
        "restingHR": 57,
        "averageHR": _VALUE,
        "maxHR": 151,
        "source": "fitbit",
        "sourceData": {},
    },
    "bmis": _reading("kg/m2", "fitbit"),
    "body_fats": _reading("percent", "withings"),
    "heights": _reading("mm", "fitbit"),
    "weights": _reading("kg", "fitbit"),
    "blood_glucoses": {**_reading("mg/dL", "ihealth"), "notes": "", "mealTag": "", "medicationTag": ""},
    "blood_oxygens": _reading("SpO2(%%)", "withings"),
    "blood_pressures": {
        "timestamp": "%(event)s",
        "systolic": _VALUE,
        "diastolic": 81,
        "heartRate": 61,
        "unit": "mmHg",
        "source": "ihealth",
    },
    "sleeps": {
        "day": "%(date)s",
        **_TIMES,
        "tzOffset": "-05:00",
        "source": "fitbit",
        "mainSleep": True,
        "timeAsleep": _VALUE,
        "timeAwake": 31,
        "efficiency": 92,
        "timeToFallAsleep": 9,
        "timeAfterWakeup": 5,
        "timeInBed": 443,
        "numberOfWakeups": 3,
    },
    "sleep_summaries": {"date": "%(date)s", "source": "fitbit", "timeAsleep": _VALUE, "timeAwake": 31},
    "genetic_traits": {
        "description": "Trait %(value)d",
        "trait": "Likely %(value)d",
        "possibleTraits": ["Likely Blue", "Likely Brown", "Likely Green", "No Data"],
    },
    "locations": {**_TIMES, "name": "", "source": "moves", "location": {"lat": 52.3702157, "lon": _VALUE}},
    "meals": {
        "source": "myfitnesspal",
        "timestamp": "%(date)sT00:00:00.000Z",
        "tzOffset": "-05:00",
        "type": "breakfast",
        "name": "Müsli mit Joghurt",
        "calories": _VALUE,
        "carbohydrate": 58.2000007629,
        "fat": 11.4,
        "protein": 17,
        "sodium": 143,
        "sugar": 21.5,
        "fiber": 6.25,
        "calcium": 210,
    },
}


def _template(kind: str) -> str:
    """Return the kind's record as text to fill in with `%`."""
    if KINDS[kind].read is Read.WHOLE:
        record = {key: value for key, value in _HEAD.items() if key != "id"} | _SAMPLES[kind]
    else:
        record = _HEAD | _SAMPLES[kind] | _TAIL
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    return text.replace(f'"{_VALUE}"', _VALUE)


_TEMPLATES: dict[str, str] = {kind: _template(kind) for kind in KINDS}

#: Kinds whose records have an end beside their start.
_INTERVALS = frozenset(kind for kind, template in _TEMPLATES.items() if "%(end)s" in template)

#: Number of a kind, part of its ids so that they are unique over all kinds.
KIND_NUMBERS: dict[str, int] = {kind: number for number, kind in enumerate(KINDS, start=1)}


def object_id(second: int, kind_number: int, number: int) -> str:
    """Return an id as the API has them: 24 hex digits that begin with the second of creation."""
    return f"{second & 0xFFFFFFFF:08x}{kind_number:02x}{number & 0xFF_FFFF_FFFF_FFFF:014x}"


def body(kind: str, identity: str, owner: Person, *, created: int, updated: int, event: int, value: int) -> bytes:
    """Return one pre-serialised record."""
    event_text, updated_text = iso(event), iso(updated)
    return (
        _TEMPLATES[kind]
        % {
            "id": identity,
            "user": owner.user_id,
            "human": owner.human_id,
            "event": event_text,
            "end": iso(event + HOUR_MS // 2) if kind in _INTERVALS else "",
            "date": event_text[:10],
            "value": value,
            "created": updated_text if created == updated else iso(created),
            "updated": updated_text,
        }
    ).encode()


def even(records: int, days: float, until: int) -> Iterator[int]:
    """Yield so many instants, evenly spread over the days before `until`."""
    span = math.floor(days * DAY_MS)
    return (until - span + span * number // records for number in range(records))


def spread(
    kind: str,
    kind_number: int,
    updates: Iterable[int],
    people: Sequence[Person],
    store: Callable[[bytes, int, int, int], object],
) -> None:
    """Store one record of a kind for each instant of update.

    store: is given body, updated, event (both in milliseconds) and the person's number.
    """
    for number, updated in enumerate(updates):
        owner = number * 7 % len(people)
        event = updated - (number * 37 % 720 + 5) * 60 * SECOND_MS
        identity = object_id(updated // SECOND_MS, kind_number, number)
        created = updated if number % 3 else updated - 1_117
        value = number if KINDS[kind].read is Read.WHOLE else 40 + number % 160
        row = body(kind, identity, people[owner], created=created, updated=updated, event=event, value=value)
        store(row, updated, event, owner)
