import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from config import logging as logs
from config.settings import load

Write = Callable[[], list[str]]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., logging.Handler]:
    """Give a function that makes the handler which the environment asks for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUMANAPI_CLIENT_ID", "c11ent-id")
    monkeypatch.setenv("HUMANAPI_APP_KEY", "s3cret-key")
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:pa%22ss-word@db/health")

    def make(**variables: str) -> logging.Handler:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings = load()
        form = logs.as_dict(settings)["formatters"]["lines"]
        handler = logging.StreamHandler()
        handler.setFormatter(form["()"](secrets=form["secrets"]))
        return handler

    return make


def record(message: str, **facts: object) -> logging.LogRecord:
    return logging.makeLogRecord(
        {
            "name": "humansync.sync",
            "levelno": 20,
            "levelname": "INFO",
            "msg": message,
            "created": 1769860800.25,
            **facts,
        }
    )


def test_a_line_for_people_has_its_facts_beside_it(configured: Callable[..., logging.Handler]) -> None:
    line = configured().format(record("page", kind="weights", received=500))
    assert line == "2026-01-31T12:00:00.250Z info    humansync.sync page kind=weights received=500"


def test_a_line_for_machines_is_one_json_object(configured: Callable[..., logging.Handler]) -> None:
    line = configured(HUMANSYNC_LOG_FORMAT="json").format(record("two\nlines", kind="weights", window=Path("x")))
    assert "\n" not in line
    assert json.loads(line) == {
        "time": "2026-01-31T12:00:00.250Z",
        "level": "info",
        "logger": "humansync.sync",
        "message": "two\nlines",
        "kind": "weights",
        "window": "x",
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_leaves_in_a_message_a_fact_or_a_traceback(
    configured: Callable[..., logging.Handler], form: str
) -> None:
    handler = configured(HUMANSYNC_LOG_FORMAT=form)
    error = RuntimeError('GET https://api/v1/apps/c11ent-id/users with s3cret-key, pa"ss-word')
    info = (type(error), error, error.__traceback__)
    line = handler.format(
        record("sent Basic czNjcmV0LWtleTo= to redis://:hidden-pw@cache/0", exc_info=info, header={"key": "s3cret-key"})
    )
    for secret in ("c11ent-id", "s3cret-key", "czNjcmV0LWtleTo=", "hidden-pw", "ss-word"):
        assert secret not in line
    assert "RuntimeError" in line


def test_bound_facts_come_with_every_line_until_unbound(configured: Callable[..., logging.Handler]) -> None:
    handler = configured()
    outer = logs.bind(task_id="t1")
    inner = logs.bind(window_id=7)
    assert handler.format(record("page", n=1)).endswith("page task_id=t1 window_id=7 n=1")
    logs.unbind(inner)
    assert handler.format(record("page")).endswith("page task_id=t1")
    logs.unbind(outer)
    assert handler.format(record("page")).endswith("page")


def test_what_celery_says_twice_a_page_is_left_out_unless_asked_for(
    configured: Callable[..., logging.Handler], monkeypatch: pytest.MonkeyPatch
) -> None:
    configured()
    levels = {}
    for level in ("debug", "info", "error"):
        monkeypatch.setenv("HUMANSYNC_LOG_LEVEL", level)
        config = logs.as_dict(load())
        levels[level] = (config["root"]["level"], config["loggers"]["celery.app.trace"]["level"])
    assert levels == {"debug": ("DEBUG", "DEBUG"), "info": ("INFO", "WARNING"), "error": ("ERROR", "ERROR")}


def test_the_whole_is_taken_by_dictconfig(
    configured: Callable[..., logging.Handler], capsys: pytest.CaptureFixture[str]
) -> None:
    configured()
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    try:
        logs.configure(load())
        logging.getLogger("humansync.sync").info("page", extra={"kind": "weights"})
    finally:
        root.setLevel(before[0])
        root.handlers[:] = before[1]
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith("humansync.sync page kind=weights\n")
