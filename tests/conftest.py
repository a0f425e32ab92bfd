"""Fixtures that every test may use: a clean environment and real servers, one of each per test process."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.counting import pytest_sessionfinish, pytest_terminal_summary, pytest_testnodedown
from tests.servers import PostgresServer, RedisServer, ServerMissing

#: Hooks of this file as well as of that module: pytest finds them by name.
__all__ = ["pytest_sessionfinish", "pytest_terminal_summary", "pytest_testnodedown"]

#: What a developer may have exported; no test may depend on it, let alone reach a real account.
OURS = ("HUMANAPI_", "HUMANSYNC_", "DATABASE_URL", "REDIS_URL", "CELERY_", "FLOWER_")

for _name in [name for name in os.environ if name.startswith(OURS)]:
    del os.environ[_name]


def _missing(error: ServerMissing) -> None:
    """Skip where a server has no wheel; fail in CI, where it must not go unnoticed."""
    if os.environ.get("CI"):
        pytest.fail(str(error))
    pytest.skip(str(error))


@pytest.fixture(scope="session", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Work in an empty folder: no test reads a developer's `.env`, or writes into the repository."""
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        yield


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Give the session's Redis; a test that kills or freezes one takes `own_redis`."""
    try:
        server = RedisServer().start()
    except ServerMissing as error:
        _missing(error)
        return
    yield server
    server.close()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """Give the address of an empty Redis."""
    redis_server.flush()
    return redis_server.url


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """Give a Redis with an append-only file that belongs to this test: kill it, freeze it, start it again."""
    try:
        server = RedisServer(append_only=True).start()
    except ServerMissing as error:
        _missing(error)
        return
    yield server
    server.close()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Give the session's PostgreSQL."""
    try:
        server = PostgresServer().start()
    except ServerMissing as error:
        _missing(error)
        return
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Give the address of a fresh, empty PostgreSQL database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Give the address of a SQLite file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'humansync.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Give the address of a fresh, empty database: the test runs once on each kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url
