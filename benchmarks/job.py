"""The job that every contender gets: where the records are, where they go, and as what. Written as one JSON file."""

import base64
import json
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from humansync.kinds import KINDS, Field, Kind, Read, Type, columns
from humansync.store.tables import KIND_TABLES

#: how the bare loop and the Celery script name a column's type
_CASTS = {
    Type.TEXT: "text",
    Type.UNIT: "text",
    Type.NUMBER: "double precision",
    Type.BOOLEAN: "boolean",
    Type.INSTANT: "timestamptz",
    Type.DATE: "date",
    Type.JSON: "jsonb",
}


@dataclass(frozen=True, slots=True)
class Job:
    """Records of some kinds, all of them with `updatedAt` in `[since, before)`."""

    api: str
    client_id: str
    app_key: str
    kinds: tuple[str, ...]
    since: datetime
    before: datetime
    #: records of each kind, for contenders that cut their windows by hand
    records: int
    database_url: str = ""
    redis_url: str = ""
    processes: int = 2
    #: of each process
    threads: int = 4
    #: whether humansync is told that number too, or chooses its own
    pinned: bool = False
    #: humansync's settings: requests a second, and how close to now it reads
    rate: float = 0.0
    settle_s: int = 120

    def on(self, database_url: str) -> "Job":
        """Return the same job for another database."""
        return replace(self, database_url=database_url)

    def write(self, path: Path) -> Path:
        """Write the job as the contenders read it."""
        path.write_text(json.dumps(self.document()))
        return path

    def document(self) -> dict[str, Any]:
        """Return everything that a contender needs to know; none of them imports anything of ours."""
        token = base64.b64encode(f"{self.app_key}:".encode()).decode()
        return {
            "users_url": f"{self.api}/apps/{self.client_id}/users",
            "authorization": f"Basic {token}",
            "since": self.since.isoformat(),
            "before": self.before.isoformat(),
            "records": self.records,
            "database_url": self.database_url,
            "redis_url": self.redis_url,
            "processes": self.processes,
            "threads": self.threads,
            "kinds": [_kind(KINDS[name]) for name in self.kinds],
        }


def _kind(kind: Kind) -> dict[str, Any]:
    return {
        "name": kind.name,
        "path": kind.path,
        "windowed": kind.read is Read.WINDOWED,
        "identity": kind.identity,
        "units": kind.units,
        "columns": [_column(field) for field in columns(kind)],
    }


def _column(field: Field) -> dict[str, Any]:
    return {
        "name": field.column,
        "key": field.key,
        "type": _CASTS[field.type],
        "unit": field.type is Type.UNIT,
    }


def tables(kinds: tuple[str, ...], *, lite: bool = False) -> list[str]:
    """Return the statements that make humansync's own tables of records, without its ledger."""
    dialect: sa.Dialect = (sqlite if lite else postgresql).dialect()
    statements = []
    for name in kinds:
        table: sa.Table = KIND_TABLES[name]
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes]
    return statements
