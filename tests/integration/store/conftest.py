"""A migrated, empty database of each kind per test: SQLite by copying a file, PostgreSQL by emptying one database."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from humansync.store import Store, make_engine, migrate
from humansync.store.tables import metadata
from tests.servers import PostgresServer


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "humansync.db"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


@pytest.fixture(scope="session")
def migrated_database(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as url:
        engine = make_engine(url)
        migrate(engine)
        engine.dispose()
        yield url


@pytest.fixture
def postgresql_url(migrated_database: str) -> Iterator[str]:
    yield migrated_database
    engine = make_engine(migrated_database)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY")
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        url: str = request.getfixturevalue("postgresql_url")
        return url
    path = tmp_path / "humansync.db"
    shutil.copy(request.getfixturevalue("migrated_file"), path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql(postgresql_url: str) -> Iterator[Store]:
    opened = Store(make_engine(postgresql_url))
    yield opened
    opened.close()


@pytest.fixture
def store(migrated_url: str) -> Iterator[Store]:
    opened = Store(make_engine(migrated_url))
    yield opened
    opened.close()
