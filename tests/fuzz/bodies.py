"""Bodies as a server may send them: good pages, spoilt ones, and what was never a page."""

import json
from datetime import timedelta

from hypothesis import strategies as st

from humansync.kinds import KINDS, columns
from tests.any_json import ANY_JSON
from tests.factories import START, record

#: Values that are JSON, or nearly, and that some layer below has no room for.
_RAW = st.sampled_from(
    [
        b"9" * 20, b"-" + b"9" * 400, b"9" * 4000, b"9" * 5000, b"1e400", b"-1e-400", b"1.7976931348623157e308", b"NaN", b"Infinity",
        b"-Infinity", b"-0", b"-0.0", b"1E5", b"0.1e1", b'"\\u0000"', b'"\\ud800"', b'"\\udc00x"', b'"\x00"', b'"a\tb\nc"', b'"\xff"',
        b'"\xed\xa0\x80"', b'"\\u00e9"', b"[" * 300 + b"]" * 300, b"[" * 150 + b"]" * 150, b'{"id":"x","id":"y"}', b"{}", b"[]", b"null",
        b'"9999-12-31T23:59:59.999Z"', b'"0001-01-01T00:00:00.000Z"', b'"2026-03-01T24:00:00.000Z"', b'"2026-03-01T00:00:60.000Z"',
        b'"2026-03-01T00:00:00.000+99:99"', b'"' + b"x" * 600 + b'"', b'"\\u001f"',
    ]
)  # fmt: skip
_PLAIN = st.integers(-5, 5) | st.sampled_from(["", "x", "true", "1"]) | st.booleans() | st.none()


@st.composite
def _spoilt(draw: st.DrawFn, kind: str) -> bytes:
    """Give the text of a record with some members replaced, repeated or added, each as raw text."""
    number, second = draw(st.integers(1, 5)), draw(st.integers(0, 3))
    whole = record(kind, number, updated=START + timedelta(seconds=second))
    members = [(json.dumps(key).encode(), json.dumps(value).encode()) for key, value in whole.items()]
    keys = [field.key.partition(".")[0] for field in columns(KINDS[kind])]
    for _ in range(draw(st.integers(0, 3))):
        key = json.dumps(draw(st.sampled_from([*keys, "id", "updatedAt", "new", "k\x00"]))).encode()
        value = draw(
            _RAW | ANY_JSON.map(lambda any_: json.dumps(any_).encode()) | _PLAIN.map(lambda v: json.dumps(v).encode())
        )
        kept = [member for member in members if member[0] != key or draw(st.booleans())]
        members = draw(
            st.sampled_from([[(key, value), *kept], [*kept, (key, value)], [m for m in members if m[0] != key]])
        )
    return b"{" + b",".join(key + b":" + value for key, value in members) + b"}"


@st.composite
def _damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Give a body that was cut, of which bits were flipped, or parts doubled, lost or made up."""
    at, length = draw(st.integers(0, len(whole))), draw(st.integers(0, 20))
    match draw(st.sampled_from(["cut", "flip", "double", "lose", "add", "wrap"])):
        case "cut":
            return whole[:at]
        case "flip" if whole:
            place = at % len(whole)
            return whole[:place] + bytes([whole[place] ^ 1 << draw(st.integers(0, 7))]) + whole[place + 1 :]
        case "double":
            return whole[: at + length] + whole[at:]
        case "lose":
            return whole[:at] + whole[at + length :]
        case "add":
            return whole[:at] + draw(st.binary(max_size=6)) + whole[at:]
        case _:
            before, after = draw(
                st.sampled_from(
                    [(b"[", b"]"), (b'{"data":', b"}"), (b"\xef\xbb\xbf", b""), (b"", b"\n\n"), (b"/**/", b"")]
                )
            )
            return before + whole + after


@st.composite
def pages(draw: st.DrawFn, kind: str) -> bytes:
    """Give the body of a page of records, some of them spoilt."""
    other = _RAW | ANY_JSON.map(lambda value: json.dumps(value).encode())
    records = draw(st.lists(_spoilt(kind) | _spoilt(kind) | other, max_size=5))
    return b"[" + draw(st.sampled_from([b",", b", ", b"\n,"])).join(records) + b"]"


def bodies(kind: str) -> st.SearchStrategy[bytes]:
    """Return whatever a body may be: mostly pages, some damaged on their way."""
    whole = pages(kind)
    return st.one_of(
        whole,
        whole,
        whole.flatmap(_damaged),
        ANY_JSON.map(lambda value: json.dumps(value).encode()),
        ANY_JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")),
        st.binary(max_size=80),
    )
