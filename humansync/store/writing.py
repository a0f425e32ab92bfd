"""INSERT with ON CONFLICT and RETURNING: both dialects have it, SQLAlchemy spells it once for each."""

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert(connection: sa.Connection, table: sa.Table) -> "postgresql.Insert | sqlite.Insert":
    """Return the dialect's INSERT into a table."""
    # Each is imported where it is used: a dialect brings all its drivers, and half of SQLAlchemy's start is theirs.
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert(table)
