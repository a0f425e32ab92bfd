"""The schema: a migrated one equals today's tables, and many may migrate at once."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from humansync.errors import StoreUnavailable
from humansync.store import Store, make_engine, migrate, schema_version
from humansync.store.engine import WRITES
from humansync.store.schema import _LOCK, HEAD, VERSION_TABLE, upgrade
from humansync.store.tables import metadata
from tests.servers import PostgresServer


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    made = make_engine(database_url)
    yield made
    made.dispose()


def described(engine: sa.Engine, table: str | None = None) -> dict[str, list[Any]]:
    """Return what the database itself says of its tables and indexes, partial ones' conditions included.

    table: that one alone; without it all but Alembic's.
    """
    if engine.dialect.name == "sqlite":
        tables = 'SELECT m.name, c.name, upper(c.type), c."notnull", c.dflt_value, c.pk FROM sqlite_master m, '
        tables += "pragma_table_info(m.name) c WHERE m.type = 'table'"
        indexes = "SELECT tbl_name, name, replace(replace(sql, char(10), ''), '  ', ' ') FROM sqlite_master "
        indexes += "WHERE type = 'index'"
    else:
        tables = "SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity "
        tables += "FROM information_schema.columns WHERE table_schema = 'public'"
        indexes = "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    with engine.connect() as connection:
        found = {
            what: sorted(map(repr, connection.exec_driver_sql(query)))
            for what, query in [("t", tables), ("i", indexes)]
        }
    return {
        what: [line for line in lines if (table in line if table else VERSION_TABLE not in line)]
        for what, lines in found.items()
    }


def test_the_revisions_make_todays_schema(engine: sa.Engine) -> None:
    """Change a table, or a revision, alone: databases of an earlier version would never become today's."""
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        upgrade(connection)
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    revised, version = described(engine), described(engine, VERSION_TABLE)
    assert len(revised["i"]) >= 20
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.exec_driver_sql(f"DROP TABLE {VERSION_TABLE}")
    migrate(engine)
    assert described(engine) == revised
    assert described(engine, VERSION_TABLE) == version
    assert schema_version(engine) == (HEAD, HEAD)


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_a_database_of_an_earlier_version_is_brought_to_todays(engine: sa.Engine, revision: str) -> None:
    with engine.execution_options(**{WRITES: True}).begin() as connection:
        upgrade(connection, revision)
    assert schema_version(engine) == (revision, HEAD)
    migrate(engine)
    assert schema_version(engine) == (HEAD, HEAD)
    Store(engine).kinds()


def test_the_version_of_a_database(engine: sa.Engine) -> None:
    assert schema_version(engine) == (None, "0003")
    migrate(engine)
    assert schema_version(engine) == ("0003", "0003")
    migrate(engine)
    assert schema_version(engine) == ("0003", "0003")


def test_a_database_without_tables_says_what_to_do(engine: sa.Engine) -> None:
    store = Store(engine)
    with pytest.raises(StoreUnavailable, match="humansync migrate"):
        store.kinds()
    with pytest.raises(StoreUnavailable, match="humansync migrate"):
        store.set_meta("a", "b")


# The mechanism: the advisory lock, or BEGIN IMMEDIATE, in store/schema.py, `migrate`.
def test_many_may_migrate_at_once(database_url: str) -> None:
    def one(_: int) -> tuple[str | None, str | None]:
        engine = make_engine(database_url)
        migrate(engine)
        version = schema_version(engine)
        engine.dispose()
        return version

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(one, range(6))) == {("0003", "0003")}


def test_a_migration_of_postgresql_waits_for_the_one_before(postgres_url: str) -> None:
    """Switch off the advisory lock in `migrate` and nobody waits here."""
    engine = make_engine(postgres_url)
    waiting = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    with ThreadPoolExecutor(1) as pool, engine.connect() as before:
        before.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        migrating = pool.submit(migrate, engine)
        while not migrating.done() and not before.execute(waiting).scalar_one():
            wait([migrating], timeout=0.01)
        assert not migrating.done()
        before.rollback()
        migrating.result()
    assert schema_version(engine) == (HEAD, HEAD)
    engine.dispose()


def test_processes_may_migrate_at_once(database_url: str) -> None:
    code = "import sys; from humansync.store import *; e = make_engine(sys.argv[1]); migrate(e); e.dispose()"
    running = [
        subprocess.Popen([sys.executable, "-W", "error", "-c", code, database_url], stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [(process.communicate(timeout=60)[1], process.returncode) for process in running] == [(b"", 0)] * 2


def test_a_migration_that_fails_leaves_nothing_behind(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE weights (id TEXT)")  # the last table of the first revision
    with pytest.raises(Exception, match=r"refused|not available"):
        migrate(engine)
    assert sa.inspect(engine).get_table_names() == ["weights"]


def test_a_shared_database_keeps_its_other_version_table(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num TEXT)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('theirs')")
    migrate(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == "theirs"


def test_ids_of_windows_are_never_used_twice(postgres_server: PostgresServer, engine: sa.Engine) -> None:
    del postgres_server
    migrate(engine)
    insert = (
        "INSERT INTO sync_windows (kind, since, before, purpose, state, epoch, walk, attempts, requests, rows, changed,"
        " rejected, folded, created_at, touched_at) VALUES ('a', '2026-01-01', '2026-01-02', 'live', 'owed', 0, '{}',"
        " 0, 0, 0, 0, 0, false, '2026-01-01', '2026-01-01') RETURNING id"
    )
    with engine.begin() as connection:
        first = connection.exec_driver_sql(insert).scalar_one()
        connection.exec_driver_sql("DELETE FROM sync_windows")
        assert connection.exec_driver_sql(insert).scalar_one() > first
