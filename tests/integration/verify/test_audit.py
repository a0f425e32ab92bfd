"""The audit: old history is proven little by little, cheaply, behind everything else; what is lost comes back."""

from datetime import datetime, timedelta
from itertools import count

import pytest

from humansync import audit, proofs
from humansync.audit import Audited
from humansync.errors import Unavailable
from humansync.kinds import KINDS
from tests.integration.verify.places import KIND, NOW, NoRedis, Place, loaded

TURN_S = 600.0
DAY = timedelta(days=1)


class Locks(NoRedis):
    """A Redis that knows locks alone."""

    def __init__(self, place: Place) -> None:
        self._clock = place.clock
        self._until: dict[str, datetime] = {}

    def lock(self, kind: str, token: str, lease_s: float) -> bool:
        del token
        if self._until.get(kind, self._clock.now()) > self._clock.now():
            return False
        self._until[kind] = self._clock.now() + timedelta(seconds=lease_s)
        return True


@pytest.fixture
def audited(place: Place) -> Place:
    """Give an installation with 20 days of history, 1,500 records."""
    loaded(place, 1500)
    place.parts.shared = Locks(place)
    place.clock.chances = ((number * 0.618) % 1 for number in count())  # by lot, and yet the same each time
    return place


def turn(place: Place, *kinds: str, requests: int = 4) -> Audited:
    place.clock.sleep(TURN_S)
    return audit.audit(place.parts, kinds or (KIND,), place.slot, requests=requests, turn_s=TURN_S)


def share(place: Place) -> float:
    return proofs.standing(place.store.coverage(KIND), place.store.proofs().get(KIND, ())).share


def test_turns_prove_all_that_is_old_and_then_rest(audited: Place) -> None:
    shares, spent = [0.0], []
    while (done := turn(audited)).what == "compared":
        spent.append(done.requests)
        shares.append(share(audited))
        assert len(shares) < 30
    assert done.what == "all is proven"
    assert shares == sorted(shares)
    assert shares[-1] > 0.85  # of thirty days all but the last three
    assert max(spent) <= 4
    assert len(audited.store.proofs()[KIND]) == 1
    audited.clock.sleep(8 * 86_400)
    audited.sync()
    assert turn(audited).what == "compared"


def test_what_is_missing_or_stale_comes_back_and_what_is_extra_is_reported(audited: Place) -> None:
    ids = audited.ids()
    audited.sql(f"DELETE FROM {KIND} WHERE id = :id", {"id": ids[7]})
    audited.sql(f"UPDATE {KIND} SET source = 'altered' WHERE id = :id", {"id": ids[8]})
    audited.world.delete(KIND, identities=[ids[9]])
    found = 0
    while (done := turn(audited)).what == "compared":
        found += done.differences
    assert found == 3
    stored = audited.store.versions(KINDS[KIND])
    assert ids[7] in stored
    assert ids[9] in stored
    assert sum(each.differences for each in audited.store.proofs()[KIND]) == 1
    assert audited.verify().extra == {ids[9]}


def test_a_record_that_changed_a_moment_ago_is_no_difference(audited: Place) -> None:
    audited.api.between = lambda _: audited.world.change(KIND, 2)
    found = 0
    while (done := turn(audited)).what == "compared":
        found += done.differences
        audited.clock.sleep(300)
        between, audited.api.between = audited.api.between, lambda _: None
        audited.sync()
        audited.api.between = between
    assert found == 0


def test_a_window_with_more_than_a_turn_allows_is_proven_as_far_as_it_was_read(audited: Place) -> None:
    until = NOW - 6 * DAY
    audited.world.load([KIND], 6000, 0.02, until=until)  # a burst: the density of all history tells nothing of it
    audited.store.reset(KIND, NOW - 25 * DAY)
    audited.sync()
    turns = 0
    while (done := turn(audited)).what != "all is proven":
        turns += 1
        assert done.requests <= 20  # the first part of the burst, not all of its 6,000 records
        assert turns < 100
    assert share(audited) > 0.85


# --- behind everything else -----------------------------------------------------------------------


def test_a_deployment_at_work_is_left_alone(audited: Place) -> None:
    audited.clock.sleep(600)
    before = audited.api.requests
    from humansync import sync  # noqa: PLC0415 -- beside the helper of the same name

    sync.plan_kind(audited.parts, KIND)  # a window is owed, and nobody reads it yet
    assert turn(audited) == Audited("busy", busy=True)
    assert audited.api.requests == before


def test_two_schedulers_make_one_turn(audited: Place) -> None:
    assert turn(audited).what == "compared"
    second = audit.audit(audited.parts, (KIND,), audited.slot, requests=4, turn_s=TURN_S)
    assert second == Audited("another turn was just now")


def test_without_redis_there_is_no_audit(audited: Place) -> None:
    audited.parts.shared = NoRedis()
    assert turn(audited) == Audited("Redis is away")


def test_an_api_that_cannot_be_read_keeps_no_other_window_from_its_turn(audited: Place) -> None:
    def some(request: int) -> None:
        if request % 30 < 10:
            raise Unavailable("the API answered 500", status=500)

    audited.api.between = some
    outcomes = {turn(audited).what for _ in range(12)}
    assert outcomes >= {"compared"}
    assert share(audited) > 0


def test_paused_kinds_and_those_without_times_are_left_out(audited: Place) -> None:
    audited.store.set_kind(KIND, paused=True)
    loaded(audited, 10, ["genetic_traits"])
    assert turn(audited, KIND, "genetic_traits").what == "all is proven"


@pytest.mark.parametrize(("rate", "requests"), [(0, 40), (0.1, 4), (10, 30), (1000, 40)])
def test_a_turn_spends_a_small_share_of_the_budget(rate: float, requests: int) -> None:
    assert audit.allowance(rate, 600) == requests
