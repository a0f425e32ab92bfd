"""The database: records, ledger, migrations. The only package that speaks SQL."""

from humansync.store.engine import make_engine
from humansync.store.schema import migrate, schema_version
from humansync.store.store import Store
from humansync.store.totals import Totals

__all__ = ["Store", "Totals", "make_engine", "migrate", "schema_version"]
