"""A server that answers every request with the bytes it was given, and then hangs up."""

import contextlib
import socket
import threading
from typing import Self


class RawServer:
    """What a server may send is up to the test: not one byte is added."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.answer = b""
        #: requests as they came, without their bodies: GET has none
        self.asked: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = self._listening.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Base address, as in `HUMANAPI_BASE_URL`."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A thread that waits in `accept` does not notice that its socket was closed: it is called once more.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
        self._thread.join(timeout=10)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                request = b""
                while b"\r\n\r\n" not in request and (part := connection.recv(65536)):
                    request += part
                if not request:
                    return
                self.asked.append(request)
                connection.sendall(self.answer)


def http(body: bytes, *headers: tuple[str, str], status: str = "200 OK", length: bool = True) -> bytes:
    """Return an answer; header values are sent as they are."""
    # Said, because it hangs up: a client that kept the connection might send on it before it notices.
    lines = [f"HTTP/1.1 {status}", "Connection: close", *(f"{name}: {value}" for name, value in headers)]
    lines += [f"Content-Length: {len(body)}"] if length else []
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body
