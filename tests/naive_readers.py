"""What the usual ways of reading an offset-paged API lose, beside humansync: `python -m tests.naive_readers`.

First: a day's window of 10,000 rows is read while rows of it keep changing. A row that changes leaves the window, and a
later window brings it; a row that stays and was never read is lost for good. Those are counted.

Second: a kind is asked every five minutes for what is new, and rows become visible up to a minute after their
`updatedAt`, as they do where several servers write.

With `--costs`: how many requests humansync's reader makes for windows of different density, and by which steps.
"""

import argparse
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from humansync import plan
from humansync.ledger import KindState
from humansync.pages import LIMIT, Ask
from humansync.windows import SECOND, Window
from tests.unit.reader_model import NOW, SETTLE_S, ModelApi, Reading, read, spread

DAY = Window(NOW - timedelta(days=1, hours=1), NOW - timedelta(hours=1))
ROWS = 10_000
#: rows that change after each request
CHANGES = (0, 1, 5, 20)
#: what a server may give at most, whatever it is asked for
CAP = 100


@dataclass(slots=True)
class Model(ModelApi):
    """The model of the API in an order that never changes. What changes depends on the seed and the request alone."""

    places: dict[str, float] = field(default_factory=dict)

    def _key(self, identity: str) -> tuple[float, str]:
        if identity not in self.places:
            self.places[identity] = random.Random(f"{self.seed}:{identity}").random()
        return self.places[identity], identity

    def leave(self, count: int) -> None:
        """Let `count` random rows change now."""
        chance = random.Random(f"{self.seed}/{self.requests}")
        for identity in chance.sample(sorted(self.rows), min(count, len(self.rows))):
            self.rows[identity] = self.now


def _ask(offset: int) -> Ask:
    return Ask(DAY.since, DAY.before, LIMIT, offset)


def until_short_page(api: ModelApi) -> set[str]:
    """Return what a loop reads that adds the limit to the offset until a page is not full."""
    found: set[str] = set()
    for offset in range(0, 10 * ROWS, LIMIT):
        page = api.ask(_ask(offset))
        found.update(page.identities)
        if page.received < LIMIT:
            break
    return found


def planned_offsets(api: ModelApi) -> set[str]:
    """Return what is read when the first page's total tells all offsets, and these are fetched in parallel."""
    first = api.ask(_ask(0))
    found = set(first.identities)
    offsets = list(range(LIMIT, first.total or 0, LIMIT))
    random.Random(api.seed).shuffle(offsets)
    for offset in offsets:
        found.update(api.ask(_ask(offset)).identities)
    return found


def humansync(api: ModelApi) -> set[str]:
    """Return what humansync's own decisions read."""
    return set(read(api, DAY).stored)


READERS: dict[str, Callable[[ModelApi], set[str]]] = {
    "offset += 500 until a short page": until_short_page,
    "offsets planned from the total, fetched in parallel": planned_offsets,
    "humansync": humansync,
}


def lost(reader: Callable[[ModelApi], set[str]], seed: int, *, changes: int = 0, cap: int = LIMIT) -> tuple[int, int]:
    """Return how many rows that stayed in the window were never read, and the requests it took."""
    api = Model(spread(ROWS, DAY, seed), seed=seed, departures=changes, cap=cap, with_total=True)
    found = reader(api)
    stayed = {identity for identity, updated in api.rows.items() if updated < DAY.before}
    return len(stayed - found), api.requests


# --- rows that appear late ----------------------------------------------------------------------

HOURS = 2
EVERY = timedelta(minutes=5)
#: rows become visible up to so many seconds after their `updatedAt`
LAG_S = 60
Poll = Callable[[ModelApi], set[str]]


def cursor_of_the_last_run() -> Poll:
    """Return a poll that asks for what was updated since the poll before, whatever the paging."""
    cursor = NOW

    def poll(api: ModelApi) -> set[str]:
        nonlocal cursor
        since, cursor = cursor, api.now
        return {identity for identity, updated in api.rows.items() if updated >= since}

    return poll


def humansyncs_plan() -> Poll:
    """Return a poll that does what humansync's planner and reader decide."""
    state = KindState("activities", start=NOW, swept_at=NOW)
    policy = plan.Policy(SETTLE_S, overlap_s=900, since="30d")
    covered: list[Window] = []

    def poll(api: ModelApi) -> set[str]:
        found: set[str] = set()
        for window, _purpose in plan.live(state, covered, [], policy, api.now, step_s=5).windows:
            reading = read(api, window)
            covered.extend(reading.covered)
            found.update(reading.stored)
        return found

    return poll


POLLS: dict[str, Callable[[], Poll]] = {
    "updated_since = time of the last run": cursor_of_the_last_run,
    "humansync": humansyncs_plan,
}


def lost_late(make_poll: Callable[[], Poll], seed: int) -> int:
    """Return how many rows are never found, of one a second for some hours, and an hour more to find them."""
    chance = random.Random(seed)
    rows = {f"{i}": NOW + timedelta(seconds=i) for i in range(HOURS * 3600)}
    visible = {name: updated + timedelta(seconds=chance.uniform(0, LAG_S)) for name, updated in rows.items()}
    api, poll, found = Model({}, seed=seed), make_poll(), set[str]()
    for number in range(1, (HOURS + 1) * 12 + 1):
        api.now = NOW + EVERY * number
        api.rows = {name: updated for name, updated in rows.items() if visible[name] <= api.now}
        found |= poll(api)
    return len(rows.keys() - found)


def table(seeds: int) -> Iterator[str]:
    """Yield the lines of the first table."""
    settings: list[dict[str, int]] = [{"changes": changes} for changes in CHANGES] + [{"cap": CAP}]
    yield f"rows lost of {ROWS:,}, mean of {seeds} runs (requests)"
    yield f"{'rows that change after each request':52}" + "".join(f"{each:>15}" for each in (*CHANGES, f"0, cap {CAP}"))
    for name, reader in READERS.items():
        cells = []
        for setting in settings:
            runs = [lost(reader, seed, **setting) for seed in range(seeds)]
            mean_lost, mean_requests = (sum(column) / seeds for column in zip(*runs, strict=True))
            cells.append(f"{mean_lost:,.1f} ({mean_requests:.0f})")
        yield f"{name:52}" + "".join(f"{cell:>15}" for cell in cells)


def table_late(seeds: int) -> Iterator[str]:
    """Yield the lines of the second table."""
    yield f"rows lost of {HOURS * 3600:,} that become visible up to {LAG_S} s late, mean of {seeds} runs"
    for name, make_poll in POLLS.items():
        mean = sum(lost_late(make_poll, seed) for seed in range(seeds)) / seeds
        yield f"{name:52}{mean:>15,.1f}"


# --- what it costs ------------------------------------------------------------------------------

MONTH = Window(NOW - timedelta(days=30, hours=1), NOW - timedelta(hours=1))
HOT = Window(DAY.since, DAY.since + SECOND)
BURST = Window(DAY.since, DAY.since + timedelta(seconds=30))


def costs() -> Iterator[str]:
    """Yield a line a window: rows, requests, steps."""
    for rows, total in ((0, False), (480, False), (10_000, False), (10_000, True)):
        what = f"a month of {rows:,} rows, a new kind{', total sent' if total else ''}"
        yield _cost(what, Model(spread(rows, MONTH), with_total=total), MONTH)
    known = read(Model(spread(10_000, MONTH)), MONTH, density=10_000 / MONTH.seconds, largest_page=LIMIT)
    yield _line("a month of 10,000 rows, density known", known)
    yield _cost("a month of 2,500 rows, pages capped at 100", Model(spread(2_500, MONTH), cap=CAP), MONTH)
    yield _cost("a month with 3,000 rows in half a minute", Model(spread(3_000, BURST)), MONTH)
    yield _cost("a second of 3,000 rows, 20 changes a request", Model(spread(3_000, HOT), departures=20), HOT)
    yield _cost("a second of 1,500 rows, a new order each time", ModelApi(spread(1_500, HOT), order="shuffled"), HOT)
    yield _cost("a second of 1,500 rows, 4 servers in turn", ModelApi(spread(1_500, HOT), servers=4), HOT)


def _cost(what: str, api: ModelApi, window: Window) -> str:
    return _line(what, read(api, window))


def _line(what: str, reading: Reading) -> str:
    steps = ", ".join(f"{count} {why}" for why, count in Counter(reading.steps).items())
    return f"{what:46}{reading.requests:5} requests: {steps}"


def main() -> None:
    """Print both tables, or the costs."""
    parser = argparse.ArgumentParser(prog="python -m tests.naive_readers", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="runs for each figure")
    parser.add_argument("--costs", action="store_true", help="the requests of humansync's reader instead")
    asked = parser.parse_args()
    for lines in (costs(),) if asked.costs else (table(asked.seeds), [""], table_late(asked.seeds)):
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
