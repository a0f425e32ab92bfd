from humansync.state.local import PROCESSES, LocalBudget


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_requests_of_one_process_lie_evenly_at_its_share_of_the_rate() -> None:
    clock = Clock()
    budget = LocalBudget(PROCESSES * 2.0, clock)  # two a second for each process
    assert [budget.wait_s() for _ in range(4)] == [0.0, 0.5, 1.0, 1.5]
    clock.now += 1.75
    assert budget.wait_s() == 0.25
    clock.now += 60  # an idle minute earns no burst
    assert [budget.wait_s() for _ in range(2)] == [0.0, 0.5]


def test_no_limit_is_no_wait() -> None:
    budget = LocalBudget(0.0, Clock())
    assert [budget.wait_s() for _ in range(3)] == [0.0, 0.0, 0.0]
