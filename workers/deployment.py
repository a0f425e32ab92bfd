"""What an operator's command opens: settings, the database, Redis. The latter two are imported when they are opened."""
# ruff: noqa: PLC0415 -- see above

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from config.settings import Settings, load
from humansync.errors import HumansyncError
from workers.processes import VAR
from workers.redis_server import address, ask, socket_path

if TYPE_CHECKING:
    from humansync.state.shared import Shared
    from humansync.store import Store
    from tasks.runtime import Runtime


class SchemaOutdated(HumansyncError):
    """The tables are not those of this version."""


def settings() -> Settings:
    """Return the settings; where REDIS_URL is not set and `run` or `up` works in this folder, with its Redis."""
    found = load()
    if not found.has_redis and (url := embedded_url()) is not None:
        os.environ["REDIS_URL"] = url
        return load()
    return found


def embedded_url() -> str | None:
    """Return the address of the Redis that `run` or `up` has started in this folder; None where none answers."""
    folder = (VAR / "redis").absolute()
    if not folder.is_dir():
        return None
    path = socket_path(folder)
    return address(path) if ask(path, "PING").startswith(b"+PONG") else None


@contextmanager
def store(current: Settings) -> "Iterator[Store]":
    """Open the database. Raises SchemaOutdated, saying what to do."""
    from humansync.store import Store, make_engine

    opened = Store(make_engine(current.database_url))
    try:
        _check_schema(opened)
        yield opened
    finally:
        opened.close()


def _check_schema(opened: "Store") -> None:
    from humansync.store import schema_version

    found, wanted = schema_version(opened.engine)
    if found is None:
        raise SchemaOutdated("the database has no tables yet: run `humansync migrate`")
    if found != wanted:
        raise SchemaOutdated(
            f"the database's schema is at {found}, this version needs {wanted}: run `humansync migrate`"
        )


@contextmanager
def runtime(current: Settings) -> "Iterator[Runtime]":
    """Open all that a worker holds open. Raises ConfigError without credentials, SchemaOutdated."""
    from tasks.runtime import open_runtime

    opened = open_runtime(current)
    try:
        _check_schema(opened.parts.store)
        yield opened
    finally:
        opened.close()


@contextmanager
def shared(current: Settings) -> "Iterator[Shared]":
    """Open Redis; nothing is sent yet."""
    from humansync.state.shared import Shared

    opened = Shared(current.redis_url, rate_per_s=current.rate)
    try:
        yield opened
    finally:
        opened.close()
