"""1,000 errors in a database of 100,000 records: `make prove-verify`. Not part of `make test`: it takes minutes."""

from pathlib import Path

import pytest

from tests.acceptance.planted import prove

pytestmark = pytest.mark.timeout(1800)


def test_a_thousand_errors_in_a_hundred_thousand_records(database_url: str, tmp_path: Path) -> None:
    kinds = ("heart_rates", "sleeps", "activity_summaries", "locations")
    prove(kinds, records=25_000, errors=250, database_url=database_url, folder=tmp_path)
