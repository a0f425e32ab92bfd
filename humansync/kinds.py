"""The catalogue of kinds: one table of facts that drives tables, parsing and the simulator.

A new kind is one entry in `KINDS` and one migration. Facts follow `docs/human-api.md`, section
"Kinds"; paths are irregular and are never derived from names.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Read(StrEnum):
    """How a kind is read."""

    WINDOWED = "windowed"  #: by windows on `updatedAt`
    WHOLE = "whole"  #: no times on its records: always the whole collection


class Type(StrEnum):
    """Type of a column; the store maps it to the dialect's own."""

    TEXT = "text"
    NUMBER = "number"  #: double precision; integers and floats mix freely in one field
    BOOLEAN = "boolean"
    INSTANT = "instant"  #: UTC instant, millisecond resolution
    DATE = "date"  #: the user's calendar day, never converted
    JSON = "json"
    UNIT = "unit"  #: text: the record's unit in its normal spelling, null where it is none of `Kind.units`


@dataclass(frozen=True, slots=True)
class Field:
    """One typed column: where its value is found in the record, and what it is."""

    column: str
    #: key in the record; a dotted key reaches into an object
    key: str
    type: Type
    #: unit of the value as the API documents it
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """The facts of one batch data type."""

    #: also the table's name
    name: str
    #: below `/apps/:clientId/users/`
    path: str
    #: the kind's own columns, beside the common ones
    fields: tuple[Field, ...]
    read: Read = Read.WINDOWED
    #: columns of the primary key
    identity: tuple[str, ...] = ("id",)
    #: raw unit spelling -> normal spelling
    units: dict[str, str] = field(default_factory=dict)


def _text(column: str, key: str | None = None) -> Field:
    return Field(column, key or column, Type.TEXT)


def _number(column: str, unit: str | None = None, key: str | None = None) -> Field:
    return Field(column, key or column, Type.NUMBER, unit)


def _instant(column: str, key: str) -> Field:
    return Field(column, key, Type.INSTANT)


def _date(column: str) -> Field:
    return Field(column, column, Type.DATE)


def _json(column: str, key: str | None = None) -> Field:
    return Field(column, key or column, Type.JSON)


#: Columns of every record that has an id. `payload`, `first_seen_at` and `synced_at` are the store's own.
COMMON: tuple[Field, ...] = (
    _text("id"),
    _text("human_id", "humanId"),
    _text("user_id", "userId"),
    _text("source"),
    _instant("created_at", "createdAt"),
    _instant("updated_at", "updatedAt"),
)

#: Columns of a record without id and times.
COMMON_WITHOUT_ID: tuple[Field, ...] = COMMON[1:]

_START, _END = _instant("start_time", "startTime"), _instant("end_time", "endTime")
_TIMESTAMP, _DATE = _instant("timestamp", "timestamp"), _date("date")
_ZONE = (_text("tz_offset", "tzOffset"), _text("time_zone", "timeZone"))
_SOURCE_DATA, _TIME_SERIES = _json("source_data", "sourceData"), _json("time_series", "timeSeries")
_UNIT = (_text("unit"), Field("unit_normal", "unit", Type.UNIT))
_PERCENT = {"%": "percent", "SpO2": "percent", "SpO2(%)": "percent", "percent": "percent"}


def _reading(name: str, unit: str, extra: tuple[Field, ...] = (), units: dict[str, str] | None = None) -> Kind:
    """Return a kind whose records are one measured value with its unit."""
    fields = (_TIMESTAMP, *_ZONE, _number("value", unit), *_UNIT, *extra, _SOURCE_DATA)
    return Kind(name, name, fields, units=units or {unit: unit})


_ALL: tuple[Kind, ...] = (
    Kind(
        "activities",
        "activities",
        (
            _START,
            _END,
            *_ZONE,
            _text("type"),
            _number("duration", "s"),
            _number("distance", "m"),
            _number("steps"),
            _number("calories", "kcal"),
            _SOURCE_DATA,
            _TIME_SERIES,
        ),
    ),
    Kind(
        "activity_summaries",
        "activities/summaries",
        (
            _DATE,
            _number("duration", "s"),
            _number("distance", "m"),
            _number("steps"),
            _number("calories", "kcal"),
            _number("vigorous", "min"),
            _number("moderate", "min"),
            _number("light", "min"),
            _number("sedentary", "min"),
            _SOURCE_DATA,
            _TIME_SERIES,
        ),
    ),
    _reading("heart_rates", "bpm"),
    Kind(
        "heart_rate_summaries",
        "heart_rate/summaries",
        (
            _DATE,
            _number("resting_hr", "bpm", "restingHR"),
            _number("average_hr", "bpm", "averageHR"),
            _number("max_hr", "bpm", "maxHR"),
            _number("min_hr", "bpm", "minHR"),
            _json("zones"),
            _SOURCE_DATA,
        ),
    ),
    _reading("bmis", "kg/m2"),
    _reading("body_fats", "percent", units=_PERCENT),
    _reading("heights", "mm"),
    _reading("weights", "kg"),
    _reading(
        "blood_glucoses",
        "mg/dL",
        (_text("notes"), _text("meal_tag", "mealTag"), _text("medication_tag", "medicationTag")),
        {"mg/dL": "mg/dL", "mg/dl": "mg/dL", "mmol/L": "mmol/L", "mmol/l": "mmol/L"},
    ),
    _reading("blood_oxygens", "percent", (_text("notes"),), _PERCENT),
    Kind(
        "blood_pressures",
        "blood_pressures",
        (
            _TIMESTAMP,
            *_ZONE,
            _number("systolic", "mmHg"),
            _number("diastolic", "mmHg"),
            _number("heart_rate", "bpm", "heartRate"),
            *_UNIT,
            _SOURCE_DATA,
        ),
        units={"mmHg": "mmHg"},
    ),
    Kind(
        "sleeps",
        "sleeps",
        (
            _date("day"),
            _START,
            _END,
            *_ZONE,
            Field("main_sleep", "mainSleep", Type.BOOLEAN),
            _number("time_asleep", "min", "timeAsleep"),
            _number("time_awake", "min", "timeAwake"),
            _number("time_to_fall_asleep", "min", "timeToFallAsleep"),
            _number("time_after_wakeup", "min", "timeAfterWakeup"),
            _number("time_in_bed", "min", "timeInBed"),
            _number("number_of_wakeups", None, "numberOfWakeups"),
            _number("efficiency"),
            _SOURCE_DATA,
            _TIME_SERIES,
        ),
    ),
    Kind(
        "sleep_summaries",
        "sleeps/summaries",
        (
            _DATE,
            _number("time_asleep", "min", "timeAsleep"),
            _number("time_awake", "min", "timeAwake"),
            _SOURCE_DATA,
        ),
    ),
    Kind(
        "genetic_traits",
        "genetic_traits",
        (_text("description"), _text("trait"), _json("possible_traits", "possibleTraits")),
        read=Read.WHOLE,
        identity=("human_id", "description"),
    ),
    Kind(
        "locations",
        "locations",
        (
            _START,
            _END,
            *_ZONE,
            _text("name"),
            _text("type"),
            _json("location"),
            _number("lat", "degree", "location.lat"),
            _number("lon", "degree", "location.lon"),
            _SOURCE_DATA,
        ),
    ),
    Kind(
        "meals",
        "food/meals",
        (
            _TIMESTAMP,
            *_ZONE,
            _text("type"),
            _text("name"),
            _number("calories", "kcal"),
            _number("carbohydrate", "g"),
            _number("fat", "g"),
            _number("protein", "g"),
            _number("sodium", "mg"),
            _number("sugar", "g"),
            _number("fiber", "g"),
            _number("saturated_fat", "g", "saturatedFat"),
            _number("monounsaturated_fat", "g", "monounsaturatedFat"),
            _number("polyunsaturated_fat", "g", "polyunsaturatedFat"),
            _number("cholesterol", "mg"),
            _number("vitamin_a", "mg", "vitaminA"),
            _number("vitamin_c", "mg", "vitaminC"),
            _number("calcium", "mg"),
            _number("iron", "mg"),
            _number("potassium", "mg"),
            _json("amount"),
            _SOURCE_DATA,
        ),
    ),
)

#: Every kind by name, in the order of the API's own documentation.
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}


def columns(kind: Kind) -> tuple[Field, ...]:
    """Return the kind's typed columns, common ones first; none of the store's own."""
    common = COMMON if kind.identity == ("id",) else COMMON_WITHOUT_ID
    return common + kind.fields
