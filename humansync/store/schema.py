"""Bring the schema to this version, and tell which version it is. The only part that needs Alembic.

Alembic is slow to import, and most processes never need it: hence the imports inside.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from humansync.store.engine import WRITES, translated

if TYPE_CHECKING:
    from alembic.config import Config

#: Ours alone, in case the database is shared with another application that uses Alembic.
VERSION_TABLE = "sync_schema"
#: The revision that this version of humansync wants, known without Alembic; a test holds it to the migrations.
HEAD = "0003"
_FOLDER = Path(__file__).with_name("migrations")
#: An arbitrary number that all processes of humansync agree on.
_LOCK = 7_202_611_240


def migrate(engine: sa.Engine) -> None:
    """Bring the schema to this version. Safe to call from several processes at once: one does the work.

    All of it is one transaction on both databases. Raises StoreUnavailable if the database is.
    """
    if _revision(engine) == HEAD:
        return
    from alembic import command  # noqa: PLC0415 -- slow to import

    with translated(), engine.execution_options(**{WRITES: True}).begin() as connection:
        if engine.dialect.name == "postgresql":
            # a table of millions may take its time, and so may the process before us
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _revision(engine: sa.Engine) -> str | None:
    """Return the revision of the database; None where there is no schema."""
    with translated(), engine.connect() as connection:
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return None
        found = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar_one_or_none()
        return str(found) if found is not None else None


def schema_version(engine: sa.Engine) -> tuple[str | None, str]:
    """Return the revision of the database (None: no schema) and the one that this version wants."""
    return _revision(engine), HEAD


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 -- slow to import

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
