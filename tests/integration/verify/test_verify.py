"""What differs is found, all of it and nothing else, on both databases, while others change what is compared."""

import pytest

from humansync.kinds import KINDS
from tests.integration.verify.places import Place, loaded
from tests.integration.verify.planting import plant


@pytest.mark.parametrize("kind", ["heart_rates", "sleeps", "activity_summaries", "locations"])
def test_planted_errors_are_all_found_none_falsely_and_mended(place: Place, kind: str) -> None:
    loaded(place, 1500, [kind])
    planted = plant(place.store, KINDS[kind], 90)
    found = place.verify(kind)
    assert found.missing == planted.missing
    assert {planted.ways[each] for each in planted.stale - found.stale} == set()
    assert found.stale == planted.stale
    assert found.extra == planted.extra
    assert found.upstream == 1500
    assert found.mended == 0
    again = place.verify(kind, repair=True)
    assert (again.missing, again.stale, again.extra) == (planted.missing, planted.stale, planted.extra)
    assert again.mended == 90
    after = place.verify(kind)
    assert after.differences == 0
    assert after.upstream == after.stored == 1500
