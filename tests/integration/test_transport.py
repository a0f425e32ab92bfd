"""What humansync mends in Kombu's Redis transport, on a real Redis that is killed."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import kombu
import pytest
from celery import Celery
from kombu.asynchronous import Hub
from kombu.transport import redis
from redis import Redis

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
    message = channel.basic_get("work")
    connection.release()
    channel._disconnect_pools()
    with pytest.raises(ConnectionError):
        channel.qos.reject(message.delivery_tag)


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


def taken(channel: Any) -> Any:
    """Return a message that was taken off a queue."""
    channel.queue_declare("work")
    kombu.Producer(channel).publish({}, routing_key="work")
    return channel.basic_get("work", no_ack=False)


def noted(channel: Any) -> tuple[int, int]:
    """Return how many messages Redis holds as taken and not done: by tag, and by time."""
    with channel.conn_or_acquire() as client:
        return client.hlen(channel.unacked_key), client.zcard(channel.unacked_index_key)


def test_a_message_is_noted_when_it_is_taken_and_struck_out_with_the_next_one(app: Celery) -> None:
    with app.connection_for_read() as connection:
        channel: Any = connection.channel()
        first = taken(channel)
        assert noted(channel) == (1, 1)
        first.ack()
        taken(channel)
        assert noted(channel) == (1, 1)


def test_what_is_done_is_struck_out_after_a_moment_and_when_the_channel_closes(app: Celery) -> None:
    with app.connection_for_read() as connection, app.connection_for_read() as other:
        channel: Any = connection.channel()
        taken(channel).ack()
        channel.qos.strike_out(60)
        assert noted(channel) == (1, 1)
        channel.qos.strike_out(0)
        assert noted(channel) == (0, 0)
        taken(channel).ack()
        channel.close()
        assert noted(other.channel()) == (0, 0)


def test_a_message_that_is_not_done_goes_back_to_its_queue_when_its_channel_closes(app: Celery) -> None:
    with app.connection_for_read() as connection, app.connection_for_read() as other:
        channel: Any = connection.channel()
        taken(channel)
        channel.close()
        another: Any = other.channel()
        assert another.basic_get("work") is not None


# The mechanism: `append` of QoS. Kombu's own workers understand what ours have noted.
def test_a_message_whose_worker_died_comes_back(app: Celery) -> None:
    with app.connection_for_read() as connection, app.connection_for_read() as other:
        channel: Any = connection.channel()
        message = taken(channel)
        another: Any = other.channel()
        kombus = redis.QoS(another)
        kombus.restore_by_tag(message.delivery_tag)
        assert noted(another) == (0, 0)
        assert another.basic_get("work").payload == {}


def test_a_redis_that_goes_shows_as_a_lost_connection_and_nothing_done_is_forgotten(
    app: Celery, server: RedisServer
) -> None:
    with app.connection_for_read() as connection:
        channel: Any = connection.channel()
        message = taken(channel)
        server.kill()
        message.ack()
        with pytest.raises(transport.Transport.connection_errors):
            channel.qos.strike_out(0)
        server.start()
        assert message.delivery_tag in channel.qos._done
        channel.qos.strike_out(0)
        assert message.delivery_tag not in channel.qos._done


# The mechanism: `_DONE`.
def test_what_is_done_after_its_channel_has_closed_is_struck_out_by_the_next(
    app: Celery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.connection_for_read() as connection, app.connection_for_read() as other:
        channel: Any = connection.channel()
        message = taken(channel)
        # As where Redis has gone: it cannot be put back.
        monkeypatch.setattr(channel.qos, "restore_unacked_once", lambda **_: None)
        channel.close()
        another: Any = other.channel()
        assert noted(another) == (1, 1)
        message.ack()
        another.qos.strike_out(0)
        assert noted(another) == (0, 0)


@pytest.fixture
def replica(server: RedisServer) -> Iterator[Callable[[], None]]:
    """Give what makes a server refuse to be written to, as one does that was demoted."""
    with Redis(port=server.port) as client:
        yield lambda: client.execute_command("REPLICAOF", "127.0.0.1", "1")


# The mechanism: `_ending` of the channel.
@pytest.mark.parametrize("way", ["gone", "demoted"])
def test_a_channel_that_reads_leaves_nothing_open_when_it_is_closed(
    app: Celery, server: RedisServer, replica: Callable[[], None], way: str
) -> None:
    with app.connection_for_read() as connection:
        channel: Any = listening(connection)
        kombu.Consumer(channel, [kombu.Queue("work")]).consume()
        assert channel.client.ping()
        channel.connection.cycle._register_BRPOP(channel)
        assert channel._in_poll
        server.kill() if way == "gone" else replica()
        channel.close()
        assert channel.closed
        assert channel._pool is None


# The mechanism: `register_with_event_loop` of the transport.
def test_a_connection_that_no_loop_can_have_is_closed(app: Celery, replica: Callable[[], None]) -> None:
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        kombu.Consumer(channel, [kombu.Queue("work")])
        replica()
        with pytest.raises(transport.Transport.channel_errors):
            connection.transport.register_with_event_loop(connection.connection, Hub())
        assert channel.closed


# The mechanism: `tell` of the channel.
def test_a_message_is_noted_although_the_connection_for_notes_has_ended(app: Celery) -> None:
    with app.connection_for_read() as connection:
        channel: Any = connection.channel()
        taken(channel)
        _, notes = channel._notes
        notes._sock.shutdown(socket.SHUT_RDWR)
        taken(channel)
        assert noted(channel) == (2, 2)


# The mechanism: `_receive_one` of the channel.
def test_nobody_waits_for_what_others_may_never_say(app: Celery, server: RedisServer) -> None:
    with app.connection_for_read() as connection:
        channel: Any = listening(connection)
        channel.connection.cycle._register_LISTEN(channel)
        channel._receive()
        server.kill()
        server.start()

        def listen() -> None:
            with contextlib.suppress(*transport.Transport.connection_errors):
                channel._receive()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        listener.join(20)
        assert not listener.is_alive()
