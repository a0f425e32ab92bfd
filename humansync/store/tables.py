"""Tables: one a kind, built from the catalogue, and the ledger's own.

A change here needs a revision in `migrations/versions`; a test compares the two.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from humansync.kinds import KINDS, Kind, Read, Type, columns
from humansync.ledger import State


class UtcDateTime(sa.TypeDecorator[datetime]):
    """Aware UTC in and out: timestamptz on PostgreSQL, `YYYY-MM-DD HH:MM:SS.ffffff` on SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse what is not an instant; SQLite stores it without its offset."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant has a UTC offset")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Give the offset back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class Payload(sa.TypeDecorator[object]):
    """JSON as sent; PostgreSQL keeps it binary, so that readers can index and query it."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[object]:
        """Return the type in a database; PostgreSQL's is imported for PostgreSQL alone."""
        if dialect.name != "postgresql":
            return dialect.type_descriptor(sa.JSON(none_as_null=True))
        from sqlalchemy.dialects.postgresql import JSONB  # noqa: PLC0415

        return dialect.type_descriptor(JSONB(none_as_null=True))


_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts up INTEGER keys only
_TYPES: dict[Type, Any] = {
    Type.TEXT: sa.Text(),
    Type.NUMBER: sa.Double(),
    Type.BOOLEAN: sa.Boolean(),
    Type.INSTANT: UtcDateTime(),
    Type.DATE: sa.Date(),
    Type.JSON: Payload(),
    Type.UNIT: sa.Text(),
}

metadata = sa.MetaData()


def _kind_table(kind: Kind) -> sa.Table:
    required = {*kind.identity, "updated_at"} if kind.read is Read.WINDOWED else set(kind.identity)
    table = sa.Table(
        kind.name,
        metadata,
        *(
            sa.Column(
                field.column,
                _TYPES[field.type],
                primary_key=field.column in kind.identity,
                nullable=field.column not in required,
            )
            for field in columns(kind)
        ),
        sa.Column("payload", Payload(), nullable=False),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("synced_at", UtcDateTime(), nullable=False),
    )
    if kind.read is Read.WINDOWED:
        sa.Index(f"ix_{kind.name}_updated_at", table.c.updated_at)
    return table


#: Table of each kind.
KIND_TABLES: dict[str, sa.Table] = {name: _kind_table(kind) for name, kind in KINDS.items()}

#: Records that cannot be rows. An overlap reads a record again: the hash keeps it from piling up.
rejected_records = sa.Table(
    "rejected_records",
    metadata,
    sa.Column("id", _KEY, primary_key=True),
    sa.Column("kind", sa.Text(), nullable=False),
    sa.Column("since", UtcDateTime(), nullable=False),
    sa.Column("before", UtcDateTime(), nullable=False),
    sa.Column("reason", sa.Text(), nullable=False),
    sa.Column("payload", sa.Text(), nullable=False),
    sa.Column("payload_hash", sa.Text(), nullable=False),
    sa.Column("seen_at", UtcDateTime(), nullable=False),
    sa.Index("uq_rejected_records_payload", "kind", "payload_hash", unique=True),
)

#: The ledger: docs of the columns are the fields of `ledger.WindowRow`; the rest here.
sync_windows = sa.Table(
    "sync_windows",
    metadata,
    sa.Column("id", _KEY, primary_key=True),
    sa.Column("kind", sa.Text(), nullable=False),
    sa.Column("since", UtcDateTime(), nullable=False),
    sa.Column("before", UtcDateTime(), nullable=False),
    sa.Column("purpose", sa.Text(), nullable=False),
    sa.Column("state", sa.Text(), nullable=False),
    sa.Column("epoch", sa.Integer(), nullable=False),
    sa.Column("walk", sa.JSON(), nullable=False),
    sa.Column("attempts", sa.Integer(), nullable=False),
    sa.Column("requests", sa.BigInteger(), nullable=False),
    # received, inserted or updated, rejected
    sa.Column("rows", sa.BigInteger(), nullable=False),
    sa.Column("changed", sa.BigInteger(), nullable=False),
    sa.Column("rejected", sa.BigInteger(), nullable=False),
    # a done row that stands for several: their sums have gone to sync_kinds
    sa.Column("folded", sa.Boolean(), nullable=False),
    sa.Column("not_before", UtcDateTime()),
    sa.Column("created_at", UtcDateTime(), nullable=False),
    sa.Column("touched_at", UtcDateTime(), nullable=False),
    sa.Column("done_at", UtcDateTime()),
    # the API's clock when the read began
    sa.Column("read_at", UtcDateTime()),
    # up to here the window reads again what was covered when it was planned; null where it reads nothing twice
    sa.Column("covered_to", UtcDateTime()),
    sa.Column("last_error", sa.Text()),
    sa.Index("ix_sync_windows_kind_state", "kind", "state"),
    sa.Index("ix_sync_windows_state_touched", "state", "touched_at"),
    # AUTOINCREMENT: an id in a late message must never mean another window
    sqlite_autoincrement=True,
)

#: States in which a window stands for a read that is still owed.
UNFINISHED = tuple(state.value for state in State if state is not State.DONE)
#: As text, because a partial index and the ON CONFLICT that means it must say the same.
UNFINISHED_SQL = sa.text("state IN ('owed', 'walking', 'failed')")
sa.Index(
    "uq_sync_windows_unfinished",
    sync_windows.c.kind,
    sync_windows.c.purpose,
    sync_windows.c.since,
    sync_windows.c.before,
    unique=True,
    sqlite_where=UNFINISHED_SQL,
    postgresql_where=UNFINISHED_SQL,
)

#: What lasts about a kind: the fields of `ledger.KindState`, and the sums of windows that are rows no more.
sync_kinds = sa.Table(
    "sync_kinds",
    metadata,
    sa.Column("kind", sa.Text(), primary_key=True),
    sa.Column("start", UtcDateTime()),
    sa.Column("paused", sa.Boolean(), nullable=False),
    sa.Column("disabled", sa.Text()),
    sa.Column("disabled_at", UtcDateTime()),
    sa.Column("page_cap", sa.Integer()),
    sa.Column("largest_page", sa.Integer(), nullable=False),
    sa.Column("gives_lists", sa.Boolean(), nullable=False, server_default=sa.false()),
    sa.Column("planned_at", UtcDateTime()),
    sa.Column("whole_read_at", UtcDateTime()),
    sa.Column("swept_at", UtcDateTime()),
    sa.Column("last_error", sa.Text()),
    sa.Column("last_error_at", UtcDateTime()),
    sa.Column("windows_done", sa.BigInteger(), nullable=False),
    sa.Column("requests", sa.BigInteger(), nullable=False),
    sa.Column("rows", sa.BigInteger(), nullable=False),
    sa.Column("changed", sa.BigInteger(), nullable=False),
    sa.Column("rejected", sa.BigInteger(), nullable=False),
    # rows and seconds of recent windows, older ones fading: the kind's density
    sa.Column("recent_rows", sa.Double(), nullable=False),
    sa.Column("recent_s", sa.Double(), nullable=False),
)

#: Late records by how late they were: a row for each class that has any (humansync/lateness.py).
sync_lateness = sa.Table(
    "sync_lateness",
    metadata,
    sa.Column("kind", sa.Text(), primary_key=True),
    # the class: up to so many seconds; 0 stands for beyond the last
    sa.Column("up_to_s", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("records", sa.BigInteger(), nullable=False),
    sa.Column("longest_s", sa.Double(), nullable=False),
    sa.Column("latest_at", UtcDateTime(), nullable=False),
)

#: Ranges compared with the API record by record, disjoint within a kind (humansync/proofs.py).
sync_proofs = sa.Table(
    "sync_proofs",
    metadata,
    sa.Column("kind", sa.Text(), primary_key=True),
    sa.Column("since", UtcDateTime(), primary_key=True),
    sa.Column("before", UtcDateTime(), nullable=False),
    sa.Column("proven_at", UtcDateTime(), nullable=False),
    # what was found different and could not be mended; 0 where the range is proven equal
    sa.Column("differences", sa.BigInteger(), nullable=False),
)

#: Facts about the whole installation, by name.
sync_meta = sa.Table(
    "sync_meta",
    metadata,
    sa.Column("key", sa.Text(), primary_key=True),
    sa.Column("value", sa.Text(), nullable=False),
)
