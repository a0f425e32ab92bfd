"""Kombu's Redis transport with less to do for each message, and with an end that comes to an end.

Half of a busy worker's time in Python went to Kombu's bookkeeping: for each message taken or acknowledged it makes a
client of redis-py, takes a connection from the pool and wraps two commands in a transaction. Here clients are kept, and
what is to be noted goes out in one round trip on a connection of its own: a message that was taken, and those that were
done with since the last one. Keys, values and their meaning are Kombu's, so that its workers and ours can share a Redis.

When Redis goes, or refuses writes as a replica and a full server do, what listens to other workers must not wait for
them for ever, and what is closed must be closed: a channel asks Redis to delete bindings and to take messages back, and
what that raises is not always what those who close it expect (kombu #582). A worker that lost Redis in the wrong moment
came to its end, or kept the connections of each attempt until it had no more to open.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from functools import partial
from time import monotonic, time
from typing import Any

from kombu import transport as transports
from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from kombu.utils.json import dumps

#: An acknowledgement waits so long for a message to be noted together with. One that is lost brings its message back,
#: which finds its work done.
ACK_WAITS_S = 0.05
#: What other workers say to all is waited for so long at most.
LISTENS_S = 0.5

#: Tags of messages that are done and still noted, of this process: a task may outlive the channel that its message came on.
_DONE: deque[str] = deque()


class QoS(redis.QoS):
    """Notes in Redis what was taken and is not done."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._done = _DONE
        self._done_since = 0.0

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that was taken."""
        where = message.delivery_info
        taken = dumps([message._raw, where["exchange"], where["routing_key"]])  # noqa: SLF001 - as Kombu does
        self._note(
            ("ZADD", self.unacked_index_key, time(), delivery_tag), ("HSET", self.unacked_key, delivery_tag, taken)
        )
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Take a message for done; it is struck out soon. From any thread."""
        if not self._done:
            self._done_since = monotonic()
        self._done.append(delivery_tag)
        virtual.QoS.ack(self, delivery_tag)

    def strike_out(self, waiting_s: float) -> None:
        """Strike out what is done, if the first of it has waited for so long."""
        if self._done and monotonic() - self._done_since >= waiting_s:
            self._note()

    def _note(self, *commands: tuple[object, ...]) -> None:
        done = list(self._popped())
        # Without its message an entry of the index strikes itself out; a message without its entry would stay for ever.
        struck = (("HDEL", self.unacked_key, *done), ("ZREM", self.unacked_index_key, *done)) if done else ()
        if not commands and not struck:
            return
        try:
            # A message that comes back on this channel is noted after the note of its first coming is gone.
            self.channel.tell(*struck, *commands)  # type: ignore[attr-defined]  # it is one of ours
        except BaseException:
            self._done.extendleft(done)
            raise

    def _popped(self) -> Iterator[str]:
        with contextlib.suppress(IndexError):
            while True:
                yield self._done.popleft()


class Channel(redis.Channel):
    """A channel that keeps its connections, and can be closed when they are lost."""

    QoS = QoS
    #: Kombu sends no batch over connections that try again after a timeout, for what came through would come twice.
    #: Here a doubled message is harmless.
    supports_batch_publish = True
    #: redis-py's client for a pool, and its connection for what is noted; both are of that pool
    _kept: Any = None
    _notes: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._telling = threading.Lock()

    def tell(self, *commands: tuple[object, ...]) -> None:
        """Send commands in one round trip. Raises redis-py's errors; then none, some or all have come through."""
        with self._telling:
            kept = self._notes is not None and self._notes[0] is self.pool
            try:
                self._tell(commands)
            except self._lost:
                if not kept:
                    raise
                # A connection may have ended while nobody used it; all that is told may be told twice.
                self._tell(commands)

    def _tell(self, commands: tuple[tuple[object, ...], ...]) -> None:
        pool = self.pool
        if self._notes is None or self._notes[0] is not pool:
            self._notes = pool, pool.get_connection()
        connection = self._notes[1]
        try:
            connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                connection.read_response()
        except BaseException:
            self._notes = None
            connection.disconnect()
            pool.release(connection)
            raise

    def close(self) -> None:
        """Close the channel; what is done is struck out before."""
        if not self.closed and self._qos is not None:
            with contextlib.suppress(*self._lost, *Transport.channel_errors):
                self._qos.strike_out(0.0)  # type: ignore[attr-defined]  # as above
        super().close()

    @property
    def _lost(self) -> tuple[type[Exception], ...]:
        """What a lost connection raises."""
        errors: tuple[type[Exception], ...] = Transport.connection_errors
        return errors

    def _brpop_start(self, timeout: Any = None) -> None:
        self.qos.strike_out(ACK_WAITS_S)  # type: ignore[attr-defined]  # unknown to the stubs
        super()._brpop_start(timeout)  # type: ignore[misc]  # unknown to the stubs

    def _receive_one(self, c: Any) -> Any:
        # redis-py connects again where it hears that the connection is lost, and then waits, without an end, for what
        # nobody may ever say: a worker that lives and takes nothing.
        c.parse_response = partial(type(c).parse_response, c, block=False, timeout=LISTENS_S)
        return super()._receive_one(c)  # type: ignore[misc]  # unknown to the stubs

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # unknown to the stubs
        # After a lost connection the channel has another pool.
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[misc]  # as above
        return self._kept

    def _get_pool(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("this channel's connection is closed")
        return super()._get_pool(asynchronous=asynchronous)  # type: ignore[misc]  # unknown to the stubs

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        # A binding that is left behind names a queue that nobody reads any more.
        with self._ending():
            super()._delete(queue, *args, **kwargs)

    def _brpop_read(self, **options: Any) -> Any:
        # A channel that is closed waits for the blocking read that is under way.
        with self._ending():
            return super()._brpop_read(**options)  # type: ignore[misc]  # as above

    def _ending(self) -> contextlib.suppress:
        """Leave out, while the channel is closed, what Redis says or fails to say: the rest must be closed as well."""
        closing = self._closing  # type: ignore[attr-defined]  # as above
        return contextlib.suppress(*((*self._lost, *Transport.channel_errors) if closing else ()))


class Transport(redis.Transport):
    """The transport of such channels."""

    Channel = Channel

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Let a worker's loop read what comes; where Redis refuses that, leave nothing open."""
        try:
            super().register_with_event_loop(connection, loop)
        except BaseException:
            self.close_connection(connection)  # Celery does not know of it yet, and would not
            raise


def install() -> None:
    """Let Kombu use it for every address of Redis."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
        # what somebody has looked up before us
        transports._transport_cache.pop(scheme, None)  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
