"""Threads wait at the gate for their turn."""

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import pytest

from humansync import parallel
from humansync.state import gate as gate_module
from humansync.state.gate import Gate


def another(place: Callable[[], AbstractContextManager[object]]) -> tuple[threading.Thread, threading.Event]:
    """Start a thread that goes through; return it when it is about to, and what it sets when it has come through."""
    inside, through = threading.Event(), threading.Event()

    def go() -> None:
        inside.set()
        with place():
            through.set()

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    assert inside.wait(10)
    return thread, through


def test_who_comes_when_all_places_are_taken_waits_until_one_is_free() -> None:
    gate = Gate(1)
    with gate.page():
        thread, through = another(gate.page)
        assert not through.wait(0.05)
    assert through.wait(10)
    thread.join(10)


def await_waiters(gate: Any, count: int) -> None:
    """Return when so many threads wait at the gate."""
    deadline = time.monotonic() + 10
    while len(gate._live._waiters) + len(gate._history._waiters) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_live_work_goes_first() -> None:
    gate = Gate(1)
    came: list[str] = []

    def another(name: str, *, live: bool) -> None:
        with gate.page(live=live):
            came.append(name)

    with gate.page():
        threads = [
            threading.Thread(target=another, args=("history",), kwargs={"live": False}, daemon=True) for _ in range(8)
        ]
        threads.append(threading.Thread(target=another, args=("live",), kwargs={"live": True}, daemon=True))
        for thread in threads:
            thread.start()
        await_waiters(gate, len(threads))
    for thread in threads:
        thread.join(10)
    assert came == ["live", *["history"] * 8]


def test_nothing_slips_in_before_live_work_that_waits() -> None:
    gate = Gate(1)
    came: list[bool] = []

    def another() -> None:
        with gate.page(live=True) as let:
            came.append(let)

    with gate.page():
        thread = threading.Thread(target=another, daemon=True)
        thread.start()
        await_waiters(gate, 1)
        with gate._lock:  # a place becomes free, and who waits for it has not taken it yet
            gate._in_hand -= 1
            assert gate._free(live=True)
            assert not gate._free(live=False)
            gate._in_hand += 1
    thread.join(10)
    assert came == [True]


@pytest.mark.parametrize("live", [False, True])
def test_who_waits_too_long_is_sent_away(monkeypatch: pytest.MonkeyPatch, live: bool) -> None:
    monkeypatch.setattr(gate_module, "WAITS_S", 0.05)
    gate = Gate(1)
    came: list[bool] = []

    def another() -> None:
        with gate.page(live=live) as second:
            came.append(second)

    with gate.page() as first:
        assert first
        thread = threading.Thread(target=another, daemon=True)
        thread.start()
        thread.join(10)
        assert came == [False]
    with gate.page() as third:
        assert third


@pytest.mark.parametrize("kinds_of_work", [[False] * 3, [True, False, False]])
def test_all_who_can_come_are_woken_at_once(kinds_of_work: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "WAITS_S", 20.0)
    gate = Gate(4)
    all_inside = threading.Barrier(len(kinds_of_work) + 1)

    def another(*, live: bool) -> None:
        with gate.page(live=live):
            all_inside.wait(10)  # nobody leaves, and wakes the next, before all are there

    with ExitStack() as places:
        for _ in range(4):
            places.enter_context(gate.page())
        threads = [threading.Thread(target=another, kwargs={"live": live}, daemon=True) for live in kinds_of_work]
        for thread in threads:
            thread.start()
        await_waiters(gate, len(threads))
        with gate._lock:  # all leave in the same moment
            gate._in_hand -= 4
            gate._wake()
        all_inside.wait(10)
        for thread in threads:
            thread.join(10)
        gate._in_hand += 4


def test_an_answer_that_makes_a_place_wakes_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "WAITS_S", 20.0)
    gate = Gate(16)
    came = threading.Event()

    def another() -> None:
        with gate.page():
            came.set()

    with ExitStack() as places:
        for _ in range(gate.limit.places):
            places.enter_context(gate.page())
        thread = threading.Thread(target=another, daemon=True)
        thread.start()
        await_waiters(gate, 1)
        gate.answered(0.1)
        assert came.wait(10)
    thread.join(10)


def test_a_request_that_fails_gives_its_place_back() -> None:
    gate = Gate(1)
    with pytest.raises(ValueError, match="lost"), gate.page():
        raise ValueError("lost")
    with gate.page():
        assert gate.limit.places == 1


def test_fast_answers_open_it_and_a_refusal_closes_it_by_half() -> None:
    gate = Gate(16, clock=lambda: 0.0)
    with ExitStack() as requests:
        for _ in range(8):
            requests.enter_context(gate.page())
        for _ in range(8):
            gate.answered(0.1)
        # each answer made one more place, but only the first found all places taken
        assert gate.limit.places == 9
        gate.refused()
        assert gate.limit.places == 4


def test_few_pages_are_stored_at_once_and_the_next_when_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "WAIT_MOST_S", 60.0)
    monkeypatch.setattr(parallel, "WAIT_LEAST_S", 60.0)
    gate = Gate(16)
    with gate.storing():
        with gate.storing():
            thread, through = another(gate.storing)
            assert not through.wait(0.05)
        assert through.wait(10)
    thread.join(10)


def test_one_that_hangs_keeps_nobody_from_storing_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "WAIT_LEAST_S", 0.01)
    gate = Gate(16)
    with gate.storing(), gate.storing(), gate.storing():
        assert gate._storing == 3
    assert gate._storing == 0


def test_a_page_that_is_not_stored_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "WAIT_MOST_S", 60.0)
    monkeypatch.setattr(parallel, "WAIT_LEAST_S", 60.0)
    gate = Gate(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="lost"), gate.storing():
            raise ValueError("lost")


def test_where_storing_takes_no_longer_for_it_more_are_stored_at_once() -> None:
    gate = Gate(16)
    for _ in range(500):
        with ExitStack() as stack:
            for _ in range(gate._storing_limit.places):
                stack.enter_context(gate.storing())
            gate.stored(0.1, 0.3)
    assert gate._storing_limit.places == 16
    assert gate.limit.stored_s == pytest.approx(0.4)
