"""Kombu's Redis transport, less what it does anew for each message, and with an end that comes to an end.

Kombu makes a client of redis-py whenever it sends, takes or acknowledges a message: a tenth of a worker's CPU time.
A client is a thin cover over its pool and safe to share, so that one for each pool will do.

When Redis goes, a channel that is closed asks it to delete bindings and to take messages back. What that raises is
not always what those who close it expect (kombu #582): a worker that lost Redis in the wrong moment came to its end.
"""

import contextlib
from typing import Any

from kombu import transport as transports
from kombu.transport import TRANSPORT_ALIASES, redis


class Channel(redis.Channel):
    """A channel that keeps its client, and can be closed when its connection is lost."""

    #: Kombu sends no batch over connections that try again after a timeout, for what came through would come twice.
    #: Here a doubled message is harmless.
    supports_batch_publish = True
    #: redis-py's, for the pool it was made with
    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        if asynchronous:
            return super()._create_client(asynchronous=True)  # type: ignore[misc]  # unknown to the stubs
        # After a lost connection the channel has another pool.
        if self._kept is None or self._kept.connection_pool is not self.pool:
            self._kept = super()._create_client()  # type: ignore[misc]  # unknown to the stubs
        return self._kept

    def _get_pool(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("this channel's connection is closed")
        return super()._get_pool(asynchronous=asynchronous)  # type: ignore[misc]  # unknown to the stubs

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        # A binding that is left behind names a queue that nobody reads any more.
        lost = self.connection.connection_errors if self._closing else ()  # type: ignore[attr-defined]  # as above
        with contextlib.suppress(*lost):
            super()._delete(queue, *args, **kwargs)


class Transport(redis.Transport):
    """The transport of such channels."""

    Channel = Channel


def install() -> None:
    """Let Kombu use it for every address of Redis."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
        # what somebody has looked up before us
        transports._transport_cache.pop(scheme, None)  # type: ignore[attr-defined]  # noqa: SLF001 - no other way
