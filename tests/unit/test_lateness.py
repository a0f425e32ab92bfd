"""How late records were: classes, sums, and whether the overlap still reaches."""

from datetime import UTC, datetime, timedelta

import pytest

from humansync.lateness import BEYOND, Late, class_of, count, summary

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
COVERED_TO = NOW - timedelta(minutes=5)


def late(up_to_s: int, records: int, longest_s: float, days_ago: float = 0) -> Late:
    return Late(up_to_s, records, longest_s, NOW - timedelta(days=days_ago))


@pytest.mark.parametrize(
    ("late_s", "up_to_s"), [(0.001, 60), (60, 60), (60.001, 120), (900, 900), (3 * 86_400, 259_200), (259_201, BEYOND)]
)
def test_a_class_holds_what_is_at_most_its_bound(late_s: float, up_to_s: int) -> None:
    assert class_of(late_s) == up_to_s


def test_only_what_lies_behind_the_covered_time_is_late() -> None:
    updated = [COVERED_TO + timedelta(seconds=s) for s in (-301, -300, -30, -0.5, 0, 40)]
    assert count(updated, COVERED_TO, NOW) == [
        Late(60, 2, 30.0, NOW),
        Late(300, 1, 300.0, NOW),
        Late(600, 1, 301.0, NOW),
    ]


def test_nothing_late_has_no_summary() -> None:
    assert count([COVERED_TO], COVERED_TO, NOW) == []
    assert summary([], NOW) is None


def test_a_summary_adds_the_classes_up() -> None:
    found = summary([late(BEYOND, 1, 300_000), late(60, 90, 50), late(300, 9, 200)], NOW)
    assert found is not None
    assert (found.records, found.longest_s, found.recent_s) == (100, 300_000, 300_000)
    # 90 of 100 within a minute, 99 within five: the class's bound, or its longest where that is less
    assert [found.percentile(share) for share in (0.5, 0.9, 0.99, 1.0)] == [50, 50, 200, 300_000]


@pytest.mark.parametrize(
    ("longest_s", "days_ago", "near", "beyond"),
    [
        (719, 0, False, False),
        (720, 0, True, False),
        (900, 0, True, False),
        (901, 0, True, True),
        (901, 31, False, False),
    ],
)
def test_lateness_near_the_overlap_is_seen_for_a_month(
    longest_s: float, days_ago: float, near: bool, beyond: bool
) -> None:
    found = summary([late(class_of(longest_s), 1, longest_s, days_ago)], NOW)
    assert found is not None
    assert (found.near(900), found.beyond(900)) == (near, beyond)
