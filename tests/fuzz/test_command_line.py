"""Words on the command line, times and task arguments, whatever they are: done, or one clear sentence and its status."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import strategies as st

import tasks
from config.settings import Settings
from humansync import pages, plan, timespec
from humansync.api import Page
from humansync.errors import ConfigError, StateUnavailable, Unavailable
from humansync.kinds import KINDS, Kind
from humansync.ledger import KindState, Purpose, State, WindowRow
from humansync.parts import Parts
from humansync.simulator import __main__ as simulator
from humansync.store import Store, make_engine, migrate
from humansync.windows import Window
from tests.any_json import ANY_JSON
from tests.fuzz.counting import fuzzed
from tests.integration.verify.places import NoRedis, WaitingClock
from workers import arguments, broker, cli, crew, embedded, messenger

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = plan.Policy(settle_s=120, overlap_s=900, since="30d")

#: What a shell can pass on: any bytes without NUL, those that are no UTF-8 as lone surrogates.
_TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=10) | st.sampled_from(
    ["\udcff", "a\udc80b"]
)
_TIMES = st.one_of(
    st.sampled_from(
        ["2026-01-31", "2026-01-31T12:00:00Z", "0001-01-01", "9999-12-31", "9999-12-31T23:59:59.9Z", "2026-W01-1", "20260131", "30d", "0s", "999999999w",
         "1e3d", "-1d", "٣d", "12:00", "T", "2026-01-31T12:00:00+99:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "1800-01-01", "2w "]
    ),
    st.datetimes().map(str),
    st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    st.dates().map(str),
    st.tuples(st.integers(0, 10**9), st.sampled_from("wdhmsx")).map(lambda pair: f"{pair[0]}{pair[1]}"),
)  # fmt: skip
_WORD = st.one_of(
    _TEXT,
    st.sampled_from([*KINDS, "Heart-Rates", "sleep", "run", "--", "-", "--help", "-h", "--version", "--json", "--json=x", "--wait", "--repair", "--nope", "-j", "--since=", "--to"]),
    st.tuples(st.sampled_from(["--since", "--before", "--to"]), _TIMES | _TEXT).map("=".join),
    st.sampled_from(["--since", "--before", "--to"]),
    _TIMES,
)  # fmt: skip
#: Every command but `simulator`, which has words of its own, and `doctor` and `up`, which take none: they come by `_WORD`.
_COMMANDS = st.sampled_from(["run", "sync", "status", "verify", "retry", "pause", "resume", "reset", "migrate"])
_LINE = st.one_of(
    st.tuples(_COMMANDS, st.lists(_WORD, max_size=5)).map(lambda pair: [pair[0], *pair[1]]),
    st.lists(_WORD, max_size=4),
    st.tuples(st.sampled_from(["up", "doctor"]), st.lists(_WORD, min_size=1, max_size=2)).map(
        lambda pair: [pair[0], *pair[1]]
    ),
)
_SWITCH = st.sampled_from(
    [
        "--port",
        "--host",
        "--seed",
        "--kinds",
        "--days",
        "--until",
        "--parent-pid",
        "--order",
        "--page-cap",
        "--lag-s",
        "--odd",
        "--nope",
    ]
)
_SWITCHES = st.lists(
    st.tuples(
        _SWITCH,
        st.sampled_from(["0", "-1", "1e9", "9" * 30, "nan", "inf", "sleeps", "x,y", "", "random", "2026-01-31"])
        | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=10),
    ),
    max_size=3,
)


class NothingStarts(StateUnavailable):
    """Where a command would start a process or send a message."""


@pytest.fixture
def _edges(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give an empty database and a Redis that nobody answers for; nothing is started and nothing is sent."""
    folder = tmp_path_factory.mktemp("line")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{folder / 'humansync.db'}")
    monkeypatch.setenv("REDIS_URL", f"unix://{folder / 'none.sock'}")
    engine = make_engine(f"sqlite:///{folder / 'humansync.db'}")
    migrate(engine)
    engine.dispose()

    def refuse(*_: object, **__: object) -> Any:
        raise NothingStarts("nothing is started here")

    def ask(kind: str, since: str | None = None, before: str | None = None) -> None:
        assert kind in KINDS
        for bound in (since, before):
            if bound is not None:
                timespec.parse_time(bound, NOW)

    monkeypatch.setattr(crew, "summoned", nullcontext)
    monkeypatch.setattr(messenger, "summoned", lambda: nullcontext(broker))
    monkeypatch.setattr(embedded.Embedded, "__enter__", refuse)
    monkeypatch.setattr(broker, "prepare", lambda: None)
    monkeypatch.setattr(broker, "ask", ask)
    monkeypatch.setattr(broker, "depths", refuse)
    monkeypatch.setattr(broker, "answering", refuse)
    monkeypatch.setattr(simulator, "serve", refuse)


def status_of(words: Sequence[str]) -> int:
    with pytest.raises(SystemExit) as stop:
        cli.main(list(words))
    assert isinstance(stop.value.code, int)
    return stop.value.code


@pytest.mark.usefixtures("_edges")
@fuzzed("command lines", share=3, words=_LINE)
def test_any_words_are_done_or_answered_by_one_sentence(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    capsys.readouterr()
    status = status_of(words)
    shown = capsys.readouterr()
    assert status in {0, 1, 2, 3}
    assert "Traceback" not in shown.err + shown.out
    assert "fault of humansync itself" not in shown.err
    if status == 2:
        assert shown.err.startswith("humansync: ")
        assert shown.err.count("\n") == 1
        assert shown.out == ""
    elif status == 1 and words[0] != "doctor":  # its faults are its result
        assert shown.err.startswith("humansync: ")
        assert shown.err.count("\n") == 1
    helps = {"--help", "-h", "--version"} & set(words)
    if "--json" in words and shown.out and not helps and status != 2 and words[0] != "--json":
        json.loads(shown.out)
        assert shown.out.count("\n") == 1


@pytest.mark.usefixtures("_edges")
@fuzzed("command lines", switches=_SWITCHES)
def test_any_switches_of_the_simulator_are_served_or_answered(
    capsys: pytest.CaptureFixture[str], switches: list[tuple[str, str]]
) -> None:
    capsys.readouterr()
    status = status_of(["simulator", "--records", "0", *(word for switch in switches for word in switch)])
    shown = capsys.readouterr()
    assert status in {0, 1, 2}
    assert "Traceback" not in shown.err
    assert "fault of humansync itself" not in shown.err


# --- tasks, called by hand ------------------------------------------------------------------------


class Silent:
    """An API that does not answer."""

    def fetch(
        self, kind: Kind, *, since: datetime, before: datetime, limit: int, offset: int, as_text: bool = False
    ) -> Page:
        del kind, since, before, limit, offset, as_text
        raise Unavailable("no answer from the API")


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Give what tasks work on: a real store; an API and a Redis that are away."""
    engine = make_engine(f"sqlite:///{tmp_path / 'humansync.db'}")
    migrate(engine)
    store = Store(engine)
    parts = Parts(Silent(), store, NoRedis(), WaitingClock(NOW), POLICY, "test")
    held = SimpleNamespace(parts=parts, settings=Settings(), shared=NoRedis())
    for module in (tasks.plan, tasks.sync):
        monkeypatch.setattr(module, "runtime", lambda: held)
        monkeypatch.setattr(module.publish, "follow_ups", lambda *_: None)
    logging.disable()
    yield store
    logging.disable(logging.NOTSET)
    store.close()


_ARGUMENT = st.one_of(_TIMES, st.sampled_from(sorted(KINDS)), st.integers(-1, 3), st.none(), ANY_JSON)


@fuzzed(
    "task arguments",
    task=st.sampled_from(["sync.kind", "sync.window", "sync.page", "window of the ledger"]),
    kind=st.sampled_from(["sleeps", "genetic_traits"]) | _ARGUMENT,
    first=_ARGUMENT,
    second=_ARGUMENT,
)
def test_any_arguments_of_a_task_are_worked_on_or_answered_by_a_sentence(
    ledger: Store, task: str, kind: Any, first: Any, second: Any
) -> None:
    calls: dict[str, Callable[[], dict[str, int | str]]] = {
        "sync.kind": lambda: tasks.plan.sync_kind.run(kind, first, second),
        "sync.window": lambda: tasks.sync.sync_window.run(kind, first, second),
        "sync.page": lambda: tasks.sync.sync_page.run(first, second),
        "window of the ledger": lambda: tasks.sync.sync_window.run(
            kind, "2026-01-31", "2026-02-01", window_id=first, epoch=second
        ),
    }
    try:
        result = calls[task]()
    except ConfigError as error:
        assert str(error).isprintable()  # noqa: PT017 -- a result is as good
        return
    finally:
        for name in KINDS:
            ledger.drop_windows(name)
    assert result["outcome"]


# --- times ----------------------------------------------------------------------------------------


@fuzzed("times", share=4, text=_TIMES | _TEXT)
def test_any_text_for_a_time_is_an_instant_or_a_sentence(text: str) -> None:
    try:
        instant = timespec.parse_time(text, NOW)
    except ValueError as error:
        assert timespec.FORMS in str(error)  # noqa: PT017 -- an instant is as good
        return
    assert instant.tzinfo is UTC
    # However far back it lies: the second before it is within the calendar, and its year has four digits.
    assert len(f"{instant - timedelta(seconds=1):%Y%m%dT%H%M%SZ}") == len("20260131T120000Z")


@fuzzed("times", share=2, since=_TIMES | _TEXT, before=_TIMES | _TEXT | st.none())
def test_any_bounds_make_windows_that_can_be_asked_for_or_a_sentence(since: str, before: str | None) -> None:
    try:
        asked = arguments.scope(["sleeps"], since, before, NOW)
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017 -- a scope is as good
        return
    assert asked.since is not None
    end = asked.before or NOW
    if asked.since >= end:
        return
    planned = plan.backfill(Window(asked.since, end), [], POLICY, NOW)
    for window, purpose in planned.windows[:2] + planned.windows[-2:]:
        row = WindowRow(1, "sleeps", window, purpose, State.OWED, 0)
        ask = pages.request(row, KindState("sleeps"))
        assert window.seconds <= 31 * 86_400
        assert ask.since < ask.before


@fuzzed("times", since=_TIMES | _TEXT, before=_TIMES | _TEXT)
def test_any_two_texts_make_a_window_or_a_value_error(since: str, before: str) -> None:
    try:
        window = Window.parse(since, before)
    except ValueError:
        return
    assert window.since < window.before


@fuzzed("times", since=st.datetimes(timezones=st.just(UTC)), width=st.integers(1, 10**11))
def test_any_range_is_planned_in_windows_of_thirty_days(since: datetime, width: int) -> None:
    since = since.replace(microsecond=0)
    try:
        bounds = Window(since, since + timedelta(seconds=width))
    except OverflowError:
        return
    planned = plan.backfill(bounds, [], POLICY, NOW).windows
    assert all(window.seconds <= 30 * 86_400 and purpose is Purpose.BACKFILL for window, purpose in planned)
