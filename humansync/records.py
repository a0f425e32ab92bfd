"""API JSON -> typed rows of one kind; what is rejected and why. Pure.

A page of five hundred records goes through here for every request, so columns are converted whole
(`humansync.values`); the record-by-record path below is for pages that hold something odd. What odd
pages look like, and what is done with them: docs/human-api.md, section 9.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import NamedTuple, TypeAlias, cast

import orjson

from humansync.kinds import KINDS, Field, Kind, Read, Type, columns
from humansync.values import (
    MAX_INTEGER,
    TooDeep,
    Value,
    canonical_instants,
    clean,
    convert,
    holds_nul,
    instant,
    json_text,
    normal_units,
)

Record: TypeAlias = dict[str, object]
#: gives the values of one key, a page's worth, in the order received
_Column: TypeAlias = Callable[[str], list[object]]

#: joins the parts of an identity that has several
SEPARATOR = "\x1f"
#: characters of an id: four bytes each at most, well within what a PostgreSQL index entry holds (2,704 bytes)
MAX_ID = 128
#: characters of the other part of a primary key
MAX_DESCRIPTION = 400


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that cannot be a row. `reason` carries no health data, `payload` is the record as JSON text."""

    reason: str
    payload: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What one page holds."""

    #: one per identity (its last version), values in the order of `kinds.columns(kind)`, sorted by identity
    rows: list[tuple[Value, ...]]
    #: JSON text of each row's whole record, parallel to `rows`
    payloads: list[bytes]
    rejected: list[Rejected]
    #: identity of every record, "" for one that has none, in the order received, duplicates kept: the anchors of paging
    by_place: list[str]
    #: `updatedAt` of usable records in the order received; empty for kinds read whole
    updated: list[datetime]
    #: records in the page, usable or not
    received: int
    #: odd values kept in the payload with a null column, by column
    flags: Counter[str]
    #: the page's own text, in place of `rows` and `payloads`: for a database that makes them of it by itself
    text: str | None = None

    @property
    def identities(self) -> list[str]:
        """Return the identities of those records that have one, in the order received, duplicates kept."""
        return [identity for identity in self.by_place if identity]


#: what a step without a request has read
NOTHING = Batch(rows=[], payloads=[], rejected=[], by_place=[], updated=[], received=0, flags=Counter())


class _Sifted(NamedTuple):
    """A page's usable records, everything parallel and in the order received."""

    records: list[Record]
    payloads: list[bytes]
    keys: Sequence[str | tuple[str, ...]]
    updated: list[datetime]
    #: of all records of the page, as `Batch.by_place`
    by_place: list[str]
    rejected: list[Rejected]


class _Unusable(ValueError):
    """Carries the reason of a rejection."""


def parse(kind: Kind, records: list[object]) -> Batch:
    """Return the page's rows and what had to be rejected. Never raises, whatever JSON the records are."""
    sifted = (_sift_ordinary(records) if kind.read is Read.WINDOWED else None) or _sift(kind, records)
    flags: Counter[str] = Counter()
    order = _order(sifted.keys, sifted.updated)
    rows = _rows(kind, sifted.records, flags)
    return Batch(
        rows=[rows[i] for i in order],
        payloads=[sifted.payloads[i] for i in order],
        rejected=sifted.rejected,
        by_place=sifted.by_place,
        updated=sifted.updated,
        received=len(records),
        flags=flags,
    )


def part(batch: Batch, places: Sequence[int]) -> Batch:
    """Return a batch of some of the rows alone, as something to be stored."""
    rows, payloads = [batch.rows[i] for i in places], [batch.payloads[i] for i in places]
    return replace(NOTHING, rows=rows, payloads=payloads)


def without(batch: Batch, refused: Mapping[int, str]) -> Batch:
    """Return the batch with some rows set aside as rejected: place -> reason. What paging goes by stays."""
    kept = part(batch, [i for i in range(len(batch.rows)) if i not in refused])
    rejected = [Rejected(reason, batch.payloads[i].decode()) for i, reason in sorted(refused.items())]
    return replace(batch, rows=kept.rows, payloads=kept.payloads, rejected=[*batch.rejected, *rejected])


def identity_of(kind: Kind, row: Sequence[object]) -> str:
    """Return the identity of a row of `kinds.columns(kind)`, as `Batch.by_place` spells it."""
    return SEPARATOR.join(str(row[i]) for i in _identity_places(kind.name))


# --- which records are usable ---------------------------------------------------------------------


def _sift_ordinary(records: list[object]) -> _Sifted | None:
    """Return the page if every record is usable and holds nothing that needs mending, else None."""
    if set(map(type, records)) != {dict}:
        return None
    usable = cast("list[Record]", records)
    keys = _ordinary_ids([record.get("id") for record in usable])
    updated = canonical_instants([record.get("updatedAt") for record in usable])
    if keys is None or updated is None:
        return None
    try:
        payloads = list(map(orjson.dumps, usable))
    except TypeError:  # a lone surrogate, an integer beyond 64 bits, nested too deeply
        return None
    if any(map(holds_nul, payloads)):
        return None
    return _Sifted(usable, payloads, keys, updated, keys, [])


def _ordinary_ids(ids: Sequence[object]) -> list[str] | None:
    if set(map(type, ids)) != {str}:
        return None
    keys = cast("list[str]", ids)
    return keys if "" not in keys and max(map(len, keys)) <= MAX_ID else None


def _sift(kind: Kind, records: list[object]) -> _Sifted:
    """Return the page's usable records, mended where they must be, and the rejected ones with their reasons."""
    usable: list[Record] = []
    payloads: list[bytes] = []
    keys: list[tuple[str, ...]] = []
    updated: list[datetime] = []
    by_place: list[str] = []
    rejected: list[Rejected] = []
    for raw in records:
        by_place.append("")
        try:
            record = _mended(raw)
            key = _key(kind, cast("Record", raw))
            by_place[-1] = SEPARATOR.join(key)
            if kind.read is Read.WINDOWED:
                updated.append(_updated_at(record))
        except _Unusable as reason:
            rejected.append(Rejected(str(reason), json_text(raw)))
            continue
        usable.append(record)
        payloads.append(orjson.dumps(record))
        keys.append(key)
    return _Sifted(usable, payloads, keys, updated, by_place, rejected)


def _mended(raw: object) -> Record:
    if not isinstance(raw, dict):
        raise _Unusable("not an object")
    try:
        return cast("Record", clean(raw))
    except TooDeep as error:
        raise _Unusable("nested too deeply") from error


def _key(kind: Kind, record: Record) -> tuple[str, ...]:
    names = {field.column: field.key for field in columns(kind)}
    return tuple(
        _key_part(record.get(names[column]), names[column], MAX_ID if column != "description" else MAX_DESCRIPTION)
        for column in kind.identity
    )


def _key_part(value: object, name: str, longest: int) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > MAX_INTEGER:  # its cell would be a double, and several of them one
            raise _Unusable(f"{name} is too long")
        value = str(value)
    if not isinstance(value, str) or not value:
        raise _Unusable(f"no {name}")
    if len(value) > longest:
        raise _Unusable(f"{name} is too long")
    if clean(value) != value:  # mended, two of them might be one
        raise _Unusable(f"{name} has characters that cannot be stored")
    return value


def _updated_at(record: Record) -> datetime:
    value = record.get("updatedAt")
    if value is None:
        raise _Unusable("no updatedAt")
    try:
        return instant(value)
    except ValueError as error:
        raise _Unusable("updatedAt is no instant") from error


# --- rows -----------------------------------------------------------------------------------------


def _order(keys: Sequence[str | tuple[str, ...]], updated: list[datetime]) -> list[int]:
    """Return the places of the records to keep, sorted by identity: of each identity the last version.

    One statement cannot upsert a key twice; and writers that take their rows in one order never wait for
    each other in a circle.
    """
    last: dict[object, int] = dict(zip(keys, range(len(keys)), strict=True))
    if len(last) < len(keys) and updated:
        for place, key in enumerate(keys):
            kept = last[key]
            if (updated[place], place) > (updated[kept], kept):
                last[key] = place
    return sorted(last.values(), key=keys.__getitem__)


def _turned(records: list[Record]) -> _Column:
    """Return what gives a page's values by key, None where a record lacks it: records of one make are turned at once."""
    if records and len(records[0]) > 1 and set(map(len, records)) == {len(records[0])}:
        with contextlib.suppress(KeyError):
            # as many keys as the first has, and all of those: the same ones
            turned = zip(*map(itemgetter(*records[0]), records), strict=True)
            by_key = dict(zip(records[0], map(list, turned), strict=True))
            absent: list[object] = [None] * len(records)
            return lambda key: by_key.get(key, absent)
    return lambda key: [record.get(key) for record in records]


def _rows(kind: Kind, records: list[Record], flags: Counter[str]) -> list[tuple[Value, ...]]:
    column = _turned(records)
    cells = [_cells(kind, field, column, flags) for field in columns(kind)]
    return list(zip(*cells, strict=True))


def _values(field: Field, column: _Column) -> list[object]:
    key, _, inner = field.key.partition(".")
    values = column(key)
    return [value.get(inner) if isinstance(value, dict) else None for value in values] if inner else values


def _cells(kind: Kind, field: Field, column: _Column, flags: Counter[str]) -> list[Value]:
    values = _values(field, column)
    if field.type is Type.UNIT:
        return normal_units(kind.units, values, field.column, flags)
    return convert(field.type, values, field.column, flags)


@cache
def _identity_places(kind: str) -> tuple[int, ...]:
    names = [field.column for field in columns(KINDS[kind])]
    return tuple(names.index(column) for column in KINDS[kind].identity)
