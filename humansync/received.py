"""A page taken as the text that it came as, for a database that makes rows of it by itself. Pure.

Most pages are like that: all is as documented, no record twice. It spares building what is only handed on, writing each
record anew, here, and reading it twice, there. Whatever else a page holds is read by `humansync.records`, which judges
and mends; the two lead to the same rows, but for what is nested more deeply than any real record.
"""

from collections import defaultdict
from dataclasses import replace
from datetime import date
from functools import cache
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from humansync.kinds import KINDS, Field, Kind, Read, Type, columns
from humansync.records import MAX_ID, NOTHING, Batch
from humansync.values import MAX_INTEGER, canonical_instants, holds_nul

#: An object of which nothing is kept: what is within it has to be JSON. How large its numbers are, the database judges.
_Object = msgspec.defstruct("_Object", [], gc=False)
_TYPES: dict[Type, Any] = {
    Type.TEXT: str,
    # Also as a text that every reader of numbers reads alike: the API writes some so.
    Type.NUMBER: Annotated[float, msgspec.Meta(gt=-float(MAX_INTEGER), lt=float(MAX_INTEGER))]
    | Annotated[str, msgspec.Meta(pattern=r"\A-?[0-9]{1,15}(\.[0-9]{1,15})?\Z")],
    Type.BOOLEAN: bool,
    Type.INSTANT: str,
    Type.DATE: date,
    Type.JSON: _Object | tuple[msgspec.Raw, ...],
}


class _Reader(NamedTuple):
    decoder: "msgspec.json.Decoder[list[Any]]"
    #: names of the instants that a record may lack
    instants: tuple[str, ...]


def as_received(kind: Kind, body: bytes) -> Batch | None:
    """Return a page as its text, if a database that casts its values stores what `records.parse` would; else None.

    The batch has no rows then, and all that paging goes by.
    """
    if kind.read is Read.WHOLE or holds_nul(body):
        return None
    decoder, instants = _reader(kind.name)
    try:
        found, text = decoder.decode(body), body.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # odd, or no JSON at all
        return None
    keys: list[str] = [record.id for record in found]
    updated = canonical_instants([record.updated_at for record in found])
    if updated is None or len(set(keys)) < len(keys) or not all(_canonical(found, name) for name in instants):
        return None
    return replace(NOTHING, text=text, by_place=keys, updated=updated, received=len(keys))


def _canonical(found: list[Any], name: str) -> bool:
    """Whether a plain cast in SQL makes of each of a column's instants what `records.parse` makes of it."""
    present = [value for value in map(attrgetter(name), found) if value is not None]
    return not present or canonical_instants(present) is not None


@cache
def _reader(name: str) -> _Reader:
    """Return what reads the pages of a kind."""
    kind = KINDS[name]
    # A unit stands in two columns, and is one value: the one that takes fewer spellings decides.
    by_key = {field.key: field for field in columns(kind)}
    flat, nested = [field for field in by_key.values() if "." not in field.key], defaultdict[str, list[Any]](list)
    for key, field in by_key.items():
        outer, _, inner = key.partition(".")
        if inner:
            nested[outer].append((inner, _type(kind, field) | None, None))
    # What has columns of its own is one itself, too, by the same name: it is looked into.
    attributes: dict[str, tuple[Any, ...]] = {field.column: (_type(kind, field) | None, None) for field in flat}
    attributes |= {outer: (msgspec.defstruct(outer, inner, gc=False) | None, None) for outer, inner in nested.items()}
    attributes |= {"id": (Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)],), "updated_at": (str,)}
    keys = {field.column: field.key for field in flat}
    fields = [(column, *rest) for column, rest in attributes.items()]
    record = msgspec.defstruct(name, fields, rename=keys, kw_only=True, gc=False)
    instants = tuple(f.column for f in by_key.values() if f.type is Type.INSTANT and f.column != "updated_at")
    return _Reader(msgspec.json.Decoder(list[record]), instants)  # type: ignore[valid-type]  # made at run time


def _type(kind: Kind, field: Field) -> Any:
    return Literal[tuple(kind.units)] if field.type is Type.UNIT else _TYPES[field.type]
