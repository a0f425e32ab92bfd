"""The fault proxy does what tests of faults rely on."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.proxy import FaultProxy


@pytest.fixture
def echo_port() -> Iterator[int]:
    """Give the port of a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_echo, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _echo(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                continue


def _connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=0.5)


def _everything(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_forwards_both_ways_and_the_end_of_a_stream(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy, _connect(proxy) as client:
        client.sendall(b"x" * 300_000)
        client.shutdown(socket.SHUT_WR)
        assert len(_everything(client)) == 300_000


def test_latency_counts_each_way(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy, _connect(proxy) as client:
        proxy.latency_s = 0.05
        begun = time.monotonic()
        client.sendall(b"ping")
        assert client.recv(4) == b"ping"
        assert time.monotonic() - begun >= 0.1


def test_a_stall_holds_bytes_back_and_loses_none(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy, _connect(proxy) as client:
        proxy.stall()
        client.sendall(b"ping")
        with pytest.raises(TimeoutError):
            client.recv(4)
        proxy.resume()
        assert client.recv(4) == b"ping"


def test_a_reset_is_a_reset(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy, _connect(proxy) as client:
        client.sendall(b"ping")
        assert client.recv(4) == b"ping"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(4)


def test_a_cut_comes_after_exactly_so_many_bytes(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy:
        proxy.cut_after_bytes = 10
        with _connect(proxy) as client:
            client.sendall(b"0123456789abcdef")
            assert _everything(client) == b"0123456789"


def test_refuses_new_connections_when_asked(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy:
        proxy.refusing = True
        with _connect(proxy) as client:
            assert _everything(client) == b""
        assert proxy.connections == 1
