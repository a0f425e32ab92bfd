"""humansync: a Human API client that keeps a database complete, and can prove it."""

__version__ = "0.1.0"
