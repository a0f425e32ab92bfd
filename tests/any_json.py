"""Whatever JSON text can hold, and what Python's parsers make of text that is nearly JSON: for property tests."""

from hypothesis import strategies as st

_TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
_SCALAR = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**100), 2**100),
    st.floats(),
    _TEXT,
    st.sampled_from(["2026-03-01T00:00:00.000Z", "2026-03-01", "", "5", "kg", '{"a":1}', "[1]", '["\\u0000"]']),
)
ANY_JSON = st.recursive(
    _SCALAR,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
