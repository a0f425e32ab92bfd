"""What humansync mends in Celery's pool of processes."""

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency import get_implementation

from config import celery
from config.settings import load
from workers import pool


# The mechanism: `get_process_queues` of the pool.
def test_a_process_has_a_successor_before_its_end_is_taken_note_of(monkeypatch: pytest.MonkeyPatch) -> None:
    one_process: Any = pool.Pool.__new__(pool.Pool)
    dead, alive = SimpleNamespace(_is_alive=lambda: False), SimpleNamespace(_is_alive=lambda: True)
    one_process._queues = {("of the dead",): dead, ("of another",): alive}
    monkeypatch.setattr(one_process, "create_process_queues", lambda: ("new",))
    monkeypatch.setattr(one_process, "destroy_queues", lambda queues, _: one_process._queues.pop(queues))
    assert one_process.get_process_queues() == ("new",)
    assert one_process._queues == {("of another",): alive, ("new",): None}


def test_free_queues_are_used_first() -> None:
    one_process: Any = pool.Pool.__new__(pool.Pool)
    one_process._queues = {("of another",): object(), ("free",): None}
    assert one_process.get_process_queues() == ("free",)


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
