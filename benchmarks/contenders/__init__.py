"""The programs that are measured: each a command of its own that brings a job's records into a database."""
