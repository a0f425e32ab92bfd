"""Valid objects for tests: a test overrides one thing and says its behaviour in one sentence."""

from datetime import UTC, datetime, timedelta
from typing import Any

from humansync.windows import Window

#: An instant on a whole second that tests count from.
START = datetime(2026, 3, 1, tzinfo=UTC)

_PERSON = {"userId": "5b9f00aa11bb22cc33dd44e1", "humanId": "3f6c1a9be0d2457f8a1b2c3d4e5f6071"}
_ZONE = {"tzOffset": "-05:00"}
_READING = {**_PERSON, "timestamp": "2026-02-28T11:04:10.000Z", "source": "fitbit", "sourceData": {}}

#: A record of every kind, less its id and server times.
_RECORDS: dict[str, dict[str, Any]] = {
    "activities": {
        **_PERSON,
        **_ZONE,
        "startTime": "2026-02-28T06:31:05.000Z",
        "endTime": "2026-02-28T07:12:47.250Z",
        "type": "running",
        "source": "strava",
        "duration": 2416.5,
        "distance": 7312.44,
        "steps": 0,
        "calories": 512,
        "sourceData": {"averageHeartrate": 148, "type": "Run"},
    },
    "activity_summaries": {
        **_PERSON,
        "date": "2026-02-27",
        "duration": 4560,
        "distance": 8120.6,
        "steps": 10874,
        "calories": 2391,
        "vigorous": 22,
        "moderate": 9,
        "light": 45,
        "sedentary": 902,
        "source": "fitbit",
        "sourceData": {"floors": 7, "tracker": {"steps": "10874"}},
    },
    "heart_rates": {**_READING, **_ZONE, "value": 61, "unit": "bpm"},
    "heart_rate_summaries": {
        **_PERSON,
        "date": "2026-02-27",
        "zones": [{"name": "Peak", "min": 158, "max": 220, "duration": 0, "caloriesBurned": 0}],
        "restingHR": 57,
        "averageHR": 69,
        "maxHR": 151,
        "source": "fitbit",
        "sourceData": {},
    },
    "bmis": {**_READING, "value": 24.81, "unit": "kg/m2"},
    "body_fats": {**_READING, "value": 21.347, "unit": "%"},
    "heights": {**_READING, "value": 1790, "unit": "mm"},
    "weights": {**_READING, "value": 79.5, "unit": "kg"},
    "blood_glucoses": {**_READING, "value": 102, "unit": "mg/dL", "notes": "", "mealTag": "", "medicationTag": ""},
    "blood_oxygens": {**_READING, **_ZONE, "value": 97, "unit": "SpO2(%)"},
    "blood_pressures": {**_READING, "systolic": 124, "diastolic": "81", "heartRate": 61, "unit": "mmHg"},
    "sleeps": {
        **_PERSON,
        **_ZONE,
        "day": "2026-02-28",
        "startTime": "2026-02-28T03:58:00.000Z",
        "endTime": "2026-02-28T11:21:30.000Z",
        "source": "fitbit",
        "mainSleep": True,
        "timeAsleep": 398,
        "timeAwake": 31,
        "efficiency": 92,
        "timeToFallAsleep": 9,
        "timeAfterWakeup": 5,
        "timeInBed": 443,
        "numberOfWakeups": 3,
    },
    "sleep_summaries": {**_PERSON, "date": "2026-02-27", "source": "fitbit", "timeAsleep": 443.5, "timeAwake": 31},
    "genetic_traits": {**_PERSON, "trait": "Likely Brown", "possibleTraits": ["Likely Blue", "Likely Brown"]},
    "locations": {
        **_PERSON,
        "startTime": "2026-02-28T17:05:12.000Z",
        "endTime": "2026-02-28T18:44:01.000Z",
        "name": "",
        "source": "moves",
        "location": {"lat": 52.3702157, "lon": 4.8951679},
    },
    "meals": {
        **_PERSON,
        **_ZONE,
        "source": "myfitnesspal",
        "timestamp": "2026-02-28T00:00:00.000Z",
        "type": "breakfast",
        "name": "Müsli mit Joghurt",
        "calories": 412.5,
        "carbohydrate": 58.2000007629,
        "fat": 11.4,
        "protein": 17,
        "sodium": 143,
        "saturatedFat": 2.5,
        "amount": {"unit": "g"},
    },
}


def api_time(instant: datetime) -> str:
    """Return an instant as the API writes it."""
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03}Z"


def record(kind: str = "heart_rates", number: int = 1, *, updated: datetime = START, **changes: Any) -> dict[str, Any]:
    """Return a record as the API sends it; `number` makes its identity."""
    if kind == "genetic_traits":
        return {**_RECORDS[kind], "description": f"Trait {number}", **changes}
    times = {"createdAt": api_time(updated), "updatedAt": api_time(updated)}
    return {"id": f"{number:024x}", **_RECORDS[kind], **times, **changes}


def window(since: float = 0, before: float = 60) -> Window:
    """Return a window by minutes from START."""
    return Window(START + timedelta(minutes=since), START + timedelta(minutes=before))
