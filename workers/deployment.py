"""What an operator's command opens: settings, the database, Redis."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from config.settings import Settings, load
from humansync.errors import HumansyncError
from humansync.state.shared import Shared
from humansync.store import Store, make_engine, schema_version
from workers.embedded import VAR
from workers.redis_server import ask, socket_path


class SchemaOutdated(HumansyncError):
    """The tables are not those of this version."""


def settings() -> Settings:
    """Return the settings; where REDIS_URL is not set and `run` or `up` works in this folder, with its Redis."""
    found = load()
    folder = (VAR / "redis").absolute()
    if not found.has_redis and folder.is_dir():
        path = socket_path(folder)
        if ask(path, "PING").startswith(b"+PONG"):
            os.environ["REDIS_URL"] = f"redis+socket://{path}?virtual_host=0"
            return load()
    return found


@contextmanager
def store(current: Settings) -> Iterator[Store]:
    """Open the database. Raises SchemaOutdated, saying what to do."""
    engine = make_engine(current.database_url)
    opened = Store(engine)
    try:
        found, wanted = schema_version(engine)
        if found is None:
            raise SchemaOutdated("the database has no tables yet: run `humansync migrate`")
        if found != wanted:
            raise SchemaOutdated(
                f"the database's schema is at {found}, this version needs {wanted}: run `humansync migrate`"
            )
        yield opened
    finally:
        opened.close()


@contextmanager
def shared(current: Settings) -> Iterator[Shared]:
    """Open Redis; nothing is sent yet."""
    opened = Shared(current.redis_url, rate_per_s=current.rate)
    try:
        yield opened
    finally:
        opened.close()
