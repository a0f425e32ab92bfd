"""The simulated Human API without a network: records that can be asked for, changed and compared. Pure.

Time is a clock passed in, chance is seeded: the same calls bring the same answers, to the byte.
Instants inside are whole milliseconds since 1970.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from random import Random

import orjson

from humansync.kinds import KINDS
from humansync.simulator.faults import JSON_TYPE, Answer, Fault, refusal, spoil
from humansync.simulator.gate import Gate, Tally, answer_without_records
from humansync.simulator.instants import SECOND_MS, http_date, iso, to_ms
from humansync.simulator.load import Person
from humansync.simulator.ordering import Selector
from humansync.simulator.query import Ask, RefusedError, link, read
from humansync.simulator.stock import Feed, Stock
from humansync.simulator.switches import Switches

#: Where Link headers point when no request line says otherwise.
_BASE = "https://api.humanapi.co/v1/apps/simulator/users"


class World:
    """One simulated API. `query` is one request; the other methods are for who runs the simulation."""

    def __init__(
        self,
        clock: Callable[[], datetime],
        *,
        seed: int = 0,
        switches: Switches | None = None,
        kinds: Collection[str] | None = None,
        feed: Feed | None = None,
        since: datetime | None = None,
    ) -> None:
        """Begin empty, or with what `feed` brings from `since` on.

        clock: returns an aware datetime. kinds: those that have records, default all; the others answer `[]`.
        """
        self.switches = switches or Switches()
        self._clock = clock
        self._selector = Selector(seed, Random(f"{seed}/order"))
        self._chance = Random(f"{seed}/pages")
        self._gate = Gate(Random(f"{seed}/faults"))
        self.tally = Tally()
        begins = None if since is None else to_ms(since)
        self._stock = Stock(self.now_ms, lambda: self.switches, seed=seed, kinds=kinds, feed=feed, since=begins)
        self._pages = 0
        self._stock.shelf("activities")  # brings in the feed's history now, not at the first request

    # --- what the API answers ----------------------------------------------------------------------

    def query(self, kind: str, params: Mapping[str, str], *, url: str = "") -> Answer:
        """Return the answer to one batch request.

        kind: a name in `humansync.kinds.KINDS`; KeyError otherwise. params: as in the query string.
        url: the request's own, without query string, for Link.
        """
        now, switches = self.now_ms(), self.switches
        self.tally.request(kind, now)
        answer = self._gate.refuse(kind, now, switches) or self._admitted(kind, params, url, now)
        answer = self._dressed(answer, now)
        self.tally.answer(answer)
        return answer

    def users(self, human_id: str | None = None) -> Answer:
        """Return the answer to `GET users`, or to `GET users/:humanId`."""
        now = self.now_ms()
        self.tally.request("users", now)
        people = [_profile(person) for person in self._stock.present(now)]
        answer = self._gate.refuse("users", now, self.switches)
        if answer is None and human_id is None:
            answer = Answer(200, (JSON_TYPE,), orjson.dumps(people))
        elif answer is None:
            found = [person for person in people if person["humanId"] == human_id]
            answer = Answer(200, (JSON_TYPE,), orjson.dumps(found[0])) if found else _error(404, "Not Found")
        answer = self._dressed(answer, now)
        self.tally.answer(answer)
        return answer

    def stranger(self) -> Answer:
        """Return the answer to wrong credentials."""
        now = self.now_ms()
        self.tally.request("unauthorized", now)
        answer = self._dressed(refusal(Fault.E401), now)
        self.tally.answer(answer)
        return answer

    # --- what the one who runs it may do -------------------------------------------------------------

    def set(self, **changes: object) -> None:
        """Change switches from now on; SwitchError for wrong ones, and then none is changed."""
        self.switches = self.switches.changed(changes)

    def now_ms(self) -> int:
        """Return the API's own instant."""
        return to_ms(self._clock()) + int(self.switches.clock_skew_s * SECOND_MS)

    def load(self, kinds: Iterable[str], records: int, days: float, *, until: datetime | None = None) -> None:
        """Add plain records to each kind, spread evenly over the days before `until`, default now."""
        for kind in kinds:
            self._stock.load(kind, records, days, self.now_ms() if until is None else to_ms(until))

    def put(self, kind: str, record: object, *, visible_at: datetime | None = None) -> None:
        """Add a record as it stands, or replace the one of its identity.

        Visible from its own `updatedAt` on (now where it has none), or from `visible_at`.
        """
        self._stock.put_record(kind, record, None if visible_at is None else to_ms(visible_at))

    def add(self, kind: str, n: int = 1, *, late_by_s: float = 0.0) -> list[str]:
        """Add new records, updated now or so long ago, and return their identities."""
        return self._stock.add(kind, [self.now_ms() - int(late_by_s * SECOND_MS)] * n)

    def change(
        self, kind: str, n: int = 1, *, identities: Iterable[str] | None = None, content: bool = True
    ) -> list[str]:
        """Update records now, those named or n at random, and return their identities.

        content: False gives them a new `updatedAt` and `createdAt` and nothing else, as a re-sync does.
        """
        slots = self._stock.choose(kind, n, identities)
        return self._stock.touch(kind, slots, self.now_ms(), content=content)

    def delete(self, kind: str, n: int = 1, *, identities: Iterable[str] | None = None) -> list[str]:
        """Delete records, those named or n at random, and return their identities."""
        return self._stock.delete(kind, self._stock.choose(kind, n, identities))

    def resync(self, kind: str) -> int:
        """Touch every record of a kind at once without changing it, and return how many."""
        shelf = self._stock.shelf(kind)
        slots = [slot for slot, _ in shelf.collection.rows()]
        return len(self._stock.touch(kind, slots, self.now_ms(), content=False))

    def delete_user(self, human_id: str, *, keep_records: bool = False) -> int:
        """Let a user vanish and return how many records went along; KeyError for nobody."""
        return self._stock.delete_user(human_id, keep_records=keep_records)

    def fail_next(self, fault: Fault | str, times: int = 1, *, kind: str | None = None) -> None:
        """Let the next requests, of one kind or of all, meet a fault."""
        self._gate.plan(Fault(fault), times, kind)

    # --- what is true ----------------------------------------------------------------------------------

    def truth(
        self, kind: str, *, since: datetime | None = None, before: datetime | None = None
    ) -> dict[str, tuple[str, str]]:
        """Return identity -> (`updatedAt` as served, digest) of what is visible and usable now.

        The digest is `canon.digest` of the record. since, before: only what was updated in [since, before).
        """
        bounds = (None if since is None else to_ms(since), None if before is None else to_ms(before))
        return {name: (updated, digest) for name, updated, digest in self._stock.shelf(kind).truth(*bounds)}

    def record(self, kind: str, identity: str) -> object:
        """Return a visible record by its identity; KeyError where there is none."""
        return self._stock.shelf(kind).record(identity)

    def count(self, kind: str) -> int:
        """Return how many records of a kind are visible, usable or not."""
        return len(self._stock.shelf(kind).collection)

    def humans(self) -> list[str]:
        """Return the human ids of the users there are now."""
        return [person.human_id for person in self._stock.present(self.now_ms())]

    # --- inside ------------------------------------------------------------------------------------------

    def _admitted(self, kind: str, params: Mapping[str, str], url: str, now: int) -> Answer:
        fault = self._gate.fault(kind, self.switches)
        if fault is None:
            return self._page(kind, params, url, now)
        answer = answer_without_records(fault, now, self.switches)
        if answer is not None:
            return answer
        answer = self._page(kind, params, url, now)
        return spoil(answer, fault, slow_s=self.switches.slow_s, stall_s=self.switches.stall_s)

    def _page(self, kind: str, params: Mapping[str, str], url: str, now: int) -> Answer:
        switches = self.switches
        try:
            ask = read(kind, params, now, switches)
        except RefusedError as error:
            return _error(400, str(error))
        shelf = self._stock.shelf(kind)
        first, last = shelf.collection.span(ask.since, ask.before)
        page = self._selector.page(shelf, (first, last), ask.offset, ask.limit, switches)
        slots = page.slots
        if not slots and ask.offset and switches.beyond != "empty":
            return _error(int(switches.beyond), "nothing at this offset")
        if switches.short_pages and ask.offset + len(slots) < page.total and len(slots) > 3:  # noqa: PLR2004
            slots = slots[: len(slots) - self._shortfall()]
        rows = [shelf.body(slot) for slot in slots]
        headers = self._paging_headers(params, url or f"{_BASE}/{KINDS[kind].path}", ask, len(rows), page.total)
        self.tally.rows += len(rows)
        answer = Answer(200, (JSON_TYPE, *headers), b"[" + b",".join(rows) + b"]")
        self._pages += 1
        if switches.change_every and self._pages % switches.change_every == 0:
            self._stock.stir(kind, first, last, (ask.since, ask.before))
        return answer

    def _shortfall(self) -> int:
        return self._chance.randint(1, 3) if self._chance.random() < self.switches.short_pages else 0

    def _paging_headers(
        self, params: Mapping[str, str], url: str, ask: Ask, rows: int, total: int
    ) -> list[tuple[str, str]]:
        sent = self.switches.headers
        if sent == "wrong":
            total = max(0, total + self._chance.choice((-7, -1, 1, 7, 500)))
        if self.switches.link_host:
            url = f"{self.switches.link_host.rstrip('/')}/{url.split('/', 3)[3]}"
        headers = []
        if sent in {"both", "link", "wrong"} and (rels := link(url, params, ask, rows, total)):
            headers.append(("Link", rels))
        if sent in {"both", "total", "wrong"}:
            headers.append(("X-Total-Count", str(total)))
        return headers

    def _dressed(self, answer: Answer, now: int) -> Answer:
        """Return the answer with what every answer has: the clock, the server's name, latency."""
        switches = self.switches
        date = http_date(now + int(switches.date_skew_s * SECOND_MS))
        headers = (("Server", "nginx"), ("Date", date), ("X-Powered-By", "Express"), *answer.headers)
        delay = switches.latency_ms + (self._chance.random() * switches.jitter_ms if switches.jitter_ms else 0.0)
        return replace(answer, headers=headers, delay_s=delay / SECOND_MS)


def _error(status: int, message: str) -> Answer:
    return Answer(status, (JSON_TYPE,), orjson.dumps({"statusCode": status, "error": message}))


def _profile(person: Person) -> dict[str, str]:
    """Return a user as the Application API shows one."""
    connected = iso(person.connected)
    return {
        "humanId": person.human_id,
        "externalId": person.external_id,
        "appId": "simulator",
        "createdAt": connected,
        "updatedAt": connected,
    }
