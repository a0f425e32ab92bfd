"""What is proven of history, and what an audit looks at next."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humansync.proofs import LONGEST, ROWS_A_REQUEST, SETTLED, UNKNOWN_S, Proof, add, pick, standing
from humansync.windows import Window, gaps, merge

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def days(first: int, last: int) -> Window:
    """Return the window from one day to another, in days before now."""
    return Window(NOW - first * DAY, NOW - last * DAY)


def proof(first: int, last: int, days_ago: float = 0, differences: int = 0) -> Proof:
    return Proof(days(first, last), NOW - days_ago * DAY, differences)


def test_a_newer_proof_takes_the_place_of_what_it_covers() -> None:
    known = [proof(30, 10, 20)]
    assert add(known, proof(20, 15)) == [proof(30, 20, 20), proof(20, 15), proof(15, 10, 20)]


def test_adjoining_proofs_of_one_week_become_one_dated_by_the_older() -> None:
    assert add([proof(30, 20, 6)], proof(20, 10)) == [proof(30, 10, 6)]
    assert add([proof(30, 20, 8)], proof(20, 10)) == [proof(30, 20, 8), proof(20, 10)]


def test_what_differs_is_never_joined_with_what_is_equal() -> None:
    assert len(add([proof(30, 20, differences=1)], proof(20, 10))) == 2
    assert add([proof(30, 20, differences=1)], proof(30, 20)) == [proof(30, 20)]


steps = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10), st.integers(0, 3)), max_size=12)


@given(steps)
def test_proofs_stay_disjoint_and_cover_all_that_was_compared(compared: list[tuple[int, int, int]]) -> None:
    proofs: list[Proof] = []
    for number, (last, width, differences) in enumerate(compared):
        proofs = add(proofs, Proof(days(last + width, last), NOW + number * DAY, differences))
    windows = [each.window for each in proofs]
    assert all(a.before <= b.since for a, b in pairwise(windows))
    assert merge(windows) == merge(days(last + width, last) for last, width, _ in compared)


# --- what is next ---------------------------------------------------------------------------------


def chosen(
    coverage: list[Window], proofs: list[Proof], chance: float = 0.0, rows_a_day: float | None = None
) -> Window | None:
    density = rows_a_day / 86_400 if rows_a_day else None
    return pick(coverage, proofs, density, NOW, requests=4, chance=chance)


def test_the_last_days_are_left_to_the_sweep() -> None:
    assert chosen([days(3, 0)], []) is None
    assert chosen([days(4, 0)], []) == Window(NOW - 4 * DAY, NOW - SETTLED)
    later = NOW + timedelta(hours=23)
    assert pick([days(4, 0)], [proof(4, 3)], None, later, requests=4, chance=0) is None


def test_what_was_never_proven_goes_first() -> None:
    known = [proof(30, 20, 100), proof(19, 3, 50)]
    assert {chosen([days(30, 0)], known, chance) for chance in (0, 0.3, 0.99)} == {days(20, 19)}


def test_each_part_has_its_chance() -> None:
    drawn = [chosen([days(30, 0)], [proof(20, 10)], number / 17) for number in range(17)]
    assert drawn == [days(30 - number, 29 - number) for number in range(10)] + [
        days(10 - number, 9 - number) for number in range(7)
    ]


def test_what_is_proven_waits_for_a_week() -> None:
    assert chosen([days(30, 0)], [proof(30, 3, 6)]) is None
    assert chosen([days(30, 0)], [proof(30, 13, 6), proof(13, 3, 8)]) == days(13, 12)


def test_a_window_holds_what_the_requests_may_bring() -> None:
    rows = 4 * ROWS_A_REQUEST
    assert chosen([days(30, 0)], [], rows_a_day=rows) == days(30, 29)
    assert chosen([days(33, 0)], [], rows_a_day=rows / 10) == days(33, 23)
    assert chosen([days(27, 0)], [], rows_a_day=rows * 24) == Window(
        NOW - 27 * DAY, NOW - 27 * DAY + timedelta(hours=1)
    )
    assert chosen([days(93, 0)], [], rows_a_day=0.001) == Window(NOW - 93 * DAY, NOW - 93 * DAY + LONGEST)
    unknown = chosen([days(30, 0)], [])
    assert unknown is not None
    assert unknown.seconds == UNKNOWN_S


@given(
    st.floats(0, 1, exclude_max=True),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=5),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=5),
    st.floats(1, 10**6),
)
def test_every_choice_is_covered_unproven_and_no_larger_than_asked(
    chance: float, covered: list[tuple[int, int]], proven: list[tuple[int, int]], rows_a_day: float
) -> None:
    coverage = [days(last + width, last) for last, width in covered]
    proofs: list[Proof] = []
    for last, width in proven:
        proofs = add(proofs, proof(last + width, last))
    found = chosen(coverage, proofs, chance, rows_a_day)
    settled = [gap for each in merge(coverage) for gap in gaps(each, [days(3, 0), *(p.window for p in proofs)])]
    if found is None:
        assert settled == []
    else:
        assert any(each.since <= found.since and found.before <= each.before for each in settled)
        assert found.seconds <= max(1, 4 * ROWS_A_REQUEST / (rows_a_day / 86_400))


@given(st.integers(1, 50), st.integers(1, 3 * 10**6))
def test_turns_come_to_everything(parts: int, seconds: int) -> None:
    coverage = [Window(NOW - 50 * DAY - timedelta(seconds=seconds), NOW - 50 * DAY)]
    proofs: list[Proof] = []
    density = 4 * ROWS_A_REQUEST * parts / seconds
    for turn in range(4 * parts + 4):
        found = pick(coverage, proofs, density, NOW, requests=4, chance=(turn * 0.618) % 1)
        if found is None:
            break
        proofs = add(proofs, Proof(found, NOW))
    assert standing(coverage, proofs).share == 1.0
    assert len(proofs) == 1


# --- how it stands --------------------------------------------------------------------------------


def test_the_share_is_of_what_is_covered_and_equal() -> None:
    found = standing([days(30, 10)], [proof(40, 25, 9), proof(25, 20, 5, differences=2), proof(15, 0, 1)])
    assert found.share == pytest.approx(10 / 20)  # 30 to 25 and 15 to 10
    assert (found.oldest_at, found.latest_at, found.differences) == (NOW - 9 * DAY, NOW - DAY, 2)


def test_nothing_covered_is_nothing_proven() -> None:
    assert standing([], [proof(30, 0)]).share == 0.0
    assert standing([days(3, 0)], []).oldest_at is None


def test_one_comparison_is_about_all_of_a_kind_without_times() -> None:
    assert standing([days(30, 0)], [proof(100, 5)], whole=True).share == 1.0
    assert standing([days(30, 0)], [proof(100, 5, differences=1)], whole=True).share == 0.0
    assert standing([days(30, 0)], [], whole=True).share == 0.0
