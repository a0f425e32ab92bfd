"""INSERT with ON CONFLICT and RETURNING: both dialects have it, SQLAlchemy spells it once for each."""

from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Insert: TypeAlias = postgresql.Insert | sqlite.Insert


def insert(connection: sa.Connection, table: sa.Table) -> Insert:
    """Return the dialect's INSERT into a table."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)
