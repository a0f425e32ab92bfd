"""A migrated, empty database of each kind per test, and the installation on it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from humansync import plan
from humansync.parts import Parts
from humansync.simulator.world import World
from humansync.store import Store, make_engine, migrate
from humansync.store.tables import metadata
from tests.integration.verify.places import NoRedis, Place, WaitingClock, WorldApi
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


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give the address of a migrated, empty database of each kind."""
    if request.param == "sqlite":
        path = tmp_path / "humansync.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite:///{path}"
        return
    url: str = request.getfixturevalue("migrated_database")
    yield url
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY")
    engine.dispose()


@pytest.fixture
def place(database: str) -> Iterator[Place]:
    """Give an installation with an empty database and an empty API."""
    clock = WaitingClock()
    world = World(clock.now)
    api = WorldApi(world, clock)
    store = Store(make_engine(database))
    policy = plan.Policy(settle_s=120, overlap_s=900, since="30d")
    parts = Parts(api, store, NoRedis(), clock, policy, "test")
    yield Place(world, clock, api, parts)
    store.close()
