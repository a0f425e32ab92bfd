import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu import Connection

from humansync.errors import ConfigError, StateUnavailable
from humansync.state import shared as module
from humansync.state.shared import Shared
from humansync.state.urls import for_broker
from tests.servers import RedisServer, dies_with_parent, free_port, redis_binary


@pytest.fixture(autouse=True)
def _asked_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pause after Redis did not answer."""
    monkeypatch.setattr(module, "AWAY_S", 0.05)


def test_a_dead_redis_is_one_error_and_no_secret() -> None:
    with Shared(f"redis://:s3cret-pw@127.0.0.1:{free_port()}/0", rate_per_s=10) as shared:
        for act in (lambda: shared.slot("weights", "live", 1), lambda: shared.cursor("weights"), shared.held):
            with pytest.raises(StateUnavailable) as caught:
                act()
            assert "s3cret-pw" not in str(caught.value)
            time.sleep(0.06)


def test_a_dead_redis_is_not_asked_by_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AWAY_S", 600)
    with Shared(f"redis://127.0.0.1:{free_port()}/0", rate_per_s=10) as shared:
        with pytest.raises(StateUnavailable, match="cannot be reached"):
            shared.cursor("weights")
        with pytest.raises(StateUnavailable, match="a moment ago"):
            shared.cursor("weights")


def test_a_restart_is_not_noticed_and_scripts_are_loaded_again(own_redis: RedisServer) -> None:
    with Shared(own_redis.url, rate_per_s=0) as shared:
        assert shared.slot("weights", "live", 1).granted
        own_redis.kill()
        with pytest.raises(StateUnavailable):
            shared.slot("weights", "live", 1)
        own_redis.start()
        time.sleep(0.06)
        assert shared.slot("weights", "live", 1).granted


def test_a_frozen_redis_is_given_up_on(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.1)
    with Shared(own_redis.url, rate_per_s=0) as shared:
        shared.cursor("weights")
        own_redis.pause()
        with pytest.raises(StateUnavailable):
            shared.cursor("weights")
        own_redis.resume()
        time.sleep(0.06)
        assert shared.cursor("weights") is None


def test_flushall_costs_nothing_but_what_can_be_rebuilt(own_redis: RedisServer) -> None:
    with Shared(own_redis.url, rate_per_s=10) as shared:
        shared.admit(1, "a:1", kind="weights", lane="live", lease_s=30, max_wait_s=3)
        own_redis.flush()
        assert shared.unissued([1]) == {1}
        assert shared.admit(1, "b:1", kind="weights", lane="live", lease_s=30, max_wait_s=3).granted
        shared.release(1, "a:1")
        assert shared.admit(1, "a:1", kind="weights", lane="live", lease_s=30, max_wait_s=3).busy


def test_a_server_that_refuses_is_away_too(own_redis: RedisServer) -> None:
    with Shared(own_redis.url, rate_per_s=10) as shared, redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", "1")
        with pytest.raises(StateUnavailable, match="refuses"):
            shared.slot("weights", "live", 1)
        client.config_set("maxmemory", "0")
        assert shared.slot("weights", "live", 1).granted


def test_a_wrong_option_in_the_address_is_a_fault_of_configuration() -> None:
    with pytest.raises(ConfigError, match="REDIS_URL"):
        Shared("redis://127.0.0.1:6379/0?socket_timeout=soon", rate_per_s=10)


@pytest.mark.parametrize("form", ["unix://:p%40ss-word@{path}?db=1", "unix://{path}?db=1&password=p%40ss-word"])
def test_both_libraries_come_to_a_socket_with_a_password(tmp_path: Path, form: str) -> None:
    path = tmp_path / "r.sock"
    server = subprocess.Popen(
        [redis_binary(), "--port", "0", "--unixsocket", str(path), "--requirepass", "p@ss-word", "--save", ""],
        stdout=subprocess.DEVNULL,
        cwd=tmp_path,
        preexec_fn=dies_with_parent(),
    )
    try:
        deadline = time.monotonic() + 30
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        with Shared(form.format(path=path), rate_per_s=0) as shared:
            shared.tick("a@host")
        with Connection(for_broker(form.format(path=path))) as connection:
            channel: Any = connection.default_channel  # Redis's own, which the types do not know
            assert channel.client.zcard("humansync:ticks") == 1
    finally:
        server.kill()
        server.wait()
