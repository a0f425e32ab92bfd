"""Measures humansync beside its rivals: the same records, the same machine, the same run. `make bench`."""
