"""Cursors in Redis follow the ledger, whatever has become of either."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

from config.settings import load
from humansync import sync
from humansync.kinds import KINDS
from humansync.ledger import Purpose, State, Walk
from humansync.pages import Step
from humansync.plan import Planned
from humansync.records import NOTHING
from humansync.store import make_engine, migrate
from humansync.windows import Window
from tasks.runtime import Runtime, open_runtime

NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)


@pytest.fixture
def runtime(redis_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """Give what a worker holds open; nobody listens where its API should be."""
    for name, value in {
        "REDIS_URL": redis_url,
        "DATABASE_URL": database_url,
        "HUMANAPI_BASE_URL": "http://127.0.0.1:9/v1",
        "HUMANAPI_CLIENT_ID": "client",
        "HUMANAPI_APP_KEY": "key",
    }.items():
        monkeypatch.setenv(name, value)
    engine = make_engine(database_url)
    migrate(engine)
    engine.dispose()
    with closing(open_runtime(load())) as opened:
        yield opened


def complete(runtime: Runtime, kind: str, window: Window) -> None:
    """Have the ledger say that a window is done."""
    store = runtime.parts.store
    start = store.kind(kind).start or window.since
    row = store.plan(kind, lambda *_: Planned([(window, Purpose.LIVE)], {"start": start}), NOW)[0]
    store.commit(row, KINDS[kind], NOTHING, lambda _: Step(State.DONE, Walk(), "all read", read_at=NOW), NOW)


def test_cursors_that_redis_lacks_are_written(runtime: Runtime) -> None:
    complete(runtime, "sleeps", Window(NOW - 3 * HOUR, NOW - HOUR))
    sync.rebuild_cursors(runtime.parts)
    assert runtime.shared.cursors() == {"sleeps": NOW - HOUR}


def test_cursors_ahead_of_a_ledger_from_a_backup_are_set_back(runtime: Runtime) -> None:
    complete(runtime, "sleeps", Window(NOW - 3 * HOUR, NOW - 2 * HOUR))
    complete(runtime, "meals", Window(NOW - 3 * HOUR, NOW - HOUR))
    runtime.shared.move_cursor("sleeps", NOW - HOUR)  # the backup does not know of that hour
    sync.rebuild_cursors(runtime.parts)
    assert runtime.shared.cursors() == {"sleeps": NOW - 2 * HOUR, "meals": NOW - HOUR}
    complete(runtime, "sleeps", Window(NOW - 2 * HOUR, NOW - HOUR))
    runtime.shared.move_cursor("sleeps", NOW - HOUR)
    sync.rebuild_cursors(runtime.parts)
    assert runtime.shared.cursor("sleeps") == NOW - HOUR


def test_a_cursor_of_a_kind_that_is_all_owed_again_is_set_back(runtime: Runtime) -> None:
    complete(runtime, "sleeps", Window(NOW - 3 * HOUR, NOW - HOUR))
    sync.reset(runtime.parts.store, runtime.shared, "sleeps", NOW - 4 * HOUR)
    runtime.shared.move_cursor("sleeps", NOW - HOUR)  # by a step that had begun before
    sync.rebuild_cursors(runtime.parts)
    assert runtime.shared.cursors() == {"sleeps": NOW - 4 * HOUR}


def test_a_cursor_that_a_commit_has_just_moved_is_left_alone(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    complete(runtime, "sleeps", Window(NOW - 3 * HOUR, NOW - 2 * HOUR))
    sync.rebuild_cursors(runtime.parts)
    kinds = runtime.parts.store.kinds

    def kinds_while_a_worker_commits() -> object:
        complete(runtime, "sleeps", Window(NOW - 2 * HOUR, NOW - HOUR))
        runtime.shared.move_cursor("sleeps", NOW - HOUR)
        return kinds()

    monkeypatch.setattr(runtime.parts.store, "kinds", kinds_while_a_worker_commits)
    sync.rebuild_cursors(runtime.parts)
    assert runtime.shared.cursor("sleeps") == NOW - HOUR


def test_a_backfill_up_to_the_end_of_the_calendar_ends_at_the_present(runtime: Runtime) -> None:
    end = datetime.max.replace(tzinfo=UTC)
    planned = sync.plan_kind(runtime.parts, "sleeps", (NOW - HOUR, end))
    assert [step.window.since for step in planned.follow_ups] == [NOW - HOUR]
    assert planned.follow_ups[0].window.before <= datetime.now(UTC)
