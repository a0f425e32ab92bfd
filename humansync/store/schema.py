"""Bring the schema to this version, and tell which version it is. The only part that needs Alembic.

Alembic is slow to import, and most processes never need it, nor does an empty database: hence the imports inside.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from humansync.store.engine import WRITES, translated
from humansync.store.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

#: Ours alone, in case the database is shared with another application that uses Alembic.
VERSION_TABLE = "sync_schema"
#: The revision that this version of humansync wants, known without Alembic; a test holds it to the migrations.
HEAD = "0003"
#: As Alembic makes it.
_VERSION = sa.Table(
    VERSION_TABLE,
    sa.MetaData(),
    sa.Column("version_num", sa.String(32), nullable=False),
    sa.PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
_FOLDER = Path(__file__).with_name("migrations")
#: An arbitrary number that all processes of humansync agree on.
_LOCK = 7_202_611_240


def migrate(engine: sa.Engine) -> None:
    """Bring the schema to this version. Safe to call from several processes at once: one does the work.

    All of it is one transaction on both databases. Raises StoreUnavailable if the database is.
    """
    with translated(), engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    with translated(), engine.execution_options(**{WRITES: True}).begin() as connection:
        if engine.dialect.name == "postgresql":
            # a table of millions may take its time, and so may the process before us
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        revision = _revision(connection)
        if revision is None:
            create(connection)
        elif revision != HEAD:
            upgrade(connection)


def create(connection: sa.Connection) -> None:
    """Make today's schema in an empty database: what all revisions together make, without importing what they need."""
    metadata.create_all(connection, checkfirst=False)
    _VERSION.create(connection, checkfirst=True)
    connection.execute(sa.insert(_VERSION).values(version_num=HEAD))


def upgrade(connection: sa.Connection, revision: str = HEAD) -> None:
    """Take the steps from the database's revision to another; from none they begin with the first."""
    from alembic import command  # noqa: PLC0415 -- slow to import

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _revision(connection: sa.Connection) -> str | None:
    """Return the revision of the database; None where there is no schema."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none()
    return str(found) if found is not None else None


def schema_version(engine: sa.Engine) -> tuple[str | None, str]:
    """Return the revision of the database (None: no schema) and the one that this version wants."""
    with translated(), engine.connect() as connection:
        return _revision(connection), HEAD


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 -- slow to import

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    return config
