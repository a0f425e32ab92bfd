"""The servers that other tests stand on."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
import sqlalchemy

from tests.servers import PostgresServer, RedisServer


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder that every user may enter, unlike `tmp_path`: a PostgreSQL started by root runs as another one."""
    with tempfile.TemporaryDirectory(prefix="humansync-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def test_redis_is_empty_and_understands_what_kombu_asks_of_it(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.zadd("numbers", {"one": 1, "two": 2})
        assert client.zrange("numbers", 2, 0, byscore=True, desc=True) == [b"two", b"one"]


def test_redis_forgets_between_tests(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0


def test_a_killed_redis_comes_back_with_its_data_on_the_same_port(own_redis: RedisServer) -> None:
    with redis.Redis.from_url(own_redis.url) as client:
        client.set("kept", "yes")
        client.waitaof(1, 0, 2000)
    own_redis.kill()
    own_redis.start()
    with redis.Redis.from_url(own_redis.url) as client:
        assert client.get("kept") == b"yes"


def test_each_test_has_a_database_of_its_own(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as first, postgres_server.database() as second:
        with psycopg.connect(first) as connection:
            connection.execute("CREATE TABLE only_here (id int)")
        with psycopg.connect(second) as connection:
            assert connection.execute("SELECT to_regclass('only_here')").fetchone() == (None,)


def test_a_database_goes_although_someone_is_still_connected(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as url:
        left_open = psycopg.connect(url)
    left_open.close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(url)


def test_the_database_fixture_serves_both_kinds(database_url: str) -> None:
    engine = sqlalchemy.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT 1")).scalar_one() == 1
    engine.dispose()


def test_servers_die_with_a_session_that_is_killed(open_folder: Path) -> None:
    body = """if True:
        import time
        from tests.servers import PostgresServer, RedisServer
        print(RedisServer().start().port, PostgresServer().start().port, flush=True)
        time.sleep(60)
    """
    environment = os.environ | {"TMPDIR": str(open_folder)}
    session = subprocess.Popen([sys.executable, "-c", body], stdout=subprocess.PIPE, text=True, env=environment)
    assert session.stdout is not None
    ports = [int(port) for port in session.stdout.readline().split()]
    assert len(ports) == 2
    session.kill()
    session.communicate()
    deadline = time.monotonic() + 10
    while any(map(_listening, ports)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_listening, ports))


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
