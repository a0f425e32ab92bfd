"""Fixtures for what lives in Redis."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from humansync.state.shared import Shared

Open = Callable[..., Shared]


@pytest.fixture
def opened(redis_url: str) -> Iterator[Open]:
    """Give a function that opens one more process's view of an empty Redis."""
    with ExitStack() as stack:
        yield lambda rate_per_s=0.0: stack.enter_context(Shared(redis_url, rate_per_s=rate_per_s))


@pytest.fixture
def shared(opened: Open) -> Shared:
    """Give one view without a rate limit."""
    return opened()
