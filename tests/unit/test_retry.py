"""Errors become actions by a table."""

import pytest

from humansync import errors
from humansync.retry import ATTEMPTS, REFUSALS, Action, backoff_s, decide, means_nothing


@pytest.mark.section9(34, 35, 36, 37, 40)
@pytest.mark.parametrize(
    ("error", "attempts", "proven", "action"),
    [
        (errors.Unavailable("x", status=500), 0, False, Action.RETRY),
        (errors.Unavailable("x"), ATTEMPTS - 1, True, Action.PARK),
        (errors.Uncertain("x"), 0, True, Action.RETRY),
        (errors.Hollow("x", status=200), ATTEMPTS + 5, True, Action.RETRY),
        (errors.Throttled("x", status=429, after_s=7), 50, True, Action.WAIT),
        (errors.TooLarge("x"), 0, True, Action.SHRINK),
        (errors.Unauthorized("x", status=401), 0, True, Action.RETRY),
        (errors.Unauthorized("x", status=401), REFUSALS - 1, True, Action.STOP),
        (errors.NotOffered("x", status=404), REFUSALS - 1, False, Action.DISABLE),
        (errors.NotOffered("x", status=403), REFUSALS - 1, True, Action.PARK),
        (errors.BadRequest("x", status=400), REFUSALS - 1, True, Action.PARK),
        (errors.FilterIgnored("x"), REFUSALS - 1, True, Action.PARK),
    ],
)
def test_each_error_leads_to_its_action(error: errors.ApiError, attempts: int, proven: bool, action: Action) -> None:
    assert decide(error, attempts=attempts, limit=500, proven=proven, random=0.5).action is action


@pytest.mark.section9(38)
def test_an_empty_object_stands_for_nothing_when_it_is_given_often_enough() -> None:
    assert not means_nothing(REFUSALS - 1, gives_lists=False)
    assert means_nothing(REFUSALS, gives_lists=False)
    assert not means_nothing(ATTEMPTS - 1, gives_lists=True)
    assert means_nothing(ATTEMPTS, gives_lists=True)  # the window would be parked


@pytest.mark.section9(40)
def test_the_smallest_page_that_is_still_too_large_is_not_shrunk_for_ever() -> None:
    assert decide(errors.TooLarge("x"), attempts=0, limit=1, proven=True, random=0).action is Action.RETRY
    assert decide(errors.TooLarge("x"), attempts=ATTEMPTS - 1, limit=1, proven=True, random=0).action is Action.PARK


@pytest.mark.section9(36)
def test_the_api_says_how_long_a_throttled_kind_waits() -> None:
    assert (
        decide(errors.Throttled("x", status=429, after_s=7), attempts=0, limit=500, proven=True, random=0).after_s == 7
    )
    assert (
        decide(errors.Throttled("x", status=429, after_s=1e9), attempts=0, limit=9, proven=True, random=0).after_s
        == 3600
    )


@pytest.mark.parametrize(
    ("attempts", "random", "expected"),
    [
        (0, 1.0, 0.5),  # 0.5 * 2^0
        (3, 1.0, 4.0),  # 0.5 * 2^3
        (3, 0.25, 1.0),  # a quarter of it
        (20, 1.0, 30.0),  # the cap
        (5000, 1.0, 30.0),  # parked for weeks
        (3, 0.0, 0.0),  # full jitter reaches down to nothing
    ],
)
def test_back_off_is_exponential_with_full_jitter(attempts: int, random: float, expected: float) -> None:
    assert backoff_s(attempts, random) == expected
