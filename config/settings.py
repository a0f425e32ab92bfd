"""The environment, read once and validated: the only reader of it.

A wrong value stops the process at start with one sentence that names the variable and what is
allowed; no such sentence carries a secret.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, PositiveInt, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from humansync.errors import ConfigError
from humansync.kinds import KINDS
from humansync.redaction import one_line, redact_url
from humansync.timespec import FORMS, parse_time

#: Variables that may come as `<NAME>_FILE`, naming a file that holds the value.
FROM_FILE = ("HUMANAPI_CLIENT_ID", "HUMANAPI_APP_KEY")
EVERY_S = "HUMANSYNC_EVERY_S"

_DAY_S = 86_400
_SECRETS = frozenset(FROM_FILE)
_ADDRESSES = frozenset({"DATABASE_URL", "REDIS_URL", "HUMANAPI_BASE_URL"})
_DATABASES = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")
_BROKERS = ("redis", "rediss", "unix", "redis+socket")
_HOST = re.compile(r"([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?")
#: What may be shown of an address that is wrong: nobody knows where in it a secret stands.
_SCHEME = re.compile(r"[a-z+]{1,20}://")


class LogLevel(StrEnum):
    """Least urgent level that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a log line looks."""

    TEXT = "text"
    JSON = "json"


def _variable(name: str, default: Any, allowed: str, **limits: Any) -> Any:
    """Return a field read from the variable `name`; `allowed` ends the sentence about a wrong value."""
    return Field(default, validation_alias=name, description=allowed, **limits)


class Settings(BaseSettings):
    """Everything that can be set, validated; made by `load`."""

    model_config = SettingsConfigDict(
        frozen=True, env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore"
    )

    client_id: str | None = _variable(
        "HUMANAPI_CLIENT_ID", None, "the Client ID of your app: letters, digits, - and _", pattern=r"^[\w.-]+$"
    )
    app_key: SecretStr | None = _variable("HUMANAPI_APP_KEY", None, "the App Key of your app: text without spaces")
    base_url: str = _variable("HUMANAPI_BASE_URL", "https://api.humanapi.co/v1", "an http:// or https:// address")
    #: beside the code that runs: nothing to set up
    database_url: str = _variable(
        "DATABASE_URL",
        "sqlite:///var/humansync.db",
        "a SQLAlchemy URL of SQLite or PostgreSQL, such as sqlite:///var/humansync.db "
        "or postgresql://user:password@host/name",
    )
    redis_url: str = _variable(
        "REDIS_URL",
        "redis://127.0.0.1:6379/0",
        "a redis://, rediss:// or unix:// address, such as redis://127.0.0.1:6379/0",
    )
    kinds: Annotated[tuple[str, ...], NoDecode] = _variable(
        "HUMANSYNC_KINDS", tuple(KINDS), f"a comma-separated list of kinds out of {', '.join(KINDS)}", min_length=1
    )
    #: as written; `humansync.timespec.parse_time` makes an instant of it
    since: str = _variable("HUMANSYNC_SINCE", "30d", f"in the past: {FORMS}")
    #: the provider asks for frequent, small queries; five minutes keep a page from filling up
    every_s: int = _variable("HUMANSYNC_EVERY_S", 300, "a number of seconds from 1 to 86400", ge=1, le=_DAY_S)
    every_s_by_kind: dict[str, Annotated[int, Field(ge=1, le=_DAY_S)]] = Field(
        default_factory=dict, description="a number of seconds from 1 to 86400"
    )
    #: writers of the API that are up to two minutes late are still seen by the first read
    settle_s: int = _variable("HUMANSYNC_SETTLE_S", 120, "a number of seconds from 0 to 86400", ge=0, le=_DAY_S)
    #: later ones by the next passes, for a quarter of an hour
    overlap_s: int = _variable("HUMANSYNC_OVERLAP_S", 900, "a number of seconds from 0 to 86400", ge=0, le=_DAY_S)
    #: polite: no limit is documented
    rate: float = _variable(
        "HUMANSYNC_RATE",
        10.0,
        "a number of requests per second up to 10000, 0 for no limit",
        ge=0,
        le=10_000,
        allow_inf_nan=False,
    )
    concurrency: PositiveInt | None = _variable("HUMANSYNC_CONCURRENCY", None, "a number from 1 to 1000", le=1000)
    log_level: LogLevel = _variable("HUMANSYNC_LOG_LEVEL", LogLevel.INFO, f"one of {', '.join(LogLevel)}")
    log_format: LogFormat = _variable("HUMANSYNC_LOG_FORMAT", LogFormat.TEXT, f"one of {', '.join(LogFormat)}")

    @property
    def has_credentials(self) -> bool:
        """Whether client id and app key are set."""
        return self.client_id is not None and self.app_key is not None

    @property
    def has_redis(self) -> bool:
        """Whether `REDIS_URL` is set, rather than left to its default."""
        return "redis_url" in self.model_fields_set

    def credentials(self) -> tuple[str, str]:
        """Return client id and app key; ConfigError where they are not set."""
        if self.client_id is None or self.app_key is None:
            raise ConfigError(
                "HUMANAPI_CLIENT_ID and HUMANAPI_APP_KEY are not set: put the Client ID and the App Key "
                "of your app into the environment or into .env"
            )
        return self.client_id, self.app_key.get_secret_value()

    def every(self, kind: str) -> int:
        """Return beat's period for one kind, in seconds."""
        return self.every_s_by_kind.get(kind, self.every_s)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        addresses = ("database_url", "redis_url")
        return [(n, redact_url(v) if n in addresses else v) for n, v in super().__repr_args__()]

    @field_validator("app_key")
    @classmethod
    def _plain_key(cls, key: SecretStr | None) -> SecretStr | None:
        text = key.get_secret_value() if key else "-"
        if not text.isascii() or not text.isprintable() or " " in text or ":" in text:
            raise ValueError
        return key

    @field_validator("base_url")
    @classmethod
    def _http(cls, address: str) -> str:
        parts = urlsplit(address)
        if (
            parts.scheme not in ("http", "https")
            or not parts.hostname
            or parts.query
            or parts.fragment
            or not address.isascii()
            or not address.isprintable()
            or any(each in address for each in "@\\ ")
        ):
            raise ValueError
        if not _HOST.fullmatch(parts.hostname):
            ip_address(parts.hostname)  # ValueError for what is no address either
        _ = parts.port  # a port that is no number raises ValueError
        return address.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, address: str) -> str:
        # Hosting platforms hand out the old spelling, which SQLAlchemy no longer takes.
        if address.startswith("postgres://"):
            address = f"postgresql{address.removeprefix('postgres')}"
        _known_scheme(address, _DATABASES)
        return address

    @field_validator("redis_url")
    @classmethod
    def _known_broker(cls, address: str) -> str:
        _known_scheme(address, _BROKERS)
        return address

    @field_validator("kinds", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        """Return the kinds named, once each, in the order of the catalogue."""
        if not isinstance(value, str):
            return value
        named = {name.strip().lower() for name in value.split(",")} - {""}
        if not named <= KINDS.keys():
            raise ValueError
        return tuple(kind for kind in KINDS if kind in named)

    @field_validator("since")
    @classmethod
    def _past(cls, text: str) -> str:
        now = datetime.now(UTC)
        if parse_time(text, now) > now:
            raise ValueError
        return text.strip()

    @field_validator("every_s_by_kind")
    @classmethod
    def _by_kind(cls, periods: dict[str, int]) -> dict[str, int]:
        return {kind.lower(): period for kind, period in periods.items()}

    @field_validator("log_level", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 -- part of pydantic's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the environment before `.env`, both with the spellings of `_Spelled`."""
        return init_settings, _Spelled(settings_cls, env_settings), _Spelled(settings_cls, dotenv_settings)


class _Spelled(PydanticBaseSettingsSource):
    """A source that also understands `<NAME>_FILE` and `HUMANSYNC_EVERY_S__<KIND>`."""

    def __init__(self, settings_cls: type[BaseSettings], source: PydanticBaseSettingsSource) -> None:
        super().__init__(settings_cls)
        self._source = source

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return what the wrapped source says."""
        return self._source.get_field_value(field, field_name)

    def __call__(self) -> dict[str, Any]:
        """Return the values by alias."""
        values = dict(self._source())
        if isinstance(self._source, EnvSettingsSource):
            values |= _from_files(self._source.env_vars) | _by_kind(self._source.env_vars)
        return values


def load(env_file: Path | str | None = ".env") -> Settings:
    """Return the settings of the environment and of `env_file`, the environment first; ConfigError where one is wrong."""
    try:
        settings = Settings(_env_file=env_file)
    except ValidationError as error:
        # The cause would show the values, secrets among them.
        raise ConfigError(_sentence(error)) from None
    except (SettingsError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{env_file} cannot be read: {type(error).__name__}") from None  # it may quote the file
    if (settings.client_id is None) != (settings.app_key is None):
        lone, other = FROM_FILE if settings.client_id else FROM_FILE[::-1]
        raise ConfigError(f"{lone} is set but {other} is not: set both, or neither")
    return settings


def _from_files(variables: Mapping[str, str | None]) -> dict[str, str]:
    """Return the values that stand in files."""
    values = {}
    for name in FROM_FILE:
        path = variables.get(f"{name}_FILE".lower())
        if not path:
            continue
        if variables.get(name.lower()):
            raise ConfigError(f"{name} and {name}_FILE are both set: set one of them")
        try:
            values[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no path at all
            # The cause may quote the file.
            raise ConfigError(f"{name}_FILE names a file that cannot be read: {type(error).__name__}") from None
        if not values[name]:
            raise ConfigError(f"{name}_FILE names an empty file")
    return values


def _by_kind(variables: Mapping[str, str | None]) -> dict[str, dict[str, str]]:
    """Return the periods of single kinds."""
    prefix = f"{EVERY_S}__".lower()
    periods = {
        name.removeprefix(prefix): value for name, value in variables.items() if name.startswith(prefix) and value
    }
    for kind in periods:
        if kind not in KINDS:
            raise ConfigError(f"{EVERY_S}__{one_line(kind.upper())} names no kind: the kinds are {', '.join(KINDS)}")
    return {"every_s_by_kind": periods} if periods else {}


def _known_scheme(address: str, schemes: tuple[str, ...]) -> None:
    scheme, _, rest = address.partition("://")
    if scheme not in schemes or not rest or not address.isprintable():
        raise ValueError
    _ = urlsplit(address).port  # a port that is no number raises ValueError


def _sentence(error: ValidationError) -> str:
    """Return one sentence about the first wrong value: its variable, the value unless secret, what is allowed."""
    first = error.errors(include_url=False, include_context=False)[0]
    name = str(first["loc"][0])
    field = next(f for n, f in Settings.model_fields.items() if name in (n, f.validation_alias))
    if name == "every_s_by_kind":
        name = f"{EVERY_S}__{str(first['loc'][1]).upper()}"
    value = str(first["input"])
    if name in _SECRETS:
        shown = ""
    elif name in _ADDRESSES:
        scheme = _SCHEME.match(value)
        shown = f"='{scheme[0]}…'" if scheme else ""
    else:
        shown = f"={value[:60]!r}"
    return f"{name}{shown} is wrong; allowed is {field.description}"
