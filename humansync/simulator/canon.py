"""What a record is, and its digest: the terms in which a database is compared with the simulator. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import orjson

from humansync.kinds import KINDS, Read
from humansync.simulator.instants import parse_iso

#: joins the parts of an identity that has several, as in `humanId` and `description` of genetic traits
JOINT = "\x1f"

#: Keys in the record that make up a kind's identity.
IDENTITY_KEYS: dict[str, tuple[str, ...]] = {
    kind.name: ("id",) if kind.read is Read.WINDOWED else ("humanId", "description") for kind in KINDS.values()
}

#: Integers beyond it are not told apart from floats by every parser and every JSON column.
_LARGEST_INT = 2**53 - 1
_SPELLING = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


def parse(body: bytes) -> Any:
    """Return the JSON value of a body, also one that a strict parser refuses (lone surrogates)."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body)


def dump(record: object) -> bytes:
    """Return compact JSON of any value, keys in their order, also with lone surrogates or huge integers."""
    try:
        # A copy, because the bytes that orjson hands out keep some five kilobytes for themselves.
        return bytes(memoryview(orjson.dumps(record)))
    except TypeError:
        return json.dumps(record, separators=(",", ":")).encode()


def identity(kind: str, record: object) -> str | None:
    """Return the record's identity; None for what cannot be told apart (no object, no id)."""
    if not isinstance(record, Mapping):
        return None
    parts = [part for key in IDENTITY_KEYS[kind] if isinstance(part := record.get(key), str) and part]
    return JOINT.join(parts) if len(parts) == len(IDENTITY_KEYS[kind]) else None


def has_time(kind: str, record: Mapping[str, object]) -> bool:
    """Return whether the record says when it was updated, or is of a kind that does not."""
    return KINDS[kind].read is Read.WHOLE or parse_iso(record.get("updatedAt")) is not None


def canonical(record: object) -> bytes:
    """Return the one spelling of a JSON value: sorted keys, no blanks, UTF-8.

    What no database can hold is spelled as a database would: NUL and lone surrogates as U+FFFD, integers
    beyond 53 bits as floats. A payload read back from a JSON column therefore spells the same as the record sent.
    """
    try:
        text = orjson.dumps(record, option=_SPELLING)
    except TypeError:
        return orjson.dumps(_storable(record), option=_SPELLING)
    return orjson.dumps(_storable(record), option=_SPELLING) if b"\\u0000" in text else text


def digest(record: object) -> str:
    """Return the SHA-1 (hex) of the canonical spelling: a fingerprint, not a secret."""
    return hashlib.sha1(canonical(record), usedforsecurity=False).hexdigest()


def _storable(value: object) -> object:
    """Return the value with everything replaced that a database's text or JSON refuses."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {str(_storable(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, int) and abs(value) > _LARGEST_INT:
        return float(value)
    return value
