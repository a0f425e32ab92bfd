"""What proves that nothing was lost: lateness, proven ranges, and how far a window reads again what was covered."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("sync_windows", sa.Column("covered_to", INSTANT, nullable=True))
    op.create_table(
        "sync_lateness",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("up_to_s", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("longest_s", sa.Double(), nullable=False),
        sa.Column("latest_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("kind", "up_to_s"),
    )
    op.create_table(
        "sync_proofs",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("since", INSTANT, nullable=False),
        sa.Column("before", INSTANT, nullable=False),
        sa.Column("proven_at", INSTANT, nullable=False),
        sa.Column("differences", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "since"),
    )
