"""How the API says that there is nothing: an empty object that means it, or one that is a slip."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sync_kinds", sa.Column("gives_lists", sa.Boolean(), nullable=False, server_default=sa.false()))
