from pathlib import Path

import pytest
from rich.pretty import pretty_repr

from config.settings import LogFormat, Settings, load
from humansync.errors import ConfigError
from humansync.kinds import KINDS


@pytest.fixture(autouse=True)
def _no_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep a developer's `.env` out."""
    monkeypatch.chdir(tmp_path)


def test_defaults_are_those_that_are_documented() -> None:
    settings = load()
    assert settings.base_url == "https://api.humanapi.co/v1"
    assert settings.database_url == "sqlite:///var/humansync.db"
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert settings.kinds == tuple(KINDS)
    assert (settings.since, settings.every_s, settings.settle_s, settings.overlap_s) == ("30d", 300, 120, 900)
    assert (settings.rate, settings.concurrency) == (10.0, None)
    assert not settings.has_credentials
    assert not settings.has_redis


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HUMANAPI_BASE_URL", "ftp://api"),
        ("HUMANAPI_BASE_URL", "https://"),
        ("HUMANAPI_BASE_URL", "https://api:port/v1"),
        ("HUMANAPI_BASE_URL", "https://api/v1?x=1"),
        ("HUMANAPI_BASE_URL", "https://my api/v1"),
        ("HUMANAPI_BASE_URL", "https://*.api/v1"),
        ("HUMANAPI_BASE_URL", "https://ap\ti/v1"),
        ("HUMANAPI_BASE_URL", "https://api/v1/é"),
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "postgresql://"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://localhost:port/0"),
        ("HUMANSYNC_KINDS", "weights,moods"),
        ("HUMANSYNC_KINDS", " , "),
        ("HUMANSYNC_SINCE", "yesterday"),
        ("HUMANSYNC_SINCE", "2999-01-01"),
        ("HUMANSYNC_EVERY_S", "0"),
        ("HUMANSYNC_EVERY_S", "5m"),
        ("HUMANSYNC_EVERY_S__WEIGHTS", "often"),
        ("HUMANSYNC_EVERY_S__MOODS", "60"),
        ("HUMANSYNC_SETTLE_S", "-1"),
        ("HUMANSYNC_OVERLAP_S", "1e9"),
        ("HUMANSYNC_RATE", "-1"),
        ("HUMANSYNC_RATE", "nan"),
        ("HUMANSYNC_RATE", "inf"),
        ("HUMANSYNC_CONCURRENCY", "0"),
        ("HUMANSYNC_LOG_LEVEL", "loud"),
        ("HUMANSYNC_LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load()
    message = str(caught.value)
    assert message.startswith(name)
    assert "allowed is" in message or "the kinds are" in message
    assert "\n" not in message


def test_the_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("HUMANSYNC_RATE=3\nHUMANSYNC_SETTLE_S=7\nUNRELATED=1\n")
    monkeypatch.setenv("HUMANSYNC_RATE", "4")
    settings = load()
    assert (settings.rate, settings.settle_s) == (4.0, 7)
    assert load(env_file=None).settle_s == 120


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HUMANAPI_CLIENT_ID", "HUMANSYNC_RATE", "REDIS_URL", "HUMANSYNC_EVERY_S__WEIGHTS"):
        monkeypatch.setenv(name, "")
    assert load() == Settings()


def test_blanks_around_a_value_are_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMANSYNC_SETTLE_S", " 5\r")
    monkeypatch.setenv("HUMANSYNC_RATE", "2.5 ")
    assert (load().settle_s, load().rate) == (5, 2.5)


def test_a_folder_that_may_not_be_searched_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_path: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "is_file", refused)
    with pytest.raises(ConfigError, match=r"\.env cannot be read: PermissionError"):
        load()


@pytest.mark.parametrize("blank", [" ", "\r", "\t \n"])
def test_a_blank_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch, blank: str) -> None:
    for name in ("HUMANAPI_CLIENT_ID", "HUMANAPI_APP_KEY", "HUMANAPI_APP_KEY_FILE", "HUMANSYNC_RATE", "REDIS_URL"):
        monkeypatch.setenv(name, blank)
    assert load() == Settings()
    assert not load().has_credentials


def test_a_key_of_which_only_blanks_are_set_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMANAPI_CLIENT_ID", "client")
    monkeypatch.setenv("HUMANAPI_APP_KEY", " ")
    with pytest.raises(ConfigError, match="HUMANAPI_CLIENT_ID is set but HUMANAPI_APP_KEY is not"):
        load()


def test_a_name_without_prefix_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE", "3")
    monkeypatch.setenv("KINDS", "weights")
    assert (load().rate, len(load().kinds)) == (10.0, 16)


def test_kinds_are_those_named_in_the_order_of_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMANSYNC_KINDS", "weights, Sleeps,weights,")
    assert load().kinds == ("weights", "sleeps")


def test_one_kind_may_have_a_period_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("HUMANSYNC_EVERY_S__MEALS=600\nHUMANSYNC_EVERY_S__SLEEPS=700\n")
    monkeypatch.setenv("HUMANSYNC_EVERY_S", "120")
    monkeypatch.setenv("HUMANSYNC_EVERY_S__SLEEPS", "30")
    settings = load()
    assert [settings.every(kind) for kind in ("weights", "meals", "sleeps")] == [120, 600, 30]


def test_credentials_come_in_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="HUMANAPI_CLIENT_ID and HUMANAPI_APP_KEY are not set"):
        load().credentials()
    monkeypatch.setenv("HUMANAPI_APP_KEY", "s3cret-key")
    with pytest.raises(ConfigError, match="HUMANAPI_APP_KEY is set but HUMANAPI_CLIENT_ID is not"):
        load()
    monkeypatch.setenv("HUMANAPI_CLIENT_ID", "client")
    assert load().credentials() == ("client", "s3cret-key")


def test_credentials_may_stand_in_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret-key\n")
    Path(".env").write_text("HUMANAPI_CLIENT_ID=client\nHUMANAPI_APP_KEY=other\n")
    monkeypatch.setenv("HUMANAPI_APP_KEY_FILE", str(tmp_path / "key"))  # the environment's file beats .env's value
    assert load().credentials() == ("client", "s3cret-key")


@pytest.mark.parametrize("content", [None, ""])
def test_a_file_without_a_key_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    monkeypatch.setenv("HUMANAPI_APP_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigError, match=r"^HUMANAPI_APP_KEY_FILE names"):
        load()


def test_a_value_and_a_file_contradict_each_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HUMANAPI_APP_KEY", "s3cret-key")
    monkeypatch.setenv("HUMANAPI_APP_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigError, match="are both set"):
        load()


def test_no_message_and_no_repr_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMANAPI_CLIENT_ID", "client")
    monkeypatch.setenv("HUMANAPI_APP_KEY", "s3cret-key")
    monkeypatch.setenv("DATABASE_URL", "postgresql://ann:s3cret@db/health")
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@cache/0")
    assert "s3cret" not in repr(load())
    assert "s3cret" not in str(load())
    assert "s3cret" not in pretty_repr(load())
    for name, value in (
        ("HUMANAPI_APP_KEY", "s3cret with a space"),
        ("HUMANAPI_CLIENT_ID", "s3cret/../x"),
        ("DATABASE_URL", "mysql://ann:s3cret@db/health"),
        ("REDIS_URL", "http://:s3cret@cache/0"),
        # no rule finds a secret in an address that is wrong: what is shown of it is its scheme
        ("HUMANAPI_BASE_URL", "https://s3cretkey@api.example/v1"),
        ("DATABASE_URL", "mysql://ann:s3cret with a space@db/health"),
        ("DATABASE_URL", "ann:s3cret@db/health"),
        ("DATABASE_URL", "postgresql:/ann:s3cret@db/health"),
        ("REDIS_URL", "redis://:s3cret"),
    ):
        with monkeypatch.context() as context:
            context.setenv(name, value)
            with pytest.raises(ConfigError) as caught:
                load()
        assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_file_that_cannot_be_read_is_not_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"s3cret-\xff")
    monkeypatch.setenv("HUMANAPI_APP_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(ConfigError, match="HUMANAPI_APP_KEY_FILE names a file that cannot be read") as caught:
        load()
    assert caught.value.__suppress_context__


def test_a_path_that_is_none_is_named() -> None:
    Path(".env").write_bytes(b"HUMANAPI_APP_KEY_FILE=a\x00b\n")
    with pytest.raises(ConfigError, match=r"^HUMANAPI_APP_KEY_FILE names a file that cannot be read"):
        load()


def test_the_old_spelling_of_postgresql_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://ann:pw@db/health")
    assert load().database_url == "postgresql://ann:pw@db/health"


def test_redis_is_known_to_be_set_from_either_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "rediss://cache/1")
    assert load().has_redis


def test_an_unreadable_env_file_is_named() -> None:
    Path(".env").write_bytes(b"HUMANSYNC_RATE=\xff\xfe\n")
    with pytest.raises(ConfigError, match=r"\.env cannot be read"):
        load()


def test_choices_are_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUMANSYNC_LOG_FORMAT", "JSON")
    assert load().log_format is LogFormat.JSON


def test_settings_do_not_change() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        load().rate = 5  # type: ignore[misc] # what the test is about
