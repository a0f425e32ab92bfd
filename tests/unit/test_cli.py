"""The command line by itself: usage, errors, exit statuses, and how little it imports."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config.settings import load
from humansync.errors import ConfigError, StoreUnavailable
from workers import arguments, broker, cli, terminated
from workers.embedded import Embedded
from workers.processes import Child
from workers.terminated import Terminated

SLOW = ("celery", "kombu", "sqlalchemy", "redis", "rich", "requests", "alembic")
KIND = "sleeps"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def run(*words: str) -> int:
    """Return the exit status of a command run in this process."""
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.parametrize(
    "words", [["--help"], ["run", "--help"], ["status", "-h"], [], ["run", "no_such_kind"], ["--version"]]
)
def test_help_and_usage_errors_import_nothing_slow(words: list[str]) -> None:
    code = (
        "import sys\nfrom workers import cli\n"
        "try:\n    cli.main(sys.argv[1:])\n"
        f"finally:\n    sys.stderr.write('loaded:' + ','.join(m for m in {SLOW!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("loaded:"), done.stderr


def test_help_lists_every_command_first_steps_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.partition("Commands:")[2].splitlines() if line]
    assert listed == [
        *("run", "up", "sync", "status", "verify", "retry", "pause", "resume", "reset", "doctor", "migrate"),
        "simulator",
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rnu"], "run"),
        (["run", "--sinc", "3d"], "--since"),
        (["run", "heart_rate"], "did you mean heart_rates?"),
        (["run", "xyzzy"], "kinds are activities, activity_summaries"),
        (["run", "--since", "yesterday"], "--since: 'yesterday' is not a day (2026-01-31)"),
        (["run", "--since", "2026-01-31T12:00:00"], "--since"),
        (["run", "--since", "2026-02-01", "--before", "2026-01-01"], "must lie before"),
        (["run", "--since", "2026-02-01", "--before", "2026-02-01"], "must lie before"),
        (["run", "--since", "2199-01-01"], "future"),
        (["run", "--before", "2026-01-01"], "--before needs --since"),
        (["run", "--since", "0001-01-01"], "lies before 1970"),
        (["reset", "sleeps", "--to", "2199-01-01\n"], "2199-01-01\\n"),
        (["sync", "weight"], "did you mean weights?"),
        (["verify", "weight"], "did you mean weights?"),
        (["verify", "--since", "yesterday"], "--since: 'yesterday' is not a day (2026-01-31)"),
        (["verify", "--since", "2026-02-01", "--before", "2026-01-01"], "must lie before"),
        (["verify", "--since", "2199-01-01"], "future"),
        (["verify", "--before", "soon"], "--before: 'soon'"),
        (["verify", "sleeps", "--before", "2026-01-01"], "HUMANAPI_CLIENT_ID and HUMANAPI_APP_KEY are not set"),
        (["retry", "weight"], "did you mean weights?"),
        (["pause"], "Missing argument"),
        (["pause", "slep"], "did you mean sleeps?"),
        (["reset", "sleeps"], "--to"),
        (["reset", "sleeps", "--to", "2199-01-01"], "future"),
    ],
)
def test_wrong_usage_is_one_sentence_and_status_2(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
    assert shown.err.startswith("humansync: ")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (ConfigError("HUMANSYNC_RATE='x' is wrong"), 2, "humansync: HUMANSYNC_RATE='x' is wrong\n"),
        (StoreUnavailable("the database does not answer"), 1, "humansync: the database does not answer\n"),
        (PermissionError(13, "Permission denied", "var"), 1, "humansync: Permission denied: var\n"),
        (KeyError("human-id-of-somebody"), 1, "humansync: this is a fault of humansync itself (KeyError at "),
        (KeyboardInterrupt(), 130, "\n"),
        (Terminated(15), 143, ""),
    ],
)
def test_no_traceback_and_no_data_reach_the_user(
    error: BaseException,
    status: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(arguments, "known_kinds", fail)
    assert run("pause", "sleeps") == status
    shown = capsys.readouterr().err
    assert shown.startswith(says)
    assert "Traceback" not in shown
    assert "somebody" not in shown


def test_a_wrong_setting_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUMANSYNC_RATE", "fast")
    assert run("run") == 2
    assert "HUMANSYNC_RATE='fast' is wrong" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_kinds_are_taken_once_each_in_the_order_named() -> None:
    assert arguments.known_kinds(["sleeps", "Heart-Rates", "sleeps"]) == ("sleeps", "heart_rates")


def test_bounds_are_whole_utc_seconds() -> None:
    asked = arguments.scope([], "2026-01-31T12:00:00.9+01:00", "12h", NOW)
    assert asked.bounds == {"since": "2026-01-31T11:00:00Z", "before": "2026-11-24T00:00:00Z"}


def test_no_bounds_are_none() -> None:
    assert arguments.scope(["sleeps"], None, None, NOW) == arguments.Scope(("sleeps",))


def test_a_scope_names_its_kinds() -> None:
    with pytest.raises(ConfigError, match="no kind 'x'"):
        arguments.scope(["x"], None, None, NOW)


class Deaf:
    """Something that is destroyed just as a signal arrives."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def deployment() -> Embedded:
    return Embedded(load(), Child("workers", [], {}, Path("workers.log")), lasting=False, say=print)


def test_a_deployment_minds_what_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminated, "_raised", Terminated(signal.SIGTERM))
    with pytest.raises(Terminated):
        deployment().tend()


def test_whatever_comes_in_between_children_are_stopped_before_their_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []

    class Redis:
        def alone(self) -> bool:
            raise KeyboardInterrupt

        def leave(self) -> None:
            stopped.append("redis")

    embedded = deployment()
    embedded.redis = Redis()  # type: ignore[assignment]  # stands in
    monkeypatch.setattr(embedded.children, "stop", lambda _grace_s: stopped.append("children"))
    embedded.finished()
    with pytest.raises(KeyboardInterrupt):
        embedded.stop()
    assert stopped == ["children", "redis"]


@pytest.mark.parametrize(
    ("own_redis", "read", "queued"), [(True, True, [KIND]), (True, False, [KIND, KIND]), (False, True, [KIND, KIND])]
)
def test_who_asks_again_asks_all_workers(
    monkeypatch: pytest.MonkeyPatch, own_redis: bool, read: bool, queued: list[str]
) -> None:
    by_queue: list[str] = []
    monkeypatch.setattr(broker, "ask", lambda kind, _since, _before: by_queue.append(kind))
    monkeypatch.setattr(Child, "tell", lambda _child, _line: read)
    embedded = deployment()
    if own_redis:
        embedded.redis = object()  # type: ignore[assignment]  # stands in
    for _ in range(2):
        embedded.ask(KIND)
    assert by_queue == queued


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_is_not_lost_where_nothing_can_be_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminated, "_raised", None)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    terminated.listen()
    try:
        deaf = Deaf()
        del deaf
        with pytest.raises(KeyboardInterrupt):
            terminated.mind()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
