"""One set-up of logging: a line for each thing that happened, its facts beside it, secrets never in it."""

import json
import logging
import logging.config
from abc import ABC, abstractmethod
from base64 import b64encode
from collections.abc import Mapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from config.settings import LogFormat, LogLevel, Settings
from humansync.redaction import redact

#: Loggers that say twice a page what the ledger and Flower know, or nothing an operator needs.
_CHATTY = ("celery.worker.strategy", "celery.app.trace", "celery.beat", "urllib3", "kombu", "amqp")
#: What every record has; the rest are facts.
#: `data` is Celery's copy of the message's own arguments.
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "data"}
#: A shorter secret would blot out ordinary words; within addresses it is redacted by its place.
_SECRET_MIN = 6
_NO_FACTS: Mapping[str, object] = {}
_bound: ContextVar[Mapping[str, object]] = ContextVar("bound", default=_NO_FACTS)


def configure(settings: Settings) -> None:
    """Set up the logging of this process."""
    logging.config.dictConfig(as_dict(settings))


def as_dict(settings: Settings) -> dict[str, Any]:
    """Return the configuration for `logging.config.dictConfig`; everything goes to stderr."""
    formatter = JsonLines if settings.log_format is LogFormat.JSON else TextLines
    quiet = LogLevel.WARNING if settings.log_level is LogLevel.INFO else settings.log_level
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": formatter, "secrets": secrets(settings)}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"level": settings.log_level.upper(), "handlers": ["stderr"]},
        "loggers": {name: {"level": quiet.upper()} for name in _CHATTY},
    }


def bind(**facts: object) -> Token[Mapping[str, object]]:
    """Add facts to every line of this thread or task from now on; `unbind` with the token takes them off."""
    return _bound.set({**_bound.get(), **facts})


def unbind(token: Token[Mapping[str, object]]) -> None:
    """Take off what `bind` added."""
    _bound.reset(token)


def secrets(settings: Settings) -> tuple[str, ...]:
    """Return every secret of the settings in every form that could turn up in a text, longest first."""
    found = {settings.client_id or ""}
    if settings.app_key is not None:
        found |= {settings.app_key, b64encode(f"{settings.app_key}:".encode()).decode()}
    for address in (settings.database_url, settings.redis_url):
        password = urlsplit(address).password or ""
        found |= {password, unquote(password)}
    found |= {json.dumps(secret)[1:-1] for secret in found}
    return tuple(sorted((secret for secret in found if len(secret) >= _SECRET_MIN), key=len, reverse=True))


class _Lines(logging.Formatter, ABC):
    """Formats one record as one line, in the subclass's form, without the secrets."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts = {**_bound.get(), **{k: v for k, v in vars(record).items() if k not in _PLAIN}}
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        instant = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return redact(self.line(record, instant, facts), self._secrets)

    @abstractmethod
    def line(self, record: logging.LogRecord, instant: str, facts: Mapping[str, object]) -> str:
        """Return the record in this form, secrets and all."""


class TextLines(_Lines):
    """`2026-01-31T12:00:00.000Z info    humansync.sync page kind=weights received=500`, for people."""

    def line(self, record: logging.LogRecord, instant: str, facts: Mapping[str, object]) -> str:
        """Return the record as text; a traceback follows on lines of its own."""
        words = [f"{instant} {record.levelname.lower():<7} {record.name} {record.getMessage()}"]
        words += [f"{name}={value}" for name, value in facts.items()]
        return "\n".join(part for part in (" ".join(words), record.exc_text, record.stack_info) if part)


class JsonLines(_Lines):
    """One JSON object a line, for machines: time, level, logger, message, then the facts."""

    def line(self, record: logging.LogRecord, instant: str, facts: Mapping[str, object]) -> str:
        """Return the record as JSON."""
        whole: dict[str, object] = {
            "time": instant,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **facts,
        }
        if record.exc_text:
            whole["traceback"] = record.exc_text
        if record.stack_info:
            whole["stack"] = record.stack_info
        return json.dumps(whole, default=str)
