"""Flower's pages as a person sees them: in the Chromium that this machine has, where it has one."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.api_process import api_process
from tests.acceptance.live import Live
from tests.processes import until
from tests.servers import free_port

if TYPE_CHECKING:
    from playwright.sync_api import Page

sync_api = pytest.importorskip("playwright.sync_api", reason="make browser brings playwright")

#: The last picture of each page, for people to look at.
PICTURES = Path(__file__).parents[2] / "var" / "pictures"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]


@pytest.fixture
def page(redis_url: str, sqlite_url: str, tmp_path: Path) -> Iterator["Page"]:
    """Give a browser before the Flower of a deployment that has done some work; it knows the password."""
    port = free_port()
    variables = {"FLOWER_BASIC_AUTH": "someone:secret", "PORT": str(port), "HUMANSYNC_EVERY_S": "2"}
    with (
        api_process("--kinds=sleeps", "--records=1000", "--days=20") as api,
        Live(tmp_path, api, redis_url, sqlite_url, ["sleeps"], **variables) as live,
        sync_api.sync_playwright() as playwright,
    ):
        live.procfile("flower")
        until("Flower is there", lambda: live.logged("Visit me at") > 0)
        live.procfile("beat", "worker", "backfill")
        until("all is there", live.equal)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        credentials = {"username": "someone", "password": "secret"}
        yield browser.new_context(base_url=f"http://127.0.0.1:{port}", http_credentials=credentials).new_page()
        browser.close()


def shows(page: "Page", path: str, *texts: str) -> None:
    """Wait until a page shows all of these."""

    def there() -> bool:
        page.goto(path)
        page.wait_for_timeout(1000)
        return all(page.get_by_text(text, exact=False).first.is_visible() for text in texts)

    until(f"{path} shows {', '.join(texts)}", there, 60)
    page.screenshot(path=PICTURES / f"flower{path.replace('/', '-')}.png")


def test_it_shows_who_works_and_what_was_done(page: "Page") -> None:
    shows(page, "/workers", "live@", "backfill@", "Online")
    shows(page, "/tasks", "sync.kind", "sync.window", "SUCCESS")
    shows(page, "/broker", "live", "backfill")
