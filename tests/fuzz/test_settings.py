"""The environment and `.env`, whatever they say: settings, or one sentence that names the variable and no secret."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import strategies as st
from kombu import Connection

from config.celery import options
from config.logging import as_dict
from config.settings import EVERY_S, FROM_FILE, Settings, load
from config.settings import VARIABLES as KNOWN
from humansync.api import Api
from humansync.errors import ConfigError
from humansync.kinds import KINDS
from humansync.state.shared import Shared
from humansync.store import make_engine
from tests.conftest import OURS
from tests.fuzz.counting import fuzzed

#: Stands in every secret value; nothing that is shown may hold it.
SECRET = "s3cr3tw0rd"
VARIABLES = [variable.name for variable in KNOWN.values()]
NAMES = [
    *VARIABLES,
    *(f"{name}_FILE" for name in FROM_FILE),
    *(f"{EVERY_S}__{kind}" for kind in ("SLEEPS", "MOODS", "meals")),
]
#: Their values are secret, or may hold a secret somewhere.
SECRETIVE = ("HUMANAPI_CLIENT_ID", "HUMANAPI_APP_KEY", "HUMANAPI_BASE_URL", "DATABASE_URL", "REDIS_URL")

#: What an environment can hold: any text without NUL; bytes that are no UTF-8 come as lone surrogates.
_TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=()), max_size=12).filter(
    lambda text: not any("\ud800" <= character < "\udc80" or "\udcff" < character <= "\udfff" for character in text)
)
_PIECES = st.sampled_from(
    [
        "http://", "https://", "postgresql://", "postgresql+psycopg://", "postgres://", "sqlite:///", "sqlite://", "mysql://", "redis://", "rediss://", "unix://",
        "redis+socket://", "host", "127.0.0.1", "[::1]", "[", "]", ":", ":6379", ":99999", "/", "/0", "/v1", "?", "#", "@", "ann", ":memory:",
        "?db=x", "?db=1", "?password=" + SECRET, "&timeout=x", "?socket_timeout=x", "?foo=1", "?mode=ro&uri=true", SECRET, f"ann:{SECRET}@", f":{SECRET}@",
        " ", "\t", "\n", "%", "%zz", "é", "\\", ",", "*", "..", ".", "-", "_", "=", "'", '"', "$", "${HOME}",
    ]
)  # fmt: skip
_ADDRESS = st.lists(_PIECES, min_size=1, max_size=6).map("".join)
_WORDS = st.sampled_from(
    ["0", "1", "-1", "60", "1e3", "1.5", "nan", "inf", "9" * 30, "9" * 5000, "true", "sleeps", "sleeps,meals", ",", "info", "JSON", "30d", "999999999w",
     "2026-01-31", "0001-01-01", "9999-12-31", "12:00", "2026-01-31T12:00:00Z", "٣", "1_0", "0x10", " 7 ", "/", ".", "/dev/null", "x" * 5000]
)  # fmt: skip
_VALUE = st.one_of(_ADDRESS, _ADDRESS, _WORDS, _TEXT)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Set these variables, and none else of ours."""
    saved = dict(os.environ)
    try:
        for name in [name for name in os.environ if name.upper().startswith(OURS)]:
            del os.environ[name]
        os.environ.update(variables)
        yield
    finally:
        os.environ.clear()
        os.environ.update(saved)


def assert_one_sentence(error: ConfigError, *names: str, secret: str = SECRET) -> None:
    """It names a variable, fits a line, and neither it nor what is behind it holds a secret."""
    message = str(error)
    assert any(name.upper() in message.upper() for name in names), message
    assert "\n" not in message
    assert message.isprintable(), repr(message)
    cause: BaseException | None = error
    while cause is not None:
        assert secret not in f"{cause} {cause!r}"
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def assert_usable(settings: Settings, secret: str = SECRET) -> None:
    """What is accepted can be worked with, or is refused by name where it is first used; nothing else happens."""
    for shown in (repr(settings), str(settings)):
        if secret in (settings.database_url + settings.redis_url) and _in_password(settings, secret):
            assert secret not in shown
    as_dict(settings)
    Connection(options(settings)["broker_url"])
    uses: tuple[tuple[str, Callable[[], object]], ...] = (
        ("HUMANAPI_BASE_URL", lambda: Api(base_url=settings.base_url, client_id="client", app_key="key").close()),
        ("DATABASE_URL", lambda: make_engine(settings.database_url).dispose()),
        ("REDIS_URL", lambda: Shared(settings.redis_url, rate_per_s=settings.rate).close()),
    )
    for name, use in uses:
        try:
            use()
        except ConfigError as error:
            assert_one_sentence(error, name)


def _in_password(settings: Settings, secret: str) -> bool:
    return any(
        f":{secret}@" in address or f"password={secret}" in address
        for address in (settings.database_url, settings.redis_url)
    )


@fuzzed("variables", share=2, name=st.sampled_from(NAMES), value=_VALUE)
def test_any_text_in_a_variable_makes_settings_or_a_sentence(name: str, value: str) -> None:
    with environment({name: value}):
        try:
            settings = load()
        except ConfigError as error:
            assert_one_sentence(error, name, secret=SECRET if name in SECRETIVE else "\n")
            return
        assert_usable(settings)


@fuzzed("variables", variables=st.dictionaries(st.sampled_from(NAMES), _VALUE, max_size=6))
def test_any_texts_in_many_variables_make_settings_or_a_sentence(variables: dict[str, str]) -> None:
    with environment(variables):
        try:
            assert_usable(load())
        except ConfigError as error:
            assert_one_sentence(error, *variables, secret=SECRET if set(variables) <= set(SECRETIVE) else "\n")


_NAME = st.sampled_from([*NAMES, "OTHER", "", "humansync_rate", "HUMANSYNC_EVERY_S__A B", "'HUMANSYNC_EVERY_S__X\nY'"])
_LINES = st.one_of(
    st.tuples(_NAME, st.sampled_from(["=", " = ", "", ":", "=="]), _VALUE | st.text(max_size=8)).map("".join),
    st.tuples(st.just("export "), _NAME, st.just("="), _VALUE).map("".join),
    st.tuples(_NAME, st.sampled_from(["='", '="']), _VALUE, st.sampled_from(["'", '"', "", "' # x", "\\'"])).map(
        "".join
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


@fuzzed(
    "env files",
    share=2,
    content=st.lists(_LINES, max_size=5).map("\n".join).map(lambda text: text.encode("utf-8", "surrogateescape")),
)
def test_any_lines_in_an_env_file_make_settings_or_a_sentence(content: bytes) -> None:
    Path(".env").write_bytes(content)
    with environment({}):
        try:
            assert_usable(load())
        except ConfigError as error:
            assert_one_sentence(error, *NAMES, EVERY_S, ".env", secret="\n")


@fuzzed("env files", content=st.binary(max_size=60) | st.binary(max_size=20).map(lambda value: b"REDIS_URL=" + value))
def test_any_bytes_in_an_env_file_make_settings_or_a_sentence(content: bytes) -> None:
    Path(".env").write_bytes(content)
    with environment({}):
        try:
            assert_usable(load())
        except ConfigError as error:
            assert_one_sentence(error, "REDIS_URL", ".env", secret="\n")


@fuzzed(
    "env files",
    name=st.sampled_from(FROM_FILE),
    content=st.binary(max_size=30) | st.sampled_from([b"key\n", b"", SECRET.encode() + b" x"]),
)
def test_any_bytes_in_a_key_file_make_settings_or_a_sentence(name: str, content: bytes) -> None:
    Path("key").write_bytes(content)
    with environment({f"{name}_FILE": "key"}):
        try:
            load()
        except ConfigError as error:
            assert_one_sentence(error, name)


def test_every_kind_has_a_period_that_is_checked() -> None:
    for kind in KINDS:
        with environment({f"{EVERY_S}__{kind.upper()}": "often"}), pytest.raises(ConfigError, match=kind.upper()):
            load()
