"""What differs is found, all of it and nothing else, on both databases, while others change what is compared."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from humansync.errors import Unavailable
from humansync.kinds import KINDS
from humansync.records import parse
from humansync.simulator.faults import Fault
from humansync.verify import Incomplete
from tests.integration.verify.places import KIND, NOW, Place, loaded
from tests.integration.verify.planting import plant

DAY = timedelta(days=1)
#: A range that is compared in one piece, and holds the middle record of any number.
A_DAY: dict[str, Any] = {"since": NOW - 10.4 * DAY, "before": NOW - 9.6 * DAY}


def equals_the_api(place: Place, kind: str = KIND) -> bool:
    """Look for ourselves: every version stored is the API's, and no other."""
    truth = {each: datetime.fromisoformat(updated) for each, (updated, _) in place.world.truth(kind).items()}
    return place.store.versions(KINDS[kind]) == truth


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


# --- beside running syncs -------------------------------------------------------------------------


def test_records_that_change_while_they_are_compared_are_no_findings(place: Place) -> None:
    loaded(place, 3000)
    place.api.between = lambda _: place.world.change(KIND, 3)
    assert place.verify().differences == 0
    assert place.api.requests > 10


def test_records_that_change_and_come_in_while_they_are_compared_are_no_findings(place: Place) -> None:
    loaded(place, 3000)

    def busy(request: int) -> None:
        place.world.change(KIND, 2)
        place.world.add(KIND, 1)
        if request % 5 == 0:  # a worker passes by
            place.api.between = lambda _: None
            place.clock.sleep(150)
            place.sync()
            place.api.between = busy

    place.api.between = busy
    assert place.verify(repair=True).differences == 0
    place.api.between = lambda _: None
    place.clock.sleep(300)
    place.sync()
    assert equals_the_api(place)


def test_a_repair_beside_a_sync_never_goes_back_to_an_older_version(place: Place) -> None:
    loaded(place, 1500)
    plant(place.store, KINDS[KIND], 90)

    def newer(request: int) -> None:
        if request % 3 == 0:
            place.api.between = lambda _: None
            place.world.change(KIND, 20)
            place.clock.sleep(150)
            place.sync()
            place.api.between = newer

    place.api.between = newer
    place.verify(repair=True)
    place.api.between = lambda _: None
    place.clock.sleep(300)
    place.sync()
    assert place.verify(repair=True).differences <= 90
    assert place.verify().differences == 0
    assert equals_the_api(place)


def test_a_version_ahead_of_the_one_shown_is_looked_for_before_it_is_called_wrong(place: Place) -> None:
    loaded(place, 600)
    changed: list[str] = []

    def once(_: int) -> None:
        if not changed:
            changed.extend(place.world.change(KIND, 5))
            place.clock.sleep(150)
            place.api.between = lambda _: None
            place.sync()

    place.api.between = once
    assert place.verify().differences == 0
    assert changed


def at_the_second_look(place: Place, act: Callable[[], object]) -> None:
    """Let something happen before the second request of a comparison: where a day fits one page, that is the second look."""
    begun = place.api.requests

    def between(request: int) -> None:
        if request == begun + 2:
            act()

    place.api.between = between


def test_a_record_that_appears_between_two_looks_is_no_finding(place: Place) -> None:
    loaded(place, 600)
    gone = place.ids()[300]
    place.sql(f"DELETE FROM {KIND} WHERE id = :id", {"id": gone})
    at_the_second_look(place, lambda: place.world.add(KIND, 1, late_by_s=10 * 86_400))
    assert place.verify(**A_DAY).missing == {gone}


def test_a_record_that_the_api_hides_for_a_moment_is_no_finding(place: Place) -> None:
    loaded(place, 600)
    hidden = place.ids()[300]
    record = place.world.record(KIND, hidden)
    place.world.delete(KIND, identities=[hidden])
    at_the_second_look(place, lambda: place.world.put(KIND, record))
    assert place.verify(**A_DAY).differences == 0
    assert hidden in place.ids()


def test_a_version_that_the_api_shows_after_a_while_is_no_finding(place: Place) -> None:
    loaded(place, 600)
    ahead = place.ids()[300]
    place.sql(f"UPDATE {KIND} SET updated_at = :at WHERE id = :id", {"id": ahead, "at": "2026-02-19 13:00:00.000000"})
    record = {**dict(place.world.record(KIND, ahead)), "updatedAt": "2026-02-19T13:00:00.000Z"}  # type: ignore[call-overload]
    begun = place.api.requests
    place.api.between = lambda request: place.world.put(KIND, record) if request == begun + 3 else None
    assert place.verify(**A_DAY).differences == 0
    place.api.between = lambda _: None
    assert place.verify(**A_DAY).stale == {ahead}  # the version was right, the rest was never brought along


@pytest.mark.parametrize(("slow", "waits_s"), [(100, 40), (12, 70)])
def test_a_record_that_changes_whenever_anybody_looks_is_no_finding(place: Place, slow: int, waits_s: float) -> None:
    loaded(place, 3000)
    restless, begun = place.ids()[1500], place.api.requests

    def between(request: int) -> None:
        # A request that ends a minute in the future and waits for longer is answered too late.
        place.clock.sleep(waits_s if request < begun + slow else 1)
        place.world.change(KIND, identities=[restless])

    place.api.between = between
    assert place.verify(**A_DAY).differences == 0


def test_what_became_newer_after_it_was_compared_is_neither_mended_nor_removed(place: Place) -> None:
    loaded(place, 600)
    changed = place.ids()[300]
    kind, older = KINDS[KIND], parse(KINDS[KIND], [place.world.record(KIND, changed)])
    cell = place.store.stored_of(kind, [changed])[changed]
    place.world.change(KIND, identities=[changed])
    place.clock.sleep(300)
    place.sync()
    assert place.store.mend(kind, older, {}, place.clock.now()) == 0
    assert place.store.mend(kind, older, {changed: cell}, place.clock.now()) == 0
    assert place.store.remove(kind, {changed: cell}) == []
    assert equals_the_api(place)


# --- what may be deleted --------------------------------------------------------------------------


def test_what_vanished_at_the_api_is_extra_and_a_repair_deletes_it(place: Place) -> None:
    loaded(place, 600)
    gone = set(place.world.delete(KIND, identities=place.ids()[100:105]))
    assert place.verify().extra == gone
    assert place.verify(repair=True).mended == 5
    assert equals_the_api(place)


@pytest.mark.parametrize("times", [1, 5])
def test_a_hollow_answer_is_no_finding(place: Place, times: int) -> None:
    loaded(place, 600)
    place.store.set_kind(KIND, gives_lists=True)
    place.world.fail_next(Fault.NULL, times)
    found = place.verify()
    assert (found.differences, found.upstream) == (0, 600)


def test_an_api_that_has_lost_a_large_part_is_not_believed(place: Place) -> None:
    loaded(place, 600)
    place.world.delete(KIND, identities=place.ids()[100:400])
    found = place.verify(repair=True)
    assert (len(found.extra), found.mended, found.left) == (300, 0, 300)
    assert "too many" in found.notes[0]
    assert len(place.store.versions(KINDS[KIND])) == 600


def test_silence_about_times_that_the_api_shows_nothing_of_is_no_proof(place: Place) -> None:
    loaded(place, 600)
    place.world.delete(KIND, identities=place.ids()[:5])  # the oldest: as if it served no further back
    found = place.verify(repair=True)
    assert (len(found.extra), found.mended) == (5, 0)
    assert "may not serve that far back" in found.notes[0]


@pytest.mark.parametrize("updated", ["2026-02-19T12:00:00.000Z", "2026-02-25T12:00:00.000Z"])
def test_what_the_api_shows_in_a_form_that_cannot_be_stored_is_not_extra(place: Place, updated: str) -> None:
    loaded(place, 600)
    spoilt = place.ids()[300]
    record = {**dict(place.world.record(KIND, spoilt)), "updatedAt": updated}  # type: ignore[call-overload]
    place.world.put(KIND, record)
    place.api.spoilt = spoilt
    assert place.verify(**A_DAY, repair=True).extra == set()
    assert spoilt in place.store.versions(KINDS[KIND])


def test_a_record_whose_time_was_set_forward_becomes_itself_again(place: Place) -> None:
    loaded(place, 600)
    moved = place.ids()[10]
    place.sql(f"UPDATE {KIND} SET updated_at = (SELECT max(updated_at) FROM {KIND}) WHERE id = :id", {"id": moved})
    found = place.verify(since=NOW - 5 * DAY, repair=True)
    assert found.left == 0
    assert equals_the_api(place)


# --- kinds without times --------------------------------------------------------------------------


def test_genetic_traits_are_compared_whole(place: Place) -> None:
    kind = "genetic_traits"
    loaded(place, 700, [kind])
    assert place.verify(kind).differences == 0
    first, second, third = place.ids(kind)[:3]
    for statement, identity in (
        ("DELETE FROM genetic_traits WHERE human_id = :human AND description = :description", first),
        ("UPDATE genetic_traits SET trait = 'altered' WHERE human_id = :human AND description = :description", second),
        ("UPDATE genetic_traits SET description = 'x' WHERE human_id = :human AND description = :description", third),
    ):
        human, description = identity.split("\x1f")
        place.sql(statement, {"human": human, "description": description})
    invented = third.split("\x1f")[0] + "\x1fx"
    found = place.verify(kind, repair=True)
    assert (found.missing, found.stale, found.extra) == ({first, third}, {second}, {invented})
    assert found.mended == 4
    after = place.verify(kind)
    assert (after.differences, after.stored, after.upstream) == (0, 700, 700)
    place.clock.sleep(9 * 86_400)
    assert place.verify(kind).differences == 0
    assert len(place.store.proofs()[kind]) == 1


# --- which range ----------------------------------------------------------------------------------


def test_only_the_range_asked_for_is_compared(place: Place) -> None:
    loaded(place, 600)
    ids = place.ids()  # 30 a day, the oldest 20 days old
    place.sql(f"DELETE FROM {KIND} WHERE id = :id", {"id": ids[0]}, {"id": ids[300]}, {"id": ids[-1]})
    found = place.verify(since=NOW - 15 * DAY, before=NOW - 5 * DAY)
    assert found.missing == {ids[300]}
    assert found.upstream == pytest.approx(300, abs=2)


def test_what_no_pass_has_asked_for_yet_is_no_finding(place: Place) -> None:
    loaded(place, 600)
    place.world.add(KIND, 5)
    place.clock.sleep(400)
    late = place.clock.now()
    assert place.verify().differences == 0
    assert place.verify(before=late, every_s=lambda _: 600.0).differences == 0
    assert len(place.verify(before=late).missing) == 5


def test_a_kind_that_was_never_synced_claims_nothing(place: Place) -> None:
    found = place.verify("meals")
    assert (found.window, found.requests, found.differences) == (None, 0, 0)


# --- what it proves, and what it cannot do --------------------------------------------------------


def test_a_comparison_is_a_proof_and_differences_are_noted(place: Place) -> None:
    loaded(place, 600)
    place.verify()
    (proof,) = place.store.proofs()[KIND]
    assert (proof.differences, proof.window.before) == (0, place.store.coverage(KIND)[-1].before)
    place.sql(f"DELETE FROM {KIND} WHERE id = :id", {"id": place.ids()[3]})
    place.verify()
    assert sum(each.differences for each in place.store.proofs()[KIND]) == 1
    place.verify(repair=True)
    assert sum(each.differences for each in place.store.proofs()[KIND]) == 0


def test_faults_that_pass_are_waited_out(place: Place) -> None:
    loaded(place, 1500)
    place.world.fail_next(Fault("503"), 3)
    place.world.fail_next(Fault("cut"), 1)
    assert place.verify().differences == 0


def test_an_api_that_stays_away_ends_it_with_the_kind_named(place: Place) -> None:
    loaded(place, 600)

    def away(_: int) -> None:
        raise Unavailable("the API answered 500", status=500)

    place.api.between = away
    with pytest.raises(Incomplete, match=f"{KIND} cannot be compared: the API answered 500"):
        place.verify()
    assert place.store.proofs() == {}


def test_every_request_takes_its_place_in_the_budget_behind_the_syncs(place: Place) -> None:
    loaded(place, 1500)
    before = place.api.requests
    found = place.verify()
    assert place.slots == [(KIND, "backfill")] * found.requests
    assert place.api.requests - before == found.requests
