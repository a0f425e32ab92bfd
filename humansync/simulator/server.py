"""The simulator on a socket: HTTP/1.1 with keep-alive, by hand, because a benchmark must not wait for it.

One process, one thread: answers are made one after the other, so that each is a snapshot; waits overlap.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from http import HTTPStatus

from humansync.simulator.app import App, Request
from humansync.simulator.faults import Answer

#: Longest request taken, head and body: control documents are small.
_MAX_REQUEST_BYTES = 1_000_000
#: Pieces in which a slow body is sent.
_DRIPS = 60

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class _Connection(asyncio.Protocol):
    """One client's connection; requests on it are answered in turn."""

    def __init__(self, app: App, open_connections: set["_Connection"]) -> None:
        self._app = app
        self._open = open_connections
        self._received = b""
        self._sending: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a TCP server hands out
        self._transport = transport
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._open.discard(self)
        if self._sending is not None:
            self._sending.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        self._serve()

    def close(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def _serve(self) -> None:
        """Answer the requests that are here whole."""
        while self._sending is None and not self._transport.is_closing():
            request = self._next_request()
            if request is None:
                return
            answer = self._app.answer(request)
            head = _head(answer, closing=request.headers.get("connection", "").lower() == "close")
            travels = answer.delay_s or answer.spread_s or answer.stall_s or answer.cut_at is not None
            if travels:
                self._sending = asyncio.get_running_loop().create_task(self._send(head, answer))
                self._sending.add_done_callback(self._sent)
            else:
                self._transport.writelines((head, answer.body))
            if request.headers.get("connection", "").lower() == "close" and not travels:
                self._transport.close()

    def _next_request(self) -> Request | None:
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            if len(self._received) > _MAX_REQUEST_BYTES:
                self._transport.abort()
            return None
        lines = head.decode("latin-1").split("\r\n")
        method, _, target = lines[0].partition(" ")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = headers.get("content-length", "0")
        length = int(size) if size.isascii() and size.isdigit() else 0
        if length > _MAX_REQUEST_BYTES:
            self._transport.abort()
            return None
        if len(rest) < length:
            return None
        self._received = rest[length:]
        return Request(method, target.rpartition(" ")[0], headers, rest[:length])

    async def _send(self, head: bytes, answer: Answer) -> None:
        """Send an answer that takes its time, or breaks off."""
        if answer.delay_s:
            await asyncio.sleep(answer.delay_s)
        if answer.cut_at is not None:
            if answer.cut_at >= 0:
                self._transport.writelines((head, answer.body[: answer.cut_at]))
            self._transport.close()
            return
        self._transport.write(head)
        if answer.stall_s:
            await asyncio.sleep(answer.stall_s)
        if answer.spread_s:
            await self._drip(answer)
        else:
            self._transport.write(answer.body)

    async def _drip(self, answer: Answer) -> None:
        piece = max(1, -(-len(answer.body) // _DRIPS))
        pieces = range(0, len(answer.body), piece)
        for start in pieces:
            await self._writable.wait()
            self._transport.write(answer.body[start : start + piece])
            await asyncio.sleep(answer.spread_s / len(pieces))

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending = None
        if not task.cancelled():
            task.result()
            self._serve()


def _head(answer: Answer, *, closing: bool) -> bytes:
    """Return status line and headers."""
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, '')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines += [f"Content-Length: {len(answer.body)}", f"Connection: {'close' if closing else 'keep-alive'}", "", ""]
    return "\r\n".join(lines).encode("latin-1")


class Server:
    """A listening simulator, for a running event loop."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port; OSError where that cannot be had."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self._app, self._connections), host, port)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening and drop what is open."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.close()
        with contextlib.suppress(asyncio.CancelledError):
            await self._server.wait_closed()


@contextlib.contextmanager
def running(app: App, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Serve from a thread of this process for the length of a `with` block, which is given the base URL.

    The world may be changed from outside between requests.
    """
    loop, server = asyncio.new_event_loop(), Server(app)
    thread = threading.Thread(target=loop.run_forever, name="simulator", daemon=True)
    thread.start()
    try:
        bound = asyncio.run_coroutine_threadsafe(server.start(host, port), loop).result()
        try:
            yield f"http://{host}:{bound}/v1"
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
