"""A TCP proxy that misbehaves on demand: latency, stall, reset, cut, refusal. Needs no privileges."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

#: SO_LINGER on, zero seconds: closing sends RST instead of FIN.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)

_CHUNK_BYTES = 65536


class _CutError(Exception):
    """A connection has carried what it may carry."""


class FaultProxy:
    """Forwards a loopback port to `host:port`; its attributes may change at any time, also while connections are open."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self._target = (host, port)
        #: seconds that each chunk waits, each way
        self.latency_s = 0.0
        #: bytes that a connection may carry back to its client before it is closed; None: all
        self.cut_after_bytes: int | None = None
        #: new connections are closed at once
        self.refusing = False
        #: connections accepted so far
        self.connections = 0
        #: where clients connect to
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._started = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._ended.set)
        self._thread.join()
        self._loop.close()

    def stall(self) -> None:
        """Hold every byte back; connections stay open and can still be made."""
        self._do(self._flowing.clear)

    def resume(self) -> None:
        """Let the bytes go that were held back, and those that follow."""
        self._do(self._flowing.set)

    def reset(self) -> None:
        """End every open connection with a reset."""
        self._do(self._reset)

    def _do(self, act: Callable[[], None]) -> None:
        """Act inside the proxy's loop and wait until it is done."""

        async def inside() -> None:
            act()

        asyncio.run_coroutine_threadsafe(inside(), self._loop).result()

    def _reset(self) -> None:
        for writer in self._open:
            _reset_on_close(writer)
            writer.transport.abort()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._ended.wait()
        server.close()
        ours = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not ours]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.connections += 1
        writers = [to_client]
        self._open.add(to_client)
        try:
            if self.refusing:
                return
            from_server, to_server = await asyncio.open_connection(*self._target)
            writers.append(to_server)
            self._open.add(to_server)
            await asyncio.gather(
                self._pump(from_client, to_server, None),
                self._pump(from_server, to_client, self.cut_after_bytes),
            )
        except _CutError:
            to_client.close()
            await to_client.wait_closed()
        except OSError:
            _reset_on_close(to_client)  # the other side is gone: what its peer would see without a proxy
        except asyncio.CancelledError:
            pass  # the proxy ends; asyncio would report it as a fault of ours
        finally:
            for writer in writers:
                self._open.discard(writer)
                writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
        """Carry bytes one way until the end of the stream, or of the limit (then the whole connection ends)."""
        carried = 0
        while chunk := await reader.read(_CHUNK_BYTES):
            await asyncio.sleep(self.latency_s)
            await self._flowing.wait()
            if limit is not None and carried + len(chunk) > limit:
                writer.write(chunk[: limit - carried])
                await writer.drain()
                raise _CutError
            carried += len(chunk)
            writer.write(chunk)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()


def _reset_on_close(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
