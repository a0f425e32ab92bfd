"""Flower's pages as a person sees them: in the Chromium that this machine has, where it has one."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import dies_with_parent, free_port

sync_api = pytest.importorskip("playwright.sync_api", reason="make browser brings playwright")

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
STARTS_WITHIN_S = 60


@pytest.fixture
def flower(redis_url: str, tmp_path: Path) -> Iterator[str]:
    """Give the address of a Flower that watches one worker."""
    port = free_port()
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'humansync.db'}",
        "REDIS_URL": redis_url,
        "HUMANAPI_CLIENT_ID": "client",
        "HUMANAPI_APP_KEY": "key",
        "FLOWER_BASIC_AUTH": "someone:secret",
    }
    celery = [sys.executable, "-P", "-m", "celery", "-A", "workers.app"]
    with contextlib.ExitStack() as stack, (tmp_path / "output").open("wb") as log:
        for arguments in (
            ["worker", "--hostname", "seen@%h", "--queues", "live"],
            ["flower", "--address=127.0.0.1", f"--port={port}"],
        ):
            process = subprocess.Popen(
                [*celery, *arguments],
                env=environment,
                cwd=tmp_path,
                stdout=log,
                stderr=log,
                preexec_fn=dies_with_parent(),
            )
            stack.callback(process.wait)
            stack.callback(process.send_signal, signal.SIGTERM)
        _await(f"http://127.0.0.1:{port}/healthcheck")
        yield f"http://127.0.0.1:{port}"


def _await(address: str) -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, "Flower does not answer"
            time.sleep(0.2)
        else:
            return


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_the_workers_page_shows_the_worker_to_who_knows_the_password(flower: str) -> None:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(http_credentials={"username": "someone", "password": "secret"}).new_page()
        page.goto(f"{flower}/workers")
        row = page.get_by_text("seen@", exact=False).first
        for _ in range(30):
            if row.is_visible():
                break
            page.wait_for_timeout(1000)
            page.reload()
        assert row.is_visible()
        browser.close()
