"""Engines: which URLs are taken, and whose fault an error is; no message carries anybody's data."""

import sqlite3
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa

from humansync.errors import ConfigError, StoreRefused, StoreUnavailable
from humansync.kinds import KINDS
from humansync.records import parse
from humansync.store import Store, make_engine, migrate
from humansync.store import engine as engine_module
from humansync.store.engine import WRITES, translated
from tests.factories import START, record, window
from tests.integration.store.ledgers import KIND, commit, done, owe, put, rows
from tests.servers import PostgresServer, free_port


@pytest.mark.parametrize(
    "url", ["postgresql://u@h/d", "postgres://u@h/d", "postgresql+psycopg://u:p@h:5433/d", "sqlite://"]
)
def test_urls_that_are_taken(url: str) -> None:
    engine = make_engine(url)
    assert engine.dialect.driver in ("psycopg", "pysqlite")
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:secret@h/d",
        "postgresql+asyncpg://u:secret@h/d",
        "secret",
        "",
        "sqlite://secret/x",
        "sqlite:///x?timeout=secret",
        "postgresql://ann:secret@h:/d",
    ],
)
def test_any_other_url_is_a_configuration_error_that_names_no_secret(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL") as caught:
        make_engine(url)
    assert "secret" not in str(caught.value)


def test_the_folder_of_a_sqlite_file_is_made(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/a/b/humansync.db")
    migrate(engine)
    engine.dispose()
    assert (tmp_path / "a" / "b" / "humansync.db").exists()


def test_a_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="folder"):
        make_engine(f"sqlite:///{tmp_path}/file/humansync.db")


def test_sqlite_lets_readers_read_while_a_writer_writes(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/humansync.db")
    migrate(engine)
    store = Store(engine)
    with engine.execution_options(**{WRITES: True}).begin():
        assert store.meta("a") is None
    with engine.connect() as connection:
        pragmas = ("journal_mode", "busy_timeout", "synchronous")
        assert [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas] == ["wal", 30_000, 1]
    store.close()


def test_a_database_in_memory_works_across_threads() -> None:
    engine = make_engine("sqlite://")
    migrate(engine)
    store = Store(engine)
    thread = threading.Thread(target=store.set_meta, args=("a", "1"))
    thread.start()
    thread.join()
    assert store.meta("a") == "1"
    store.close()


# --- whose fault ----------------------------------------------------------------------------------


def test_nobody_there_is_unavailable() -> None:
    store = Store(make_engine(f"postgresql://u:secret@127.0.0.1:{free_port()}/d"))
    with pytest.raises(StoreUnavailable, match="refused") as caught:
        store.kinds()
    assert "secret" not in "".join(traceback.format_exception(caught.value))
    store.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "humansync.db").write_bytes(b"x" * 5000)
    store = Store(make_engine(f"sqlite:///{tmp_path}/humansync.db"))
    with pytest.raises((StoreRefused, StoreUnavailable)):
        store.kinds()
    store.close()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[tuple[Store, sqlite3.Connection]]:
    """Give a store in SQLite, and who writes to its file: another process, as it were."""
    path = tmp_path / "humansync.db"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    with closing(Store(engine)) as store, closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield store, holder


def test_a_locked_sqlite_is_unavailable(
    locked: tuple[Store, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, holder = locked
    tries = iter(range(1000))
    monkeypatch.setattr(engine_module, "LOCK_WAIT_S", 0.05)
    monkeypatch.setattr("humansync.store.engine.time.sleep", lambda seconds: Event().wait(seconds) or next(tries))
    with pytest.raises(StoreUnavailable, match="locked"):
        store.set_meta("a", "b")
    holder.execute("ROLLBACK")
    store.set_meta("a", "b")


def test_who_waits_for_sqlite_tries_again_at_short_intervals(
    locked: tuple[Store, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, holder = locked
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 100:
            holder.execute("ROLLBACK")

    monkeypatch.setattr("humansync.store.engine.time.sleep", sleep)
    store.set_meta("a", "b")
    assert slept == [engine_module.TRY_AGAIN_S] * 100
    with store.engine.connect() as connection:  # what else is locked, for a moment, is waited for by SQLite
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 1000 * engine_module.LOCK_WAIT_S


@pytest.mark.parametrize("begin", ["BEGIN", "BEGIN IMMEDIATE"])
def test_a_new_sqlite_file_that_another_process_is_making_is_waited_for(
    begin: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the other one is about to write, SQLite itself refuses at once; where it reads, the wait is ours all the same."""
    path = tmp_path / "humansync.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (id)")
        other.execute(begin)
        other.execute("SELECT * FROM theirs").fetchall()
        monkeypatch.setattr("humansync.store.engine.time.sleep", lambda _: other.execute("ROLLBACK"))
        engine = make_engine(f"sqlite:///{path}")
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        engine.dispose()


def test_a_damaged_sqlite_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "humansync.db"
    engine = make_engine(f"sqlite:///{path}")
    with closing(Store(engine)) as store:
        engine.connect().close()
        path.write_bytes(b"not a database" * 1000)
        monkeypatch.setattr("humansync.store.engine.time.sleep", pytest.fail)
        with pytest.raises(StoreRefused, match="DatabaseError"):
            store.set_meta("a", "b")


@pytest.mark.parametrize(("code", "primary"), [(5, 5), (261, 5), (517, 5), (8, 8), (1, 1)])
def test_what_keeps_a_writer_waiting_is_told_by_the_primary_code(code: int, primary: int) -> None:
    class Driver:
        def execute(self, _: str) -> None:
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = code
            raise error

    driver: Any = Driver()
    assert engine_module._attempt(driver, "BEGIN IMMEDIATE") == primary


# The mechanism: `hide_parameters` in store/engine.py.
def test_a_full_sqlite_is_unavailable_and_keeps_what_it_had(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/humansync.db")
    migrate(engine)
    engine.dispose()
    sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 200"))
    store = Store(engine)
    (row,) = owe(store, window())
    too_much = [record(number=i, source="canary", extra="x" * 4000) for i in range(500)]
    with pytest.raises(StoreUnavailable, match="full") as caught:
        commit(store, row, too_much)
    # Here the cause is kept: `hide_parameters` alone keeps the records out of it.
    assert "canary" not in "".join(traceback.format_exception(caught.value))
    assert rows(store) == []
    commit(store, row, [record()])
    store.close()


# The mechanism: `raise ... from None` in store/engine.py.
def test_a_refused_statement_tells_nothing_of_anybody(store: Store) -> None:
    batch = parse(KINDS[KIND], [record(number=1, source="canary")])
    batch.rows[0] = (*batch.rows[0][:5], None, *batch.rows[0][6:])  # updated_at must not be null
    (row,) = owe(store, window())
    with pytest.raises(StoreRefused) as caught:
        store.commit(row, KINDS[KIND], batch, done(), START)
    text = "".join(traceback.format_exception(caught.value))
    assert "canary" not in text
    assert record(number=1)["id"] not in text
    assert rows(store) == []


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer().start()
    yield server
    server.close()


def test_a_database_that_restarts_costs_an_error_and_no_data(own_postgres: PostgresServer) -> None:
    with own_postgres.database() as url:
        store = Store(make_engine(url))
        migrate(store.engine)
        put(store, [record(number=1)])
        (row,) = owe(store, window())
        own_postgres.stop()
        with pytest.raises(StoreUnavailable):
            commit(store, row, [record(number=2)])
        own_postgres.start()
        commit(store, row, [record(number=2)])
        assert len(rows(store)) == 2
        store.close()


def test_a_connection_cut_within_a_page_leaves_nothing_behind(own_postgres: PostgresServer) -> None:
    with own_postgres.database() as url:
        store = Store(make_engine(url))
        migrate(store.engine)
        (row,) = owe(store, window())

        def cut(changed: int) -> object:
            with store.engine.connect() as other:
                others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                other.exec_driver_sql(f"{others} AND datname = current_database()")
            return done()(changed)

        with pytest.raises(StoreUnavailable):
            commit(store, row, [record()], cut)  # type: ignore[arg-type]  # returns a Step in the end
        assert rows(store) == []
        commit(store, row, [record()])
        assert len(rows(store)) == 1
        store.close()


def test_connections_that_died_while_idle_are_replaced_unnoticed(
    own_postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_postgres.database() as url:
        store = Store(make_engine(url))
        migrate(store.engine)
        with store.engine.connect(), store.engine.connect(), store.engine.connect():
            pass  # three idle connections
        own_postgres.stop()
        own_postgres.start()
        monkeypatch.setattr("humansync.store.engine.IDLE_S", 0.0)
        put(store, [record()])
        store.close()


def test_deadlocks_and_read_only_servers_are_worth_another_try(own_postgres: PostgresServer) -> None:
    with own_postgres.database() as url:
        engine = make_engine(url)
        for code, error in [
            ("40P01", StoreUnavailable),
            ("40001", StoreUnavailable),
            ("53100", StoreUnavailable),
            ("57014", StoreUnavailable),
            ("57P01", StoreUnavailable),
            ("25006", StoreUnavailable),
            ("22003", StoreRefused),
            ("23505", StoreRefused),
            ("54000", StoreRefused),
            ("54001", StoreRefused),
        ]:
            raising = f"DO $$ BEGIN RAISE EXCEPTION 'canary' USING ERRCODE = '{code}'; END $$"
            with pytest.raises(error) as caught, translated(), engine.begin() as connection:
                connection.exec_driver_sql(raising)
            assert "canary" not in str(caught.value)
        engine.dispose()
