"""Raw JSON values -> what a typed column stores, a whole column at a time. Pure.

An ordinary column is recognised by one look at the types in it and then converted without a Python
branch per value; only a column that holds something odd is converted value by value. Nothing is
refused for being implausible (docs/human-api.md, section 9): a value that fits no type becomes null
and is counted, the record's payload keeps it as it came.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from types import NoneType
from typing import TypeAlias, cast

import orjson

from humansync.kinds import Type

#: What a cell holds: neutral between dialects, and JSON. Instants are `YYYY-MM-DD HH:MM:SS.ffffff`
#: in UTC, days `YYYY-MM-DD`, JSON columns their text.
Value: TypeAlias = str | float | bool | None

#: integers beyond this do not fit every database's integer; they are stored as doubles
MAX_INTEGER = 2**63 - 1
#: how orjson writes the one character that PostgreSQL can store in no text
NUL_ESCAPE = b"\\u0000"
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BOOLEANS: dict[object, bool] = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}
_NULLABLE_TEXT = frozenset({str, NoneType})
_NULLABLE_BOOLEAN = frozenset({bool, NoneType})
_NULLABLE_JSON = frozenset({dict, list, NoneType})
_NUMBERS = frozenset({int, float})

#: containers inside each other; orjson writes 254, and a page adds a few of its own
MAX_DEPTH = 200


class Odd(ValueError):
    """A value that does not fit its column."""


class TooDeep(ValueError):
    """Containers nested deeper than any real record: it cannot be stored as it is."""


def clean(value: object, depth: int = MAX_DEPTH) -> object:
    """Return the JSON value with everything replaced that one of the databases cannot store.

    NUL characters and lone surrogates become U+FFFD, integers beyond 64 bits become doubles, numbers that are
    no finite double become their text. Raises TooDeep.
    """
    if depth < 0:
        raise TooDeep
    if isinstance(value, str):
        return _UNSTORABLE.sub(_REPLACEMENT, value)
    if isinstance(value, dict):
        return {clean(key): clean(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [clean(item, depth - 1) for item in value]
    if isinstance(value, int | float) and not abs(value) <= MAX_INTEGER:
        return _finite(value)
    return value


def _finite(value: float) -> float | str:
    try:
        number = float(value)
    except OverflowError:  # an integer that Python has read has no more digits than it writes
        return str(value)
    return number if math.isfinite(number) else str(number)


def holds_nul(text: bytes) -> bool:
    """Return whether JSON text may hold a NUL character. Most texts hold no escape at all, which is found out fast."""
    return b"\\" in text and NUL_ESCAPE in text


def json_text(value: object) -> str:
    """Return JSON text of anything that JSON text can be parsed to, fit for every database."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # a lone surrogate, an integer beyond 64 bits, nested too deeply
        pass
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        return '"nested too deeply to keep"'
    except ValueError:  # NaN, or an integer of thousands of digits, beside one of the above
        pass
    try:
        return json.dumps(clean(value), separators=(",", ":"))
    except TooDeep:
        return '"nested too deeply to keep"'


# --- instants -------------------------------------------------------------------------------------


_SHAPE = "0000-00-00T00:00:00.000Z\n"
_DIGITS_TO_ZERO = str.maketrans("123456789", "000000000")


def canonical_instants(values: list[object]) -> list[datetime] | None:
    """Return the instants if every value is written `2018-12-19T12:20:16.418Z`, else None."""
    if set(map(type, values)) != {str}:
        return None
    texts = cast("list[str]", values)
    # one look at the whole column: as text of lines, with each digit a zero
    if ("\n".join(texts) + "\n").translate(_DIGITS_TO_ZERO) != _SHAPE * len(texts):
        return None
    try:
        return list(map(datetime.fromisoformat, texts))
    except ValueError:
        return None


def instant(value: object) -> datetime:
    """Return the aware UTC instant of any ISO 8601 text; one without an offset is UTC. ValueError otherwise."""
    if not isinstance(value, str):
        raise Odd("not a text")
    text = value.strip().upper()
    if len(text) <= len("2018-12-19"):
        raise Odd("a day is no instant")
    parsed = datetime.fromisoformat(text)
    try:
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except OverflowError as error:
        raise Odd("beyond the calendar") from error


def instant_text(value: datetime) -> str:
    """Return a UTC instant as a cell stores it."""
    return value.replace(tzinfo=None).isoformat(" ", "microseconds")


def _instants(values: list[object]) -> list[Value] | None:
    if canonical_instants(values) is None:
        return None
    lines = "\n".join(cast("list[str]", values))
    return cast("list[Value]", lines.replace("T", " ").replace("Z", "000").split("\n"))


# --- one value, any spelling ----------------------------------------------------------------------


def _text_of(value: object) -> Value:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return orjson.dumps(value).decode()
    raise Odd("not a text")


def _number_of(value: object) -> Value:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Odd("not a number")
    number = float(value)
    if not math.isfinite(number):
        raise Odd("not finite")
    return number


def _boolean_of(value: object) -> Value:
    if isinstance(value, str | int):
        key = value.strip().lower() if isinstance(value, str) else value
        if key in _BOOLEANS:
            return _BOOLEANS[key]
    raise Odd("not a boolean")


def _instant_of(value: object) -> Value:
    return instant_text(instant(value))


def _date_of(value: object) -> Value:
    if not isinstance(value, str):
        raise Odd("not a text")
    return date.fromisoformat(value.strip()[: len("2018-12-19")]).isoformat()


def _json_of(value: object) -> Value:
    if isinstance(value, str):
        value = _parsed(value)
    return orjson.dumps(value).decode()


def _parsed(text: str) -> object:
    """Return the object or array that a text spells, else the text itself."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = orjson.loads(text)
        encoded = orjson.dumps(value)
        return clean(value) if holds_nul(encoded) else value
    except (ValueError, TypeError):  # no JSON, or nested deeper than can be written
        return text


# --- columns --------------------------------------------------------------------------------------


def _texts(values: list[object]) -> list[Value] | None:
    return cast("list[Value]", values) if set(map(type, values)) <= _NULLABLE_TEXT else None


def _numbers(values: list[object]) -> list[Value] | None:
    present = cast("list[float]", [value for value in values if value is not None])
    if not set(map(type, present)) <= _NUMBERS:
        return None
    # one sum tells of NaN, infinity and integers too large: the comparison is false for each
    return cast("list[Value]", values) if sum(map(abs, present)) <= MAX_INTEGER else None


def _booleans(values: list[object]) -> list[Value] | None:
    return cast("list[Value]", values) if set(map(type, values)) <= _NULLABLE_BOOLEAN else None


def _dates(values: list[object]) -> list[Value] | None:
    if set(map(type, values)) != {str}:
        return None
    days = cast("set[str]", set(values))  # few on a page
    try:
        return cast("list[Value]", values) if all(date.fromisoformat(day).isoformat() == day for day in days) else None
    except ValueError:
        return None


def _jsons(values: list[object]) -> list[Value] | None:
    if not set(map(type, values)) <= _NULLABLE_JSON:
        return None
    return [None if value is None else orjson.dumps(value).decode() if value else str(value) for value in values]


_WHOLE_COLUMN: dict[Type, Callable[[list[object]], list[Value] | None]] = {
    Type.TEXT: _texts,
    Type.NUMBER: _numbers,
    Type.BOOLEAN: _booleans,
    Type.INSTANT: _instants,
    Type.DATE: _dates,
    Type.JSON: _jsons,
}
_ONE_VALUE: dict[Type, Callable[[object], Value]] = {
    Type.TEXT: _text_of,
    Type.NUMBER: _number_of,
    Type.BOOLEAN: _boolean_of,
    Type.INSTANT: _instant_of,
    Type.DATE: _date_of,
    Type.JSON: _json_of,
}


def convert(type_: Type, values: list[object], column: str, odd: Counter[str]) -> list[Value]:
    """Return the column's cells; values that fit no cell are null and counted in `odd` under the column's name."""
    whole = _WHOLE_COLUMN[type_](values)
    if whole is not None:
        return whole
    one = _ONE_VALUE[type_]
    cells: list[Value] = []
    for value in values:
        cell: Value = None
        if value is not None:
            try:
                cell = one(value)
            except (ValueError, OverflowError):
                odd[column] += 1
        cells.append(cell)
    return cells


def normal_units(units: dict[str, str], values: list[object], column: str, odd: Counter[str]) -> list[Value]:
    """Return the normal spelling of each unit; unknown ones are null and counted."""
    cells: list[Value] = []
    for value in values:
        cell = units.get(value) if isinstance(value, str) else None
        if cell is None and value is not None:
            odd[column] += 1
        cells.append(cell)
    return cells
