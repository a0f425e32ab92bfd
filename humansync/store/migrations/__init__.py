"""Revisions of the schema. A new one: `alembic revision`'s template is `script.py.mako`; a test compares the result."""
