"""Run by Alembic: the revisions go through the connection, and in the transaction, that `schema.migrate` opened."""

from alembic import context

from humansync.store.schema import VERSION_TABLE
from humansync.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite cannot alter most of a table: Alembic copies it instead
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
