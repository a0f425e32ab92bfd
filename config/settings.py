"""The environment, read once and validated: the only reader of it.

A wrong value stops the process at start with one sentence that names the variable and what is
allowed; no such sentence carries a secret.
"""

import os
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
from dotenv import dotenv_values

from humansync.errors import ConfigError
from humansync.kinds import KINDS
from humansync.redaction import one_line, redact_url
from humansync.timespec import FORMS, parse_time

#: Variables that may come as `<NAME>_FILE`, naming a file that holds the value.
FROM_FILE = ("HUMANAPI_CLIENT_ID", "HUMANAPI_APP_KEY")
EVERY_S = "HUMANSYNC_EVERY_S"
#: Begins the name of a single kind's period.
_EVERY_S_OF = f"{EVERY_S}__"

_DAY_S = 86_400
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


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set, validated; made by `load`."""

    client_id: str | None = None
    app_key: str | None = None
    base_url: str = "https://api.humanapi.co/v1"
    #: beside the code that runs: nothing to set up
    database_url: str = "sqlite:///var/humansync.db"
    redis_url: str = "redis://127.0.0.1:6379/0"
    kinds: tuple[str, ...] = tuple(KINDS)
    #: as written; `humansync.timespec.parse_time` makes an instant of it
    since: str = "30d"
    #: the provider asks for frequent, small queries; five minutes keep a page from filling up
    every_s: int = 300
    every_s_by_kind: dict[str, int] = {}
    #: writers of the API that are up to two minutes late are still seen by the first read
    settle_s: int = 120
    #: later ones by the next passes, for a quarter of an hour
    overlap_s: int = 900
    #: polite: no limit is documented
    rate: float = 10.0
    concurrency: int | None = None
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.TEXT
    #: names of the fields that were set, rather than left to their defaults
    given: frozenset[str] = frozenset()

    @property
    def has_credentials(self) -> bool:
        """Whether client id and app key are set."""
        return self.client_id is not None and self.app_key is not None

    @property
    def has_redis(self) -> bool:
        """Whether `REDIS_URL` is set, rather than left to its default."""
        return "redis_url" in self.given

    def credentials(self) -> tuple[str, str]:
        """Return client id and app key; ConfigError where they are not set."""
        if self.client_id is None or self.app_key is None:
            raise ConfigError(
                "HUMANAPI_CLIENT_ID and HUMANAPI_APP_KEY are not set: put the Client ID and the App Key "
                "of your app into the environment or into .env"
            )
        return self.client_id, self.app_key

    def every(self, kind: str) -> int:
        """Return beat's period for one kind, in seconds."""
        return self.every_s_by_kind.get(kind, self.every_s)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        hidden = {"app_key": self.app_key and "***"}
        hidden |= {name: redact_url(getattr(self, name)) for name in ("database_url", "redis_url")}
        return [(name, hidden.get(name, getattr(self, name))) for name in self.__struct_fields__]


class Variable(NamedTuple):
    """Where a field comes from."""

    name: str
    type: Any
    #: ends the sentence about a wrong value
    allowed: str
    #: what its type does not say: returns the value to use, or raises ValueError
    checked: Callable[[Any], Any] = lambda value: value


def load(env_file: Path | str | None = ".env") -> Settings:
    """Return the settings of the environment and of `env_file`, the environment first; ConfigError where one is wrong."""
    texts = {**_spelled(_of_file(env_file)), **_spelled(os.environ)}
    values = {field: _value(known, texts[known.name]) for field, known in VARIABLES.items() if known.name in texts}
    periods = {
        name.removeprefix(_EVERY_S_OF).lower(): text for name, text in texts.items() if name.startswith(_EVERY_S_OF)
    }
    if periods:
        values["every_s_by_kind"] = {kind: _period(kind, text) for kind, text in periods.items()}
    settings = Settings(**values, given=frozenset(values))
    if (settings.client_id is None) != (settings.app_key is None):
        lone, other = FROM_FILE if settings.client_id else FROM_FILE[::-1]
        raise ConfigError(f"{lone} is set but {other} is not: set both, or neither")
    return settings


def _of_file(env_file: Path | str | None) -> Mapping[str, str | None]:
    """Return what `env_file` says, if it is there."""
    try:
        if env_file is None or not Path(env_file).is_file():
            return {}
        return dotenv_values(env_file, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{env_file} cannot be read: {type(error).__name__}") from None  # it may quote the file


def _spelled(variables: Mapping[str, str | None]) -> dict[str, str]:
    """Return our variables of one source, by their names in capitals; an empty or blank one is as good as none."""
    ours = {name.upper(): text.strip() for name, text in variables.items() if text and text.strip()}
    texts = {known.name: ours[known.name] for known in VARIABLES.values() if known.name in ours}
    texts |= {name: text for name, text in ours.items() if name.startswith(_EVERY_S_OF)}
    for name in FROM_FILE:
        path = ours.get(f"{name}_FILE")
        if not path:
            continue
        if name in ours:
            raise ConfigError(f"{name} and {name}_FILE are both set: set one of them")
        try:
            texts[name] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:  # ValueError: no UTF-8, or no path at all
            # The cause may quote the file.
            raise ConfigError(f"{name}_FILE names a file that cannot be read: {type(error).__name__}") from None
        if not texts[name]:
            raise ConfigError(f"{name}_FILE names an empty file")
    return texts


def _period(kind: str, text: str) -> int:
    """Return the period of a single kind."""
    if kind not in KINDS:
        raise ConfigError(f"{_EVERY_S_OF}{one_line(kind.upper())} names no kind: the kinds are {', '.join(KINDS)}")
    period: int = _value(VARIABLES["every_s"]._replace(name=f"{_EVERY_S_OF}{kind.upper()}"), text)
    return period


def _value(variable: Variable, text: str) -> Any:
    """Return the value that a text stands for. Raises ConfigError: one sentence, without the text where it is secret."""
    try:
        return variable.checked(msgspec.convert(text, variable.type, strict=False))
    except (msgspec.ValidationError, ValueError):
        if variable.name in FROM_FILE:
            shown = ""
        elif variable.name in _ADDRESSES:
            scheme = _SCHEME.match(text)
            shown = f"='{scheme[0]}…'" if scheme else ""
        else:
            shown = f"={text[:60]!r}"
        # The cause would show the value, which may be a secret.
        raise ConfigError(f"{variable.name}{shown} is wrong; allowed is {variable.allowed}") from None


# --- what is allowed ------------------------------------------------------------------------------


def _plain(key: str) -> str:
    """Check an App Key: it goes into a header, before a colon."""
    if not key.isascii() or not key.isprintable() or " " in key or ":" in key:
        raise ValueError
    return key


def _http(address: str) -> str:
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


def _database(address: str) -> str:
    # Hosting platforms hand out the old spelling, which SQLAlchemy no longer takes.
    if address.startswith("postgres://"):
        address = f"postgresql{address.removeprefix('postgres')}"
    return _with_scheme(address, _DATABASES)


def _broker(address: str) -> str:
    return _with_scheme(address, _BROKERS)


def _with_scheme(address: str, schemes: tuple[str, ...]) -> str:
    scheme, _, rest = address.partition("://")
    if scheme not in schemes or not rest or not address.isprintable():
        raise ValueError
    _ = urlsplit(address).port  # a port that is no number raises ValueError
    return address


def _kinds(text: str) -> tuple[str, ...]:
    """Return the kinds named, once each, in the order of the catalogue."""
    named = {name.strip().lower() for name in text.split(",")} - {""}
    if not named or not named <= KINDS.keys():
        raise ValueError
    return tuple(kind for kind in KINDS if kind in named)


def _past(text: str) -> str:
    now = datetime.now(UTC)
    if parse_time(text, now) > now:
        raise ValueError
    return text.strip()


def _finite(number: float) -> float:
    if not isfinite(number):
        raise ValueError
    return number


_OfADay = Annotated[int, msgspec.Meta(ge=0, le=_DAY_S)]
#: By field of `Settings`.
VARIABLES: dict[str, Variable] = {
    "client_id": Variable(
        "HUMANAPI_CLIENT_ID",
        Annotated[str, msgspec.Meta(pattern=r"\A[\w.-]+\Z")],
        "the Client ID of your app: letters, digits, - and _",
    ),
    "app_key": Variable("HUMANAPI_APP_KEY", str, "the App Key of your app: text without spaces", _plain),
    "base_url": Variable("HUMANAPI_BASE_URL", str, "an http:// or https:// address", _http),
    "database_url": Variable(
        "DATABASE_URL",
        str,
        "a SQLAlchemy URL of SQLite or PostgreSQL, such as sqlite:///var/humansync.db "
        "or postgresql://user:password@host/name",
        _database,
    ),
    "redis_url": Variable(
        "REDIS_URL", str, "a redis://, rediss:// or unix:// address, such as redis://127.0.0.1:6379/0", _broker
    ),
    "kinds": Variable("HUMANSYNC_KINDS", str, f"a comma-separated list of kinds out of {', '.join(KINDS)}", _kinds),
    "since": Variable("HUMANSYNC_SINCE", str, f"in the past: {FORMS}", _past),
    "every_s": Variable(EVERY_S, Annotated[int, msgspec.Meta(ge=1, le=_DAY_S)], "a number of seconds from 1 to 86400"),
    "settle_s": Variable("HUMANSYNC_SETTLE_S", _OfADay, "a number of seconds from 0 to 86400"),
    "overlap_s": Variable("HUMANSYNC_OVERLAP_S", _OfADay, "a number of seconds from 0 to 86400"),
    "rate": Variable(
        "HUMANSYNC_RATE",
        Annotated[float, msgspec.Meta(ge=0, le=10_000)],
        "a number of requests per second up to 10000, 0 for no limit",
        _finite,
    ),
    "concurrency": Variable(
        "HUMANSYNC_CONCURRENCY", Annotated[int, msgspec.Meta(ge=1, le=1000)], "a number from 1 to 1000"
    ),
    "log_level": Variable(
        "HUMANSYNC_LOG_LEVEL", str, f"one of {', '.join(LogLevel)}", lambda text: LogLevel(text.lower())
    ),
    "log_format": Variable(
        "HUMANSYNC_LOG_FORMAT", str, f"one of {', '.join(LogFormat)}", lambda text: LogFormat(text.lower())
    ),
}
