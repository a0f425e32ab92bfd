"""The README says what the usual readers lose, and that humansync does not: `python -m tests.naive_readers`."""

from tests.naive_readers import (
    CAP,
    CHANGES,
    ROWS,
    cursor_of_the_last_run,
    humansync,
    humansyncs_plan,
    lost,
    lost_late,
    planned_offsets,
    until_short_page,
)


def test_offsets_lose_neighbours_of_rows_that_change_and_humansync_does_not() -> None:
    for changes in CHANGES:
        assert lost(humansync, 1, changes=changes)[0] == 0
    assert lost(until_short_page, 1, changes=0)[0] == 0
    assert lost(until_short_page, 1, changes=1)[0] > 0
    assert lost(planned_offsets, 1, changes=1)[0] > lost(until_short_page, 1, changes=1)[0]


def test_a_server_that_caps_its_pages_ends_a_simple_loop_at_once() -> None:
    assert lost(until_short_page, 1, cap=CAP)[0] == ROWS - CAP
    assert lost(humansync, 1, cap=CAP)[0] == 0


def test_rows_that_appear_late_are_lost_to_a_cursor_of_now() -> None:
    assert lost_late(cursor_of_the_last_run, 1) > 0
    assert lost_late(humansyncs_plan, 1) == 0
