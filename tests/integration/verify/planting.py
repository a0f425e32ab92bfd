"""Spoil a database on purpose, in every way that a comparison must find. Returns what was done, as it must be reported."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from humansync.kinds import Kind, Type, columns
from humansync.store import Store
from humansync.store.tables import KIND_TABLES


@dataclass(slots=True)
class Planted:
    """What a comparison must report."""

    missing: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    extra: set[str] = field(default_factory=set)
    #: how each of them was spoilt
    ways: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.missing) + len(self.stale) + len(self.extra)


def plant(store: Store, kind: Kind, errors: int, seed: int = 0) -> Planted:
    """Plant so many errors of all sorts among the stored records of a kind: no record has two."""
    chance = random.Random(seed)
    table, planted = KIND_TABLES[kind.name], Planted()
    with store.engine.begin() as connection:
        rows = connection.execute(sa.select(table).order_by(table.c.updated_at, table.c.id)).mappings().all()
        # The oldest stays: behind it the API's silence would prove nothing, and nothing would be deleted.
        chosen = chance.sample(rows[1:], errors)
        ways = [
            _deleted,
            _aged,
            _aged_whole,
            _altered_payload,
            _altered_column,
            _altered_both,
            _emptied,
            _ahead,
            _invented,
        ]
        for number, row in enumerate(chosen):
            way = ways[number % len(ways)]
            way(connection, kind, dict(row), planted, chance)
            planted.ways[row["id"]] = way.__name__
    return planted


def _update(connection: sa.Connection, kind: Kind, row: dict[str, Any], planted: Planted, **changes: Any) -> None:
    table = KIND_TABLES[kind.name]
    done = connection.execute(sa.update(table).where(table.c.id == row["id"]).values(changes))
    assert done.rowcount == 1
    planted.stale.add(row["id"])


def _deleted(
    connection: sa.Connection, kind: Kind, row: dict[str, Any], planted: Planted, _chance: random.Random
) -> None:
    table = KIND_TABLES[kind.name]
    connection.execute(sa.delete(table).where(table.c.id == row["id"]))
    planted.missing.add(row["id"])


def _aged(connection: sa.Connection, kind: Kind, row: dict[str, Any], planted: Planted, chance: random.Random) -> None:
    """As if the latest version had never come: within the range, and in its own second too."""
    back = timedelta(milliseconds=chance.choice((1, 400, 61_000, 86_400_000)))
    _update(connection, kind, row, planted, updated_at=row["updated_at"] - back)


def _aged_whole(
    connection: sa.Connection, kind: Kind, row: dict[str, Any], planted: Planted, chance: random.Random
) -> None:
    older: datetime = row["updated_at"] - timedelta(seconds=chance.randrange(1, 10**6))
    payload = {**row["payload"], "updatedAt": older.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
    _update(connection, kind, row, planted, updated_at=older, payload=payload)


def _altered_payload(
    connection: sa.Connection, kind: Kind, row: dict[str, Any], planted: Planted, chance: random.Random
) -> None:
    key = chance.choice(sorted(row["payload"].keys() - {"id", "updatedAt"}))
    _update(connection, kind, row, planted, payload={**row["payload"], key: "altered"})


def _altered_column(
    connection: sa.Connection, kind: Kind, row: dict[str, Any], planted: Planted, chance: random.Random
) -> None:
    """Any typed column but the version and the key; the payload says what it always said."""
    field_ = chance.choice([each for each in columns(kind) if each.column not in {"id", "updated_at"}])
    value: Any = row[field_.column]
    other = {
        Type.TEXT: "altered",
        Type.UNIT: "altered",
        Type.NUMBER: (value or 0) + 0.5 if field_.type is Type.NUMBER else None,
        Type.BOOLEAN: value is not True,
        Type.INSTANT: row["updated_at"] - timedelta(days=1000),
        Type.DATE: row["updated_at"].date() - timedelta(days=1000),
        Type.JSON: {"altered": True},
    }[field_.type]
    _update(connection, kind, row, planted, **{field_.column: other})


def _altered_both(
    connection: sa.Connection, kind: Kind, row: dict[str, Any], planted: Planted, _chance: random.Random
) -> None:
    _update(connection, kind, row, planted, source="altered", payload={**row["payload"], "source": "altered"})


def _emptied(
    connection: sa.Connection, kind: Kind, row: dict[str, Any], planted: Planted, _chance: random.Random
) -> None:
    _update(connection, kind, row, planted, source=None)


def _ahead(connection: sa.Connection, kind: Kind, row: dict[str, Any], planted: Planted, chance: random.Random) -> None:
    """A version that never was, and that no later one of the next days would replace."""
    _update(
        connection, kind, row, planted, updated_at=row["updated_at"] + timedelta(seconds=chance.choice((0.001, 7200)))
    )


def _invented(
    connection: sa.Connection, kind: Kind, row: dict[str, Any], planted: Planted, chance: random.Random
) -> None:
    made = f"{chance.getrandbits(96):024x}"
    connection.execute(
        sa.insert(KIND_TABLES[kind.name]), {**row, "id": made, "payload": {**row["payload"], "id": made}}
    )
    planted.extra.add(made)
