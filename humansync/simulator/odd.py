"""Oddities of single records, as seen in the wild or to be feared. Pure: a record in, an odd record out.

Numbers in brackets are the rows of section 9 of `docs/human-api.md`.
"""

import json
from collections.abc import Callable
from enum import StrEnum

Record = dict[str, object]


class Odd(StrEnum):
    """One way in which a record can be odd. A way that does not fit a record leaves it as it is."""

    NO_HUMAN_ID = "no-human-id"  #: [17] as in 2014: only userId
    UNKNOWN_HUMAN = "unknown-human"  #: [18] a person that the list of users does not hold
    SOURCE_ID = "source-id"  #: [19] 24 hex in place of a name
    SOURCE_DATA_TEXT = "source-data-text"  #: [20] a plain string
    SOURCE_DATA_JSON = "source-data-json"  #: [20] a string that holds JSON
    SOURCE_DATA_NULL = "source-data-null"  #: [20]
    SOURCE_DATA_ABSENT = "source-data-absent"  #: [20]
    STRING_NUMBERS = "string-numbers"  #: [21]
    WORDS = "words"  #: [21] a word where a number belongs
    BOOLEANS = "booleans"  #: [21] true where a number belongs
    ZEROS = "zeros"  #: [22]
    UNIT = "unit"  #: [23] another spelling, or an unknown unit
    EXTRA_KEYS = "extra-keys"  #: [25]
    NEW_TYPE = "new-type"  #: [25]
    NULLS = "nulls"  #: [26] every field of the kind's own is null
    EMPTY_DATE = "empty-date"  #: [26]
    DATE_WITH_TIME = "date-with-time"  #: [26]
    FAR_PAST = "far-past"  #: [27] 1970
    FAR_FUTURE = "far-future"  #: [27] 2999
    LOCAL_TIMES = "local-times"  #: [27] event times without `Z`
    TIME_SPELLING = "time-spelling"  #: [29] updatedAt as `+00:00`, six decimals; the same instant
    SERIES_EMPTY = "series-empty"  #: [46]
    SERIES_LARGE = "series-large"  #: [46] tens of kilobytes
    UNICODE = "unicode"  #: text beyond the basic plane, quotes, backslashes
    NUL = "nul"  #: a NUL character, which PostgreSQL's text refuses
    SURROGATE = "surrogate"  #: half a surrogate pair, which UTF-8 refuses
    BIG_NUMBERS = "big-numbers"  #: beyond 64 bits, and near the largest float
    # records that nobody can use: they belong in quarantine, and `truth` leaves them out
    NO_ID = "no-id"
    NOT_OBJECT = "not-object"
    NO_UPDATED = "no-updated"
    BAD_UPDATED = "bad-updated"

    @classmethod
    def usable(cls) -> tuple["Odd", ...]:
        """Return the ways that leave a record usable."""
        return tuple(way for way in cls if way not in UNUSABLE)


#: Ways after which a record has no identity or no time.
UNUSABLE = frozenset({Odd.NO_ID, Odd.NOT_OBJECT, Odd.NO_UPDATED, Odd.BAD_UPDATED})

_ENVELOPE = frozenset(
    {"id", "userId", "humanId", "source", "sourceData", "createdAt", "updatedAt", "description", "timeSeries"}
)
_DATES = ("date", "day")
_EVENT_TIMES = ("timestamp", "startTime", "endTime")
_SPELLINGS = {
    "percent": ("%", "SpO2", "furlong"),
    "SpO2(%)": ("SpO2", "%", "percent"),
    "mg/dL": ("mg/dl", "mmol/L", "grain"),
}
_NOT_OBJECTS: tuple[object, ...] = (None, 17, "text", [], [1, {}], True)


def make_odd(record: Record, way: Odd, number: int) -> object:
    """Return the record made odd; `number` chooses where a way has several forms. The argument stays as it was."""
    return _WAYS[way](dict(record), number)


def _with(**values: object) -> Callable[[Record, int], object]:
    return lambda record, _: {**record, **values}


def _without(*keys: str) -> Callable[[Record, int], object]:
    return lambda record, _: {key: value for key, value in record.items() if key not in keys}


def _where(keys: tuple[str, ...], change: Callable[[object], object]) -> Callable[[Record, int], object]:
    """Return a way that changes the fields of these names, where the record has them."""
    return lambda record, _: {key: change(value) if key in keys else value for key, value in record.items()}


def _numbers(change: Callable[[object], object]) -> Callable[[Record, int], object]:
    """Return a way that changes every number of the kind's own."""

    def way(record: Record, _: int) -> object:
        return {
            key: change(value) if type(value) in {int, float} and key not in _ENVELOPE else value
            for key, value in record.items()
        }

    return way


def _unit(record: Record, number: int) -> object:
    if "unit" in record:
        spellings = _SPELLINGS.get(str(record["unit"]), ("furlong", ""))
        record["unit"] = spellings[number % len(spellings)]
    return record


def _text(text: str) -> Callable[[Record, int], object]:
    """Return a way that puts a text where the record has free text, else under a key of its own."""

    def way(record: Record, _: int) -> object:
        key = next((key for key in ("name", "trait", "notes", "type") if key in record), "remark")
        return {**record, key: text}

    return way


def _nulls(record: Record, _: int) -> object:
    return {key: value if key in _ENVELOPE else None for key, value in record.items()}


def _series(record: Record, _: int) -> object:
    points = [{"offset": second, "value": 60 + second % 40} for second in range(0, 3600, 3)]
    return {**record, "timeSeries": {"heartRate": points}}


def _no_id(record: Record, _: int) -> object:
    return {key: value for key, value in record.items() if key not in {"id", "description"}}


def _big_numbers(record: Record, number: int) -> object:
    values = (2**70 + 1, 1.7e308, -(2**63), 2**64 - 1)
    return _numbers(lambda _: values[number % len(values)])(record, number)


def _spelling(value: object) -> object:
    return f"{value[:-1]}000+00:00" if isinstance(value, str) and value.endswith("Z") else value


_WAYS: dict[Odd, Callable[[Record, int], object]] = {
    Odd.NO_HUMAN_ID: _without("humanId"),
    Odd.UNKNOWN_HUMAN: lambda record, number: {**record, "humanId": f"ffff{number % 16**28:028x}"},
    Odd.SOURCE_ID: lambda record, number: {**record, "source": f"{number % 16**24:024x}"},
    Odd.SOURCE_DATA_TEXT: _with(sourceData="not { json"),
    Odd.SOURCE_DATA_JSON: _with(sourceData=json.dumps({"manual": True, "device": {"name": "scale"}})),
    Odd.SOURCE_DATA_NULL: _with(sourceData=None),
    Odd.SOURCE_DATA_ABSENT: _without("sourceData"),
    Odd.STRING_NUMBERS: _numbers(str),
    Odd.WORDS: _numbers(lambda _: "n/a"),
    Odd.BOOLEANS: _numbers(lambda _: True),
    Odd.ZEROS: _numbers(lambda _: 0),
    Odd.UNIT: _unit,
    Odd.EXTRA_KEYS: _with(futureField={"nested": [1, 2.5, None]}, **{"odd key": ""}),
    Odd.NEW_TYPE: _with(type="underwater_hockey"),
    Odd.NULLS: _nulls,
    Odd.EMPTY_DATE: _where(_DATES, lambda _: ""),
    Odd.DATE_WITH_TIME: _where(_DATES, lambda value: f"{value}T00:00:00.000Z"),
    Odd.FAR_PAST: _where(_EVENT_TIMES, lambda _: "1970-01-01T00:00:00.000Z"),
    Odd.FAR_FUTURE: _where(_EVENT_TIMES, lambda _: "2999-12-31T23:59:59.000Z"),
    Odd.LOCAL_TIMES: _where(_EVENT_TIMES, lambda value: str(value).removesuffix("Z")),
    Odd.TIME_SPELLING: _where(("createdAt", "updatedAt"), _spelling),
    Odd.SERIES_EMPTY: _with(timeSeries={}),
    Odd.SERIES_LARGE: _series,
    Odd.UNICODE: _text('Müsli "bio" \\ 早餐 🥣 \u202e'),
    Odd.NUL: _text("nul\0character"),
    Odd.SURROGATE: _text("half \ud83e pair"),
    Odd.BIG_NUMBERS: _big_numbers,
    Odd.NO_ID: _no_id,
    Odd.NOT_OBJECT: lambda _, number: _NOT_OBJECTS[number % len(_NOT_OBJECTS)],
    Odd.NO_UPDATED: _without("updatedAt"),
    Odd.BAD_UPDATED: _with(updatedAt="yesterday"),
}
