"""How a simulated person lives and measures: what one day of one person brings. Pure.

Values are invented; shapes, quirks and spellings are those that `docs/human-api.md` reports of each source.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from humansync.simulator.instants import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, day_text, iso

Fields = dict[str, object]

_OFFSETS_H = (-8.0, -7.0, -6.0, -5.0, -5.0, -5.0, 0.0, 1.0, 1.0, 2.0, 5.5, 9.0, 12.75)
_SPORTS = ("walking", "running", "cycling", "elliptical", "weight_training", "unknown")
_DISHES = (
    "Müsli mit Joghurt",
    "Oatmeal",
    "Avocado toast",
    "寿司",
    "Салат",
    "Crème brûlée",
    "Chicken & rice",
    "Chili 🌶",
)
_TRAITS = {
    "Eye Color": ("Likely Blue", "Likely Brown", "Likely Green", "No Data"),
    "Hair Curl": ("Straighter Hair on Average", "Slightly Curlier Hair on Average", "No Data"),
    "Lactose Intolerance": ("Likely Tolerant", "Likely Intolerant", "No Data"),
    "Bitter Taste Perception": ("Can Taste", "Unlikely to Taste", "No Data"),
    "Earwax Type": ("Wet", "Dry", "No Data"),
    "Muscle Performance": ("Likely Sprinter", "Unlikely Sprinter", "No Data"),
}


@dataclass(frozen=True, slots=True)
class Habits:
    """What a person owns and does."""

    offset_ms: int
    tz_offset: str
    #: the wearable, and a second service that counts the same steps
    wearable: str | None
    aggregator: str | None
    sports_app: str | None
    scale: str | None
    cuff: bool
    meter: bool
    oximeter: bool
    diary: bool
    wanders: bool
    genome: bool
    steps: int
    weight_kg: float
    height_mm: int
    pulse: int
    #: hour of the local day at which the person falls asleep, and for how long
    bed_h: float
    sleep_h: float


@dataclass(frozen=True, slots=True)
class Draft:
    """A record before the API has stored it."""

    kind: str
    source: str
    event: int
    #: what the source knows, and from when on: one entry for each version, oldest first
    versions: tuple[tuple[int, Fields], ...]


@dataclass(frozen=True, slots=True)
class Day:
    """One local day of one person."""

    number: int
    habits: Habits
    rng: Random

    @property
    def midnight(self) -> int:
        """The instant at which the local day begins."""
        return self.number * DAY_MS - self.habits.offset_ms

    @property
    def date(self) -> str:
        """The local day, `YYYY-MM-DD`."""
        return day_text(self.number)

    def at(self, hour: float) -> int:
        """Return the instant of a local hour, within a few minutes, on a whole second."""
        instant = self.midnight + int(hour * HOUR_MS) + self.rng.randrange(10 * MINUTE_MS)
        return instant - instant % SECOND_MS


def make_habits(rng: Random, number: int) -> Habits:
    """Return the habits of the number-th person; over the numbers every habit occurs as often as it should."""
    offset_h = rng.choice(_OFFSETS_H)
    minutes = int(abs(offset_h) * 60)
    wearable = ("fitbit", "fitbit", "garmin", "jawbone", None)[number % 5]
    return Habits(
        offset_ms=int(offset_h * HOUR_MS),
        tz_offset=f"{'-' if offset_h < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}",
        wearable=wearable,
        aggregator="googlefit" if number % 4 == 1 else None,
        sports_app=("strava", "runkeeper", "mapmyfitness", None, None)[number % 5],
        scale=("withings", None, "fitbit", None)[number % 4],
        cuff=number % 3 == 0,
        meter=number % 7 == 3,  # noqa: PLR2004 - any residue
        oximeter=number % 4 == 2,  # noqa: PLR2004
        diary=number % 2 == 0,
        wanders=number % 5 == 4,  # noqa: PLR2004
        genome=number % 5 == 1,
        steps=rng.randrange(4_000, 13_000),
        weight_kg=rng.uniform(52, 105),
        height_mm=rng.randrange(1_550, 1_980),
        pulse=rng.randrange(50, 72),
        bed_h=rng.uniform(22, 24.5),
        sleep_h=rng.uniform(6.2, 8.3),
    )


def traits(habits: Habits, rng: Random) -> Iterator[Fields]:
    """Yield a person's genetic traits."""
    if habits.genome:
        for description, possible in _TRAITS.items():
            yield {"description": description, "trait": rng.choice(possible), "possibleTraits": list(possible)}


def live(day: Day) -> Iterator[Draft]:
    """Yield all that one day of one person brings, in no particular order."""
    for way in _WAYS:
        yield from way(day)


def _reading(kind: str, source: str, event: int, value: tuple[float, str], *, known: int, **extra: object) -> Draft:
    """Return a measured value with its unit."""
    fields: Fields = {"timestamp": iso(event), **extra, "value": value[0], "unit": value[1]}
    return Draft(kind, source, event, ((known, {**fields, "source": source, "sourceData": {}}),))


def _activities(day: Day) -> Iterator[Draft]:
    rng, habits = day.rng, day.habits
    sources = [source for source in (habits.sports_app, habits.wearable) if source]
    for _ in range(rng.choice((0, 1, 1, 2)) if sources else 0):
        source, start, minutes = rng.choice(sources), day.at(rng.uniform(6.5, 20)), rng.uniform(10, 95)
        end = start + int(minutes * MINUTE_MS)
        end -= end % (1 if source == "strava" else SECOND_MS)
        sport = rng.choice(_SPORTS)
        fields: Fields = {
            "startTime": iso(start),
            "endTime": iso(end),
            "tzOffset": habits.tz_offset,
            "type": sport,
            "source": source,
            # Jawbone counts only the moving part; others count all of it, Strava with a fraction.
            "duration": 480 if source == "jawbone" else round(minutes * 60, 2 if source == "strava" else None),
            "distance": round(minutes * rng.uniform(60, 240), 9),
            "steps": 0 if source in {"strava", "runkeeper"} else int(minutes * rng.uniform(80, 160)),
            "calories": 0 if source == "strava" else round(minutes * rng.uniform(4, 12), 10),
            "sourceData": {},
        }
        if source == "strava":
            moving = int(minutes * 58)
            fields["sourceData"] = {"averageHeartrate": rng.randrange(110, 165), "movingTime": moving, "type": sport}
        yield Draft("activities", source, start, ((end, fields),))


def _activity_summaries(day: Day) -> Iterator[Draft]:
    rng, habits = day.rng, day.habits
    for source in (habits.wearable, habits.aggregator):
        if source is None:
            continue
        steps = int(habits.steps * rng.uniform(0.4, 1.6))
        hours = [9.0, 12.0, 15.5, 19.0, 22.5, 25.5]
        versions = []
        for hour in hours:
            share = min(1.0, max(0.05, (hour - 7) / 16))
            versions.append((day.at(hour), _day_so_far(day, source, int(steps * share), share)))
        yield Draft("activity_summaries", source, day.midnight, tuple(versions))


def _day_so_far(day: Day, source: str, steps: int, share: float) -> Fields:
    vigorous, moderate, light = int(steps / 500), int(steps / 700), int(steps / 60)
    distance, calories = round(steps * 0.74, 1), int(1_500 * share + steps * 0.045)
    data: Fields = {}
    if source == "fitbit":
        tracker = {"steps": steps, "distance": distance, "calories": calories, "floors": steps // 1_100}
        data = {"floors": steps // 1_100, "caloriesBMR": int(1_600 * share), "tracker": tracker}
    return {
        "date": day.date,
        "duration": 60 * (vigorous + moderate + light),
        "distance": distance,
        "steps": steps,
        "calories": calories,
        "vigorous": vigorous,
        "moderate": moderate,
        "light": light,
        "sedentary": max(0, int(1_440 * share) - vigorous - moderate - light),
        "source": source,
        "sourceData": data,
    }


def _heart_rates(day: Day) -> Iterator[Draft]:
    rng, habits = day.rng, day.habits
    if habits.wearable in {"fitbit", "garmin"}:
        for _ in range(rng.randrange(7, 13)):
            event = day.at(rng.uniform(0, 23.5))
            value = habits.pulse + rng.randrange(0, 60)
            yield _reading(
                "heart_rates", habits.wearable, event, (value, "bpm"), known=event, tzOffset=habits.tz_offset
            )


def _heart_rate_summaries(day: Day) -> Iterator[Draft]:
    rng, habits = day.rng, day.habits
    if habits.wearable not in {"fitbit", "garmin"}:
        return
    resting, average = habits.pulse + rng.randrange(-3, 4), habits.pulse + rng.randrange(8, 20)
    names = (("Out of Range", 30, 93), ("Fat Burn", 93, 130), ("Cardio", 130, 158), ("Peak", 158, 220))
    versions = []
    for hour, share in ((12.0, 0.5), (18.0, 0.75), (25.0, 1.0)):
        durations = (int(80_000 * share), int(rng.randrange(600, 6_000) * share), int(900 * share), 0)
        zones = [
            {"name": name, "min": low, "max": high, "duration": length, "caloriesBurned": round(length * 0.0213, 2)}
            for (name, low, high), length in zip(names, durations, strict=True)
        ]
        fields: Fields = {"date": day.date, "zones": zones if habits.wearable == "fitbit" else []}
        fields |= {"restingHR": resting, "averageHR": average, "maxHR": average + int(70 * share)}
        if habits.wearable == "garmin":
            fields["minHR"] = resting - 5
        versions.append((day.at(hour), {**fields, "source": habits.wearable, "sourceData": {}}))
    yield Draft("heart_rate_summaries", habits.wearable, day.midnight, tuple(versions))


def _weighing(day: Day) -> Iterator[Draft]:
    rng, habits = day.rng, day.habits
    if habits.scale is None or rng.random() < 0.3:  # noqa: PLR2004 - nobody steps on it every day
        return
    known = day.at(7.2)
    # Fitbit's daily values bear the day's last second, hours before it comes.
    event = day.midnight + DAY_MS - SECOND_MS if habits.scale == "fitbit" else known
    kilos = round(habits.weight_kg + rng.uniform(-1.2, 1.2), 1)
    yield _reading("weights", habits.scale, event, (kilos, "kg"), known=known)
    index = round(kilos / (habits.height_mm / 1000) ** 2, 2)
    yield _reading("bmis", habits.scale, event, (index, "kg/m2"), known=known)
    yield _reading("body_fats", habits.scale, event, (round(rng.uniform(12, 34), 3), "percent"), known=known)
    if (day.number + habits.height_mm) % 30 == 0:
        yield _reading("heights", habits.scale, day.midnight, (habits.height_mm, "mm"), known=known)


def _cuff(day: Day) -> Iterator[Draft]:
    rng, habits = day.rng, day.habits
    if not habits.cuff:
        return
    event, pulse = day.at(8.0), habits.pulse + rng.randrange(0, 25)
    fields: Fields = {"timestamp": iso(event), "systolic": rng.randrange(102, 150), "diastolic": rng.randrange(62, 95)}
    fields |= {"heartRate": pulse, "unit": "mmHg", "source": "ihealth"}
    yield Draft("blood_pressures", "ihealth", event, ((event, fields),))
    yield _reading("heart_rates", "ihealth", event, (pulse, "bpm"), known=event)


def _meter(day: Day) -> Iterator[Draft]:
    rng, habits = day.rng, day.habits
    for hour, tag in ((7.0, "before"), (9.0, "after"), (13.5, "after"), (19.5, "after")) if habits.meter else ():
        event = day.at(hour)
        texts = {"notes": "", "mealTag": f"{tag} meal", "medicationTag": ""} if rng.random() < 0.5 else {}  # noqa: PLR2004
        value = rng.randrange(75, 190)
        yield _reading("blood_glucoses", "ihealth", event, (value, "mg/dL"), known=event, **texts)


def _oximeter(day: Day) -> Iterator[Draft]:
    if day.habits.oximeter:
        event = day.at(21.0)
        value = day.rng.randrange(93, 100)
        yield _reading(
            "blood_oxygens", "withings", event, (value, "SpO2(%)"), known=event, tzOffset=day.habits.tz_offset
        )


def _sleeps(day: Day) -> Iterator[Draft]:
    """The night that ends on this day, and its summary, which says the day before for Fitbit."""
    rng, habits = day.rng, day.habits
    source = habits.wearable
    if source is None:
        return
    start = day.at(habits.bed_h - 24 + rng.uniform(-0.7, 0.7))
    end = start + int((habits.sleep_h + rng.uniform(-1, 1)) * HOUR_MS)
    end -= end % SECOND_MS
    in_bed, awake = (end - start) // MINUTE_MS, rng.randrange(5, 50)
    silent = source == "garmin"  # reports 0 for what it does not measure
    fields: Fields = {
        "day": day_text(end // DAY_MS),
        "startTime": iso(start),
        "endTime": iso(end),
        "tzOffset": habits.tz_offset,
        "source": source,
        "mainSleep": True,
        "timeAsleep": in_bed - awake,
        "timeAwake": awake,
        "efficiency": 0 if silent else rng.randrange(55, 99),
        "timeToFallAsleep": 0 if silent else rng.randrange(2, 30),
        "timeAfterWakeup": 0 if silent else rng.randrange(0, 12),
        "timeInBed": in_bed,
        "numberOfWakeups": rng.randrange(0, 6),
    }
    yield Draft("sleeps", source, start, ((end, fields),))
    date = day_text(day.number - 1) if source == "fitbit" else day.date
    asleep = in_bed + 0.45 if source == "jawbone" else in_bed - awake
    summary: Fields = {"date": date, "source": source, "timeAsleep": asleep, "timeAwake": awake}
    yield Draft("sleep_summaries", source, start, ((end, summary),))


def _locations(day: Day) -> Iterator[Draft]:
    rng, habits = day.rng, day.habits
    for hour in (8.5, 12.5, 18.0, 20.5) if habits.wanders else ():
        start = day.at(hour)
        end = start + rng.randrange(10, 200) * MINUTE_MS
        place = {"lat": round(rng.uniform(-40, 60), 7), "lon": round(rng.uniform(-120, 140), 7)}
        fields: Fields = {"startTime": iso(start), "endTime": iso(end), "name": rng.choice(("", "", "Home", "Gym"))}
        yield Draft("locations", "moves", start, ((end, {**fields, "source": "moves", "location": place}),))


def _meals(day: Day) -> Iterator[Draft]:
    rng, habits = day.rng, day.habits
    for hour, meal in ((8.0, "breakfast"), (12.5, "lunch"), (16.0, "other"), (19.0, "dinner")) if habits.diary else ():
        if meal == "other" and rng.random() < 0.5:  # noqa: PLR2004 - snacks are for every other day
            continue
        known = day.at(hour)
        fields: Fields = {
            "source": "myfitnesspal",
            "timestamp": f"{day.date}T00:00:00.000Z",
            "tzOffset": habits.tz_offset,
            "type": meal,
            "name": rng.choice(_DISHES),
            "calories": round(rng.uniform(80, 900), 1),
            "carbohydrate": round(rng.uniform(5, 110), 10),
            "fat": round(rng.uniform(1, 40), 1),
            "protein": rng.randrange(1, 60),
            "sodium": rng.randrange(5, 1_500),
            "sugar": round(rng.uniform(0, 50), 1),
            "fiber": round(rng.uniform(0, 15), 2),
            "calcium": rng.randrange(0, 400),
        }
        versions = [(known, fields)]
        if rng.random() < 0.1:  # noqa: PLR2004 - a slip of the finger, mended later
            versions.append((known + 45 * MINUTE_MS, {**fields, "calories": round(rng.uniform(80, 900), 1)}))
        yield Draft("meals", "myfitnesspal", day.number * DAY_MS, tuple(versions))


_WAYS: tuple[Callable[[Day], Iterator[Draft]], ...] = (
    _activities,
    _activity_summaries,
    _heart_rates,
    _heart_rate_summaries,
    _weighing,
    _cuff,
    _meter,
    _oximeter,
    _sleeps,
    _locations,
    _meals,
)
