"""What humansync mends in Kombu's Redis transport, on a real Redis that is killed."""

from collections.abc import Iterator
from typing import Any

import kombu
import pytest
from celery import Celery

from config import celery, transport
from config.settings import load
from tests.servers import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """Give a Redis that may be killed."""
    server = RedisServer().start()
    yield server
    server.close()


@pytest.fixture
def app(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Celery]:
    """Give an app with our options and transport."""
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    monkeypatch.setenv("REDIS_URL", server.url)
    transport.install()
    app = Celery("test", set_as_current=False)
    app.conf.update(celery.options(load()))
    yield app
    app.close()


def listening(connection: kombu.Connection) -> transport.Channel:
    """Return a channel that listens as workers do to each other: a queue that goes with its listener."""
    channel = connection.channel()
    everybody = kombu.Exchange("gossip", type="fanout")
    queue = kombu.Queue("gossip.one", everybody, auto_delete=True, durable=False)
    kombu.Consumer(channel, [queue]).consume()
    assert isinstance(channel, transport.Channel)
    return channel


# The mechanism: `_delete` of the channel.
def test_a_channel_can_be_closed_when_redis_has_gone(app: Celery, server: RedisServer) -> None:
    with app.connection_for_read() as connection:
        channel = listening(connection)
        assert channel.client.ping()
        server.kill()
        channel.close()
        assert channel.closed


# The mechanism: `_get_pool` of the channel.
def test_what_is_left_to_ask_a_closed_connection_raises_what_is_expected_of_lost_ones(app: Celery) -> None:
    connection = app.connection_for_read()
    channel: Any = connection.channel()
    channel.queue_declare("work")
    kombu.Producer(channel).publish({}, routing_key="work")
    taken = channel.basic_get("work")
    connection.release()
    channel._disconnect_pools()
    with pytest.raises(ConnectionError):
        taken.ack()


def test_one_client_serves_a_channel_until_its_pool_is_another(app: Celery) -> None:
    with app.connection_for_read() as connection:
        channel: Any = connection.channel()
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
        channel._disconnect_pools()
        with channel.conn_or_acquire() as third:
            assert third is not first
            assert third.ping()


# The mechanism: `supports_batch_publish` of the channel.
def test_a_batch_is_sent_at_its_end_in_the_order_given(app: Celery) -> None:
    with app.connection_for_write() as connection:
        channel: Any = connection.channel()
        channel.queue_declare("work")
        producer: Any = kombu.Producer(channel)
        with producer.batch():
            for number in range(3):
                producer.publish({"number": number}, routing_key="work")
            assert channel.basic_get("work") is None
        taken = [channel.basic_get("work").payload["number"] for _ in range(3)]
        assert taken == [0, 1, 2]
