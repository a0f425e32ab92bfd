"""Records that appear later than their own time says are counted, and so can the overlap be set from facts."""

import logging

import pytest

from humansync import lateness, reading, sync
from humansync.lateness import Lateness
from tests.integration.verify.places import KIND, NOW, Place, loaded


def late(place: Place) -> Lateness | None:
    return lateness.summary(place.store.late().get(KIND, ()), place.clock.now())


def test_what_a_first_load_and_punctual_passes_bring_is_not_late(place: Place) -> None:
    loaded(place, 600)
    for _ in range(3):
        place.clock.sleep(300)
        place.world.add(KIND, 3)
        place.sync()
    assert late(place) is None


@pytest.mark.section9(14)
def test_a_record_behind_what_was_complete_is_counted_by_how_far(place: Place) -> None:
    loaded(place, 600)  # complete to two minutes ago
    place.clock.sleep(300)
    place.world.add(KIND, 3, late_by_s=600)  # 180 s behind what was complete
    place.world.add(KIND, 1, late_by_s=1200)  # 780 s behind: the overlap has still reached it
    place.sync()
    found = late(place)
    assert found is not None
    assert found.records == 4
    assert found.longest_s == pytest.approx(780, abs=5)
    assert found.percentile(0.5) == pytest.approx(180, abs=120)
    place.clock.sleep(300)
    place.sync()  # reads the same ones again
    assert late(place) == found


def test_what_a_backfill_brings_is_not_late(place: Place) -> None:
    loaded(place, 600)
    place.sql(f"DELETE FROM {KIND}")
    planned = sync.plan_kind(place.parts, KIND, (NOW.replace(day=1, hour=0), NOW.replace(hour=1)))
    for step in planned.follow_ups:
        reading.read(place.parts, step.window_id, step.epoch)
    assert late(place) is None


@pytest.mark.parametrize(("late_by_s", "warns"), [(600, False), (1200, True)])
def test_lateness_near_the_overlap_is_logged_once(
    place: Place, caplog: pytest.LogCaptureFixture, late_by_s: float, warns: bool
) -> None:
    loaded(place, 600)
    place.clock.sleep(300)
    place.world.add(KIND, 1, late_by_s=late_by_s)
    place.sync()
    with caplog.at_level(logging.WARNING, "humansync.sync"):
        for _ in range(3):
            place.clock.sleep(300)
            place.sync()
    said = [record for record in caplog.records if "HUMANSYNC_OVERLAP_S" in record.message]
    assert len(said) == warns
