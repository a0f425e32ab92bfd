"""A list of rows that behaves like the API, and a loop that reads it with the real decisions."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from humansync import pages
from humansync.errors import TooLarge
from humansync.kinds import KINDS, Read
from humansync.ledger import KindState, Purpose, State, WindowRow
from humansync.windows import Window, merge

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SETTLE_S = 120.0


@dataclass(slots=True)
class ModelApi:
    """Rows by identity with their `updatedAt`; each switch is one ambiguity of the API."""

    rows: dict[str, datetime]
    seed: int = 0
    order: str = "event-desc"
    #: so many servers answer in turn, each in an order of its own
    servers: int = 1
    since_inclusive: bool = False
    before_inclusive: bool = False
    truncates: bool = False
    cap: int = 500
    with_total: bool = False
    with_link: bool = False
    wrong_total: int = 0
    #: share of pages, of those that are not the last, that hold 1 to 3 rows fewer than they should
    shortened: float = 0.0
    #: rows that are counted and left out
    filtered: frozenset[str] = frozenset()
    #: an answer of more rows is too large to be read
    fits: int = 500
    #: place of a row that is served twice
    doubled: int | None = None
    #: rows that change (leave every closed window) after each request
    departures: int = 0
    now: datetime = NOW
    requests: int = 0
    chance: random.Random = field(init=False)
    #: where each server's own order puts a row, from 0 to 1
    server_places: dict[tuple[int, str], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def _key(self, identity: str) -> tuple[float, str]:
        server = self.requests % self.servers
        if (server, identity) not in self.server_places:
            self.server_places[server, identity] = random.Random(f"{self.seed + server}:{identity}").random()
        mixed = self.server_places[server, identity]
        updated = self.rows[identity]
        place = {
            "event-desc": -mixed,
            "updated-asc": updated.timestamp(),
            "updated-desc": -updated.timestamp(),
            "per-user": int(mixed * 40),
            "shuffled": self.chance.random() if self.order == "shuffled" else 0,
        }[self.order]
        return place, identity

    def _selected(self, updated: datetime, since: datetime, before: datetime) -> bool:
        seen = updated.replace(microsecond=0) if self.truncates else updated
        after = seen >= since if self.since_inclusive else seen > since
        return after and (seen <= before if self.before_inclusive else seen < before)

    def ask(self, ask: pages.Ask) -> pages.Facts:
        """Answer one request, then let rows leave. TooLarge if it holds more than fit."""
        self.requests += 1
        chosen = [i for i, updated in self.rows.items() if self._selected(updated, ask.since, ask.before)]
        chosen.sort(key=self._key)
        size = min(ask.limit, self.cap)
        if ask.offset + size < len(chosen) and self.chance.random() < self.shortened:
            size = max(1, size - self.chance.randint(1, 3))
        if self.doubled is not None:
            chosen.insert(self.doubled, chosen[self.doubled])
        page = [i for i in chosen[ask.offset : ask.offset + size] if i not in self.filtered]
        if len(page) > self.fits:
            raise TooLarge("the answer exceeds the limit")
        facts = pages.Facts(
            len(page),
            page,
            [self.rows[i] for i in page],
            self.now,
            max(0, len(chosen) + self.wrong_total) if self.with_total else None,
            (ask.offset + len(page) < len(chosen)) if self.with_link else None,
        )
        self.leave(self.departures)
        return facts

    def leave(self, count: int) -> None:
        """Let `count` random rows change now."""
        for identity in self.chance.sample(sorted(self.rows), min(count, len(self.rows))):
            self.rows[identity] = self.now


@dataclass(slots=True)
class Reading:
    """What a whole read of some windows came to."""

    stored: dict[str, datetime]
    covered: list[Window]
    requests: int
    steps: list[str]


def read(
    api: ModelApi,
    window: Window,
    *,
    kind: str = "activities",
    density: float | None = None,
    largest_page: int = 0,
    on_step: Callable[[WindowRow, pages.Step], None] = lambda _row, _step: None,
) -> Reading:
    """Read a window to its end, in the order the queue would: breadth first."""
    queue = deque([WindowRow(1, kind, window, Purpose.LIVE, State.OWED, 0)])
    state = KindState(kind, largest_page=largest_page)
    stored: dict[str, datetime] = {}
    covered: list[Window] = []
    steps: list[str] = []
    known = density
    while queue:
        assert len(steps) < 20_000, "the reader does not come to an end"
        row = queue.popleft()
        step = pages.presplit(row, state, density)
        if step is None:
            ask = pages.request(row, state)
            try:
                facts = replace(api.ask(ask), density=known)
            except TooLarge:
                steps.append("too large")
                queue.append(replace(row, walk=replace(row.walk, limit=ask.limit // 2)))
                continue
            fresh = 0
            for identity, updated in zip(facts.identities, facts.updated, strict=True):
                if identity not in stored or stored[identity] < updated:
                    stored[identity] = updated
                    fresh += 1
            if KINDS[kind].read is Read.WHOLE:
                facts = replace(facts, updated=[])
            step = pages.settle(row, state, replace(facts, fresh=fresh), settle_s=SETTLE_S)
            state = replace(
                state,
                largest_page=step.largest or state.largest_page,
                page_cap=step.cap or state.page_cap,
            )
            if step.done is not None:
                covered.append(step.done)
                known = facts.received / step.done.seconds
        steps.append(step.why)
        on_step(row, step)
        if step.children:
            queue.extend(replace(row, window=child, state=State.OWED, walk=step.walk) for child in step.children)
        elif step.dropped:
            continue
        elif step.state is State.DONE:
            covered.append(step.window or row.window)
        else:
            queue.append(replace(row, window=step.window or row.window, state=step.state, walk=step.walk))
    return Reading(stored, merge(covered), api.requests, steps)


def spread(count: int, window: Window, seed: int = 0) -> dict[str, datetime]:
    """Return rows spread evenly over a window, to the millisecond."""
    chance = random.Random(seed)
    return {
        f"{chance.getrandbits(96):024x}": window.since + timedelta(milliseconds=chance.randrange(window.seconds * 1000))
        for _ in range(count)
    }
