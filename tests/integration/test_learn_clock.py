"""Of an API whose clock nobody knows yet, `run` asks for it while its workers are starting."""

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from config.settings import Settings
from humansync import api_clock
from humansync.store import Store, make_engine, migrate
from tests.servers import free_port
from workers import run

KIND = "meals"
AHEAD = timedelta(minutes=10)


class Api(ThreadingHTTPServer):
    """An empty API whose clock is ahead."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    """Answers as `Api` says."""

    server: Api

    def do_GET(self) -> None:
        self.server.asked += 1
        self.send_response_only(200)
        self.send_header("Date", f"{datetime.now(UTC) + AHEAD:%a, %d %b %Y %H:%M:%S GMT}")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[Api]:
    """Give an API."""
    with Api() as server:
        yield server
        server.shutdown()


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """Give an empty database."""
    engine = make_engine(sqlite_url)
    migrate(engine)
    opened = Store(engine)
    yield opened
    opened.close()


def settings(port: int) -> Settings:
    return Settings(base_url=f"http://127.0.0.1:{port}/v1", client_id="client", app_key="key")


def requests(store: Store) -> int:
    return store.totals(records=False)[KIND].requests


def test_it_is_asked_for_once_and_counted(api: Api, store: Store) -> None:
    for _ in range(2):
        run.learn_clock(store, settings(api.server_port), KIND)
    assert (api.asked, requests(store)) == (1, 1)
    assert api_clock.known_offset_s(store) == pytest.approx(AHEAD.total_seconds(), abs=5)


def test_an_api_that_is_away_is_left_to_the_workers(store: Store) -> None:
    run.learn_clock(store, settings(free_port()), KIND)
    assert (api_clock.known_offset_s(store), requests(store)) == (None, 1)


def test_a_name_server_that_says_nothing_is_not_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    said = threading.Event()

    def resolve(*_: object, **__: object) -> list[object]:
        said.wait(60)
        return []

    monkeypatch.setattr(run, "CLOCK_WITHIN_S", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    began = time.monotonic()
    run.learn_clock(store, settings(free_port()), KIND)
    took_s = time.monotonic() - began
    said.set()
    assert took_s < 30
    assert api_clock.known_offset_s(store) is None
