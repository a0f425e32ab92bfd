"""Threads wait at the gate for their turn."""

import threading
import time
from contextlib import ExitStack

import pytest

from humansync.state import gate as gate_module
from humansync.state.gate import Gate


def test_who_comes_when_all_places_are_taken_waits_until_one_is_free() -> None:
    gate = Gate(1)
    inside, through = threading.Event(), threading.Event()

    def another() -> None:
        inside.set()
        with gate.request():
            through.set()

    with gate.request():
        thread = threading.Thread(target=another)
        thread.start()
        assert inside.wait(10)
        assert not through.wait(0.05)
    assert through.wait(10)
    thread.join()


def test_live_work_goes_first() -> None:
    gate = Gate(1)
    came: list[str] = []

    def another(name: str, *, live: bool) -> None:
        with gate.request(live=live):
            came.append(name)

    with gate.request():
        threads = [threading.Thread(target=another, args=("history",), kwargs={"live": False}) for _ in range(8)]
        threads.append(threading.Thread(target=another, args=("live",), kwargs={"live": True}))
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 10
        while len(gate._moved._waiters) < len(threads) and time.monotonic() < deadline:  # type: ignore[attr-defined]
            time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert came == ["live", *["history"] * 8]


def test_who_waits_too_long_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "WAITS_S", 0.05)
    gate = Gate(1)
    came: list[bool] = []

    def another() -> None:
        with gate.request() as second:
            came.append(second)

    with gate.request() as first:
        assert first
        thread = threading.Thread(target=another, daemon=True)
        thread.start()
        thread.join(10)
        assert came == [False]
    with gate.request() as third:
        assert third


def test_a_request_that_fails_gives_its_place_back() -> None:
    gate = Gate(1)
    with pytest.raises(ValueError, match="lost"), gate.request():
        raise ValueError("lost")
    with gate.request():
        assert gate.limit.places == 1


def test_fast_answers_open_it_and_a_refusal_closes_it_by_half() -> None:
    gate = Gate(16, clock=lambda: 0.0)
    with ExitStack() as requests:
        for _ in range(4):
            requests.enter_context(gate.request())
        for _ in range(4):
            gate.answered(0.1)
        # each answer made one more place, but only the first found all places taken
        assert gate.limit.places == 5
        gate.refused()
        assert gate.limit.places == 2
