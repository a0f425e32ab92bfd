"""Window arithmetic: split then merge is identity, coverage and gaps make the range."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humansync.windows import Window, gaps, merge, prefix_end, split, split_by_width

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: int) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def win(since: int, before: int) -> Window:
    return Window(at(since), at(before))


windows = st.tuples(st.integers(0, 500), st.integers(1, 100)).map(lambda pair: win(pair[0], pair[0] + pair[1]))


def seconds_of(parts: list[Window]) -> set[int]:
    return {int((part.since - EPOCH).total_seconds()) + i for part in parts for i in range(part.seconds)}


@given(windows, st.integers(1, 200))
def test_splitting_then_merging_gives_the_window_back(window: Window, parts: int) -> None:
    pieces = split(window, parts)
    assert merge(pieces) == [window]
    assert sum(piece.seconds for piece in pieces) == window.seconds
    assert len(pieces) == min(parts, window.seconds)


@given(windows, st.integers(1, 50))
def test_no_piece_is_wider_than_asked(window: Window, width: int) -> None:
    pieces = split_by_width(window, width)
    assert merge(pieces) == [window]
    assert max(piece.seconds for piece in pieces) <= width


@given(windows, st.lists(windows, max_size=8))
def test_coverage_and_gaps_make_the_range(wanted: Window, covered: list[Window]) -> None:
    missing = gaps(wanted, covered)
    assert seconds_of(missing) == seconds_of([wanted]) - seconds_of(covered)
    assert missing == merge(missing)


@given(st.lists(windows, max_size=8))
def test_merging_twice_is_merging_once(parts: list[Window]) -> None:
    assert merge(merge(parts)) == merge(parts)
    assert seconds_of(merge(parts)) == seconds_of(parts)


@pytest.mark.parametrize(
    ("covered", "start", "end"),
    [
        ([], 0, None),
        ([(0, 10)], 0, 10),
        ([(0, 10), (10, 20)], 0, 20),  # touching windows are gapless
        ([(0, 10), (11, 20)], 0, 10),  # one second is missing
        ([(5, 10)], 0, None),  # the beginning is missing
        ([(0, 10), (5, 30)], 7, 30),
    ],
)
def test_the_prefix_ends_at_the_first_gap(covered: list[tuple[int, int]], start: int, end: int | None) -> None:
    found = prefix_end([win(a, b) for a, b in covered], at(start))
    assert found == (at(end) if end is not None else None)


def test_a_window_refuses_naive_empty_and_fractional_bounds() -> None:
    with pytest.raises(ValueError, match="aware UTC"):
        Window(EPOCH.replace(tzinfo=None), EPOCH.replace(tzinfo=None) + timedelta(seconds=1))
    with pytest.raises(ValueError, match="not empty"):
        Window(EPOCH, EPOCH)
    with pytest.raises(ValueError, match="whole seconds"):
        Window(EPOCH, EPOCH + timedelta(milliseconds=1500))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-01-31", "soon"])
def test_what_is_no_instant_of_the_calendar_makes_no_window(text: str) -> None:
    with pytest.raises(ValueError, match=r"calendar|offset|isoformat"):
        Window.parse(text, "2026-01-31T00:00:00Z")


@pytest.mark.section9(8)
def test_instants_between_seconds_are_held_by_the_window_around_them() -> None:
    half = timedelta(milliseconds=500)
    assert Window.around(at(3) + half, at(7) + half) == win(3, 8)
    assert Window.around(at(3), at(7)) == win(3, 7)
    with pytest.raises(ValueError, match="not empty"):
        Window.around(at(7), at(3))
