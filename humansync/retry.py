"""A request failed: what now? Pure; a table of errors and actions."""

from dataclasses import dataclass
from enum import StrEnum

from humansync import errors


class Action(StrEnum):
    """What happens to the window, its kind, or everything."""

    RETRY = "retry"  #: this page again after `after_s`
    WAIT = "wait"  #: the whole kind waits, not counted as a failure
    SHRINK = "shrink"  #: this page again with half the limit
    DISABLE = "disable"  #: the app does not offer this kind
    STOP = "stop"  #: the key is refused: every kind waits
    PARK = "park"  #: the window is set aside with its error and tried again slowly


@dataclass(frozen=True, slots=True)
class Decision:
    """An action and how long until it, in seconds."""

    action: Action
    after_s: float


#: Failures in a row before a window is parked: with full jitter below, about two minutes.
ATTEMPTS = 10
#: A refusal (400, 401, 403, 404) is believed when it was heard this often: gateways slip too.
REFUSALS = 3
#: Back-off grows from here ...
BASE_S = 0.5
#: ... to here.
CAP_S = 30.0
#: A parked window is tried again after this long: a changed API, a mended record.
PARKED_S = 900.0
#: Refused credentials are probed again after this long.
PROBE_S = 180.0
#: What an API that throttles without saying for how long is given.
THROTTLED_S = 2.0
#: The longest wait an API can impose by Retry-After.
LONGEST_WAIT_S = 3600.0


def backoff_s(attempts: int, random: float) -> float:
    """Return seconds to wait after `attempts` failures in a row: exponential with full jitter.

    random: uniform in [0, 1).
    """
    return float(random * min(CAP_S, BASE_S * 2.0 ** min(attempts, ATTEMPTS)))  # a parked window counts on


def means_nothing(in_a_row: int, *, gives_lists: bool) -> bool:
    """Whether an empty object or null, heard so many times in a row, stands for an empty list.

    gives_lists: the API has said it by an empty list before. Then it is a slip, unless it stays the only answer.
    """
    return in_a_row >= (ATTEMPTS if gives_lists else REFUSALS)


def decide(error: errors.ApiError, *, attempts: int, limit: int, proven: bool, random: float) -> Decision:
    """Return what follows from an error after `attempts` earlier failures in a row.

    limit: records asked for. proven: the kind has been read before, so it is offered.
    """
    wait_s = backoff_s(attempts, random)
    if isinstance(error, errors.Throttled):
        asked = error.after_s if error.after_s is not None else THROTTLED_S * (1 + random)
        return Decision(Action.WAIT, min(asked, LONGEST_WAIT_S))
    if isinstance(error, errors.TooLarge) and limit > 1:
        return Decision(Action.SHRINK, 0.0)
    refused = isinstance(error, errors.Unauthorized | errors.NotOffered | errors.BadRequest | errors.FilterIgnored)
    # An empty object that stays the only answer is believed in the end: no need to park.
    if attempts + 1 < (REFUSALS if refused else ATTEMPTS) or isinstance(error, errors.Hollow):
        return Decision(Action.RETRY, wait_s)
    if isinstance(error, errors.Unauthorized):
        return Decision(Action.STOP, PROBE_S)
    if isinstance(error, errors.NotOffered) and not proven:
        return Decision(Action.DISABLE, 0.0)
    return Decision(Action.PARK, PARKED_S)
