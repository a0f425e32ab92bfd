"""What humansync mends in Celery's pool of processes."""

import os
import select
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency import get_implementation
from kombu.asynchronous import Hub

from config import celery
from config.settings import load
from workers import pool


# The mechanism: `get_process_queues` of the pool.
def test_a_process_has_a_successor_though_nobody_took_note_of_its_end() -> None:
    two_processes: Any = pool.Pool.__new__(pool.Pool)
    dead, alive = SimpleNamespace(_is_alive=lambda: False), SimpleNamespace(_is_alive=lambda: True)
    two_processes._queues = {("of another",): alive, ("of the dead",): dead}
    assert two_processes.get_process_queues() == ("of the dead",)
    two_processes._queues["of the dead",] = alive
    with pytest.raises(StopIteration):
        two_processes.get_process_queues()


# The mechanism: `_process_register_queues` of the pool.
def test_a_process_that_was_ready_and_died_before_the_pool_was_at_work_leaves_nothing_behind() -> None:
    one_process: Any = pool.Pool(1, threads=False)
    try:
        (first,) = one_process._pool
        assert _says_something(first)  # that it is ready
        first.terminate()
        first.join()
        one_process.maintain_pool()  # buries it, and with it reads what it said
        (second,) = one_process._pool
        assert second.inqW_fd == first.inqW_fd
        assert _says_something(second)

        hub: Any = Hub()
        one_process.register_with_event_loop(hub)
        loop = hub.create_loop()
        deadline = time.monotonic() + 20
        while second.inqW_fd not in one_process._fileno_to_inq and time.monotonic() < deadline:
            next(loop)  # an AssertionError would be the worker's end
        assert one_process._fileno_to_inq == {second.inqW_fd: second}
        assert one_process._fileno_to_outq == {second.outqR_fd: second}
        hub.close()
    finally:
        one_process.terminate()
        one_process.join()


# The mechanism: `_track_child_process` of the pool.
def test_a_process_whose_end_was_told_is_watched_anew_and_ends_no_worker() -> None:
    one_process: Any = pool.Pool(1, threads=False)
    hub: Any = Hub()
    try:
        (first,) = one_process._pool
        assert _says_something(first)  # that it is ready
        one_process.register_with_event_loop(hub)
        one_process._untrack_child_process(first, hub)  # its end was told
        one_process.register_with_event_loop(hub)  # a new connection
        assert first._sentinel_poll in hub.readers
        os.kill(first.pid, signal.SIGKILL)
        first.join()
        one_process.maintain_pool()  # as a timer has it done
        (second,) = one_process._pool
        assert second is not first
        assert _says_something(second)
    finally:
        hub.close()
        one_process.terminate()
        one_process.join()


def _says_something(process: Any) -> bool:
    return bool(select.select([process.outq._reader], [], [], 20)[0])


# The mechanism: `did_start_ok` of the pool.
@pytest.mark.parametrize(("ended", "fine"), [([], True), ([-9], True), ([1], False), ([-9, 0], False)])
def test_a_process_that_is_killed_while_it_starts_ends_no_worker(
    monkeypatch: pytest.MonkeyPatch, ended: list[int], fine: bool
) -> None:
    starting: Any = pool.Pool.__new__(pool.Pool)
    monkeypatch.setattr(starting, "_join_exited_workers", lambda: ended)
    assert starting.did_start_ok() is fine


def test_a_worker_that_names_no_pool_has_this_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    app = Celery("test", set_as_current=False)
    app.conf.update(celery.options(load()))
    assert get_implementation(app.conf.worker_pool) is pool.TaskPool
