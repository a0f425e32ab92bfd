"""Everything that can go wrong, cut by what the caller does next.

Facts are attributes, messages are built from them, and no message carries a key, a human id or
health data: every one of them may end up in a log, in the ledger or on a terminal.
"""


class HumansyncError(Exception):
    """Root of the tree: one clear sentence, fit for a user's eyes."""


class ConfigError(HumansyncError):
    """A setting or an argument is wrong: the process stops (exit status 2)."""


# --- what the API did ---------------------------------------------------------------------------


class ApiError(HumansyncError):
    """A request to the API brought no usable page."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        #: HTTP status, None when there was no answer
        self.status = status


class Unavailable(ApiError):
    """Timeout, reset, truncated body, 5xx, or a body that is no JSON array: ask for the same page again."""

    def __init__(self, message: str, *, status: int | None = None, timed_out: bool = False) -> None:
        super().__init__(message, status=status)
        #: the API took longer than we wait
        self.timed_out = timed_out


class Hollow(Unavailable):
    """An empty object or null in place of a list: an empty page, or a slip."""


class Throttled(ApiError):
    """429, or 503 with Retry-After: the whole kind waits; not a failure."""

    def __init__(self, message: str, *, status: int, after_s: float | None) -> None:
        super().__init__(message, status=status)
        #: seconds the API asked us to wait, None when it did not say
        self.after_s = after_s


class TooLarge(ApiError):
    """The body is over the size limit or came too slowly: ask for fewer records."""


class Unauthorized(ApiError):
    """401: the key is refused; every kind stops until it is mended."""


class NotOffered(ApiError):
    """403 or 404 for one kind: from the start it means that the app has no such kind."""


class BadRequest(ApiError):
    """400 and other 4xx, or a redirect to another host: asking again would not help."""


class FilterIgnored(ApiError):
    """Rows outside the bounds asked for: the API did not apply the filter, nothing may be concluded."""


class Uncertain(ApiError):
    """Pages of one window contradict each other for longer than we care to try: read it again later."""


# --- what our own side did -----------------------------------------------------------------------


class StaleEpoch(HumansyncError):
    """Somebody else has moved this window on: drop what was read, change nothing."""


class StoreUnavailable(HumansyncError):
    """The database cannot be reached, is locked or full: back off, nothing is half-stored."""


class StoreRefused(HumansyncError):
    """The database refused a statement: a fault of ours that trying again does not mend. Names the class only."""

    def __init__(self, message: str, *, of_a_value: bool = False) -> None:
        super().__init__(message)
        #: a value was refused, so that the same statement without it may pass
        self.of_a_value = of_a_value


class StateUnavailable(HumansyncError):
    """Redis cannot be reached: go on with a small fixed share, the ledger knows the rest."""
