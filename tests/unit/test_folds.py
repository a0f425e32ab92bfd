"""Folding: done windows that touch become one, and nothing else does."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from humansync.store.coverage import Done, folds
from humansync.windows import Window, merge
from tests.factories import START, window

_BOUNDS = st.tuples(st.integers(0, 30), st.integers(1, 6))


def done(*windows: Window) -> list[Done]:
    return [Done(i, each, folded=False) for i, each in enumerate(windows)]


def test_windows_that_touch_or_overlap_become_one() -> None:
    (fold,) = folds(done(window(0, 10), window(20, 30), window(10, 15), window(12, 18)))
    assert (fold.keep, fold.window, set(fold.gone)) == (0, window(0, 18), {2, 3})


def test_a_window_by_itself_is_left_alone() -> None:
    assert folds(done(window(0, 10), window(20, 30))) == []


@given(st.lists(_BOUNDS, max_size=12))
def test_folding_changes_no_coverage_and_leaves_nothing_to_fold(bounds: list[tuple[int, int]]) -> None:
    rows = done(*(Window(START + timedelta(seconds=a), START + timedelta(seconds=a + w)) for a, w in bounds))
    found = folds(rows)
    gone = {id_ for fold in found for id_ in fold.gone}
    kept = {fold.keep: fold.window for fold in found}
    after = [Done(row.id, kept.get(row.id, row.window), folded=row.id in kept) for row in rows if row.id not in gone]
    assert merge(row.window for row in after) == merge(row.window for row in rows)
    assert not gone & kept.keys()
    assert folds(after) == []
