"""Sees every commit and knows the truth: says at once which promise was broken, and by what.

Independent of the code under test: the database itself reports each row that changes (triggers), the API tells what was
visible when, and what the ledger calls done is checked against both.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from humansync.kinds import KINDS, Read
from humansync.ledger import Purpose, State, WindowRow
from humansync.pages import Step
from humansync.records import SEPARATOR, Batch
from humansync.simulator.canon import digest, identity, parse
from humansync.simulator.instants import from_ms, parse_iso, to_ms
from humansync.simulator.shelf import Shelf, Version
from humansync.simulator.world import World
from humansync.windows import Window, floor_second, gaps, prefix_end

_NEVER = float("-inf")


class Broken(AssertionError):
    """A promise was broken. The message names it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one step asked the API, last."""

    #: the true instant when the API answered, ms since the beginning of the run
    at_ms: int
    #: the clock that the answer showed
    date: datetime | None


@dataclass(frozen=True, slots=True)
class _Claim:
    """A window that the ledger calls done."""

    window: Window
    #: when the read began, true ms
    read_ms: int
    purpose: Purpose


class Watch:
    """What is stored, what is true, and what the ledger claims."""

    def __init__(self, world: World, kinds: Iterable[str], settle_s: float, now_ms: Any, tally: "Counter[str]") -> None:
        self._world, self._now_ms, self._tally = world, now_ms, tally
        self._settle = timedelta(seconds=settle_s)
        #: False while history is loaded, which is late in no sense
        self.began = False
        self.kinds = tuple(kinds)
        #: stored versions by kind: identity -> `updated_at` as SQLite spells it
        self.stored: dict[str, dict[str, str]] = {kind: {} for kind in self.kinds}
        self._pending: list[tuple[str, str, str | None, str | None]] = []
        #: when a version became visible, true ms; what is not here was there from the beginning
        self._visible: dict[tuple[str, str, int], float] = {}
        #: how late it did by its own `updatedAt`, ms
        self._late: dict[tuple[str, str, int], float] = {}
        self._names: dict[tuple[str, int], str | None] = {}
        self._usable: dict[tuple[str, int, int], bool] = {}
        self.ever: dict[str, set[str]] = {kind: set() for kind in self.kinds}
        self._claims: dict[str, list[_Claim]] = {kind: [] for kind in self.kinds}
        self._began: dict[int, int] = {}
        self._steps: set[tuple[int, int]] = set()
        for kind in self.kinds:
            self._follow(kind)

    def begin(self) -> None:
        """History is in: what comes from now on comes at its time."""
        self.began = True
        for kind in self.kinds:
            self.ever[kind] |= self._world.truth(kind).keys()

    # --- what becomes visible ----------------------------------------------------------------------

    def shelf(self, kind: str) -> Shelf:
        return self._world._stock._shelves[kind]

    def _follow(self, kind: str) -> None:
        """Note from now on when each version becomes visible."""
        shelf = self.shelf(kind)
        put = shelf.put

        def noted(version: Version, visible: int, now: int) -> None:
            if version.identity is not None:
                key = (kind, version.identity, version.updated)
                history = not self.began and visible <= now
                self._visible[key] = _NEVER if history else self._now_ms() + max(0, visible - now)
                self._late[key] = 0 if history else max(visible, now) - version.updated
                self.ever[kind].add(version.identity)
            put(version, visible, now)

        shelf.put = noted  # type: ignore[method-assign]

    def _name(self, kind: str, slot: int) -> str | None:
        key = (kind, slot)
        if key not in self._names:
            self._names[key] = identity(kind, parse(self.shelf(kind).collection.body(slot)))
        return self._names[key]

    def _versions(self, kind: str, since: datetime, before: datetime) -> Iterator[tuple[str, int]]:
        """Yield identity and `updatedAt` of the usable records of [since, before) as they are now."""
        collection = self.shelf(kind).collection
        for slot in collection.slots(*collection.span(to_ms(since), to_ms(before))):
            name, updated = self._name(kind, slot), collection.updated[slot]
            if name is None:
                continue
            key = (kind, slot, updated)
            if key not in self._usable:
                self._usable[key] = parse_iso(parse(collection.body(slot)).get("updatedAt")) is not None
            if self._usable[key]:
                yield name, updated

    # --- what is written -----------------------------------------------------------------------------

    def attach(self, connection: sqlite3.Connection) -> None:
        """Let the database report every row it inserts, updates or deletes."""
        connection.create_function("watched", 4, self._written)
        for kind in self.kinds:
            whole = KINDS[kind].read is Read.WHOLE
            for event, rows in (("INSERT", ("new",)), ("UPDATE", ("old", "new")), ("DELETE", ("old",))):
                name = f"{rows[-1]}.human_id || x'1f' || {rows[-1]}.description" if whole else f"{rows[-1]}.id"
                column = "payload" if whole else "updated_at"
                before = f"old.{column}" if "old" in rows else "NULL"
                after = f"new.{column}" if "new" in rows else "NULL"
                connection.execute(
                    f"CREATE TRIGGER watch_{kind}_{event} AFTER {event} ON {kind} "
                    f"BEGIN SELECT watched('{kind}', {name}, {before}, {after}); END"
                )

    def _written(self, kind: str, name: str, before: str | None, after: str | None) -> None:
        self._pending.append((kind, name, before, after))

    def rolled_back(self) -> None:
        self._pending.clear()

    def committed(self) -> None:
        """Check what a transaction wrote (P2)."""
        pending, self._pending = self._pending, []
        for kind, name, before, after in pending:
            stored, whole = self.stored[kind], KINDS[kind].read is Read.WHOLE
            if stored.get(name) != before:
                raise Broken(f"P2: {kind} {name!r}: the watch lost sight of what is stored")
            if after is None:
                if not whole:
                    raise Broken(f"P1: {kind} {name!r} was deleted")
                if name in self._world.truth(kind):
                    raise Broken(f"P1: {kind} {name!r} was deleted, and the API still has it")
                self._tally["rows deleted"] += 1
                del stored[name]
                continue
            if before is not None and not whole:
                self._tally["versions replaced"] += 1
                if after < before:
                    raise Broken(f"P2: {kind} {name!r} went back from {before} to {after}")
            stored[name] = after

    def moved(self, row: WindowRow) -> None:
        """Check that a window leaves each of its epochs once (P4)."""
        step = (row.id, row.epoch)
        if step in self._steps:
            raise Broken(f"P4: window {row.id} left epoch {row.epoch} twice")
        self._steps.add(step)

    def page(self, row: WindowRow, step: Step, batch: Batch, request: Request | None) -> None:
        """Check what a page's commit claims (P1, P3, P4)."""
        self.moved(row)
        self._tally[f"step: {_short(step.why)}"] += 1
        if request is None:
            if step.done or step.state is State.DONE:
                raise Broken(f"P3: window {row.id} is done without a request")
            return
        if not row.walk.offset:
            self._began[row.id] = request.at_ms
            since, read_at = row.walk.lower or row.window.since, row.walk.began_at or request.date
            if step.dropped and read_at and since < floor_second(read_at - self._settle):
                raise Broken(f"P8: window {row.id} was dropped at {read_at}, and part of it is settled")
        done = step.done or (step.window or row.window if step.state is State.DONE else None)
        if KINDS[row.kind].read is Read.WHOLE:
            if step.whole_read_at is not None:
                self._check_whole(row, self._began[row.id])
            return
        if done is not None:
            self._check_done(row, step, batch, done)

    # --- promises --------------------------------------------------------------------------------------

    def _check_done(self, row: WindowRow, step: Step, batch: Batch, done: Window) -> None:
        began = self._began[row.id]
        if step.read_at is None or step.read_at < done.before + self._settle:
            raise Broken(f"P3: {row.kind} {done} was read at {step.read_at}, before its end and the settle delay")
        slack = timedelta(seconds=2)
        lower = row.walk.lower or row.window.since
        if any(not lower - slack <= updated <= row.window.before + slack for updated in batch.updated):
            raise Broken(f"P3: {row.kind} {done} is done by a page of which the API did not apply the filter")
        claim = _Claim(done, began, row.purpose)
        self._claims[row.kind].append(claim)
        self._tally["windows done"] += 1
        missing = [name for name, updated in self._owed_by(row.kind, claim) if not self._has(row.kind, name, updated)]
        if missing:
            raise Broken(
                f"P1: {row.kind} {done} is done ({step.why}) without {len(missing)} records, {missing[0]!r} for one"
            )

    def _owed_by(self, kind: str, claim: _Claim) -> Iterator[tuple[str, int]]:
        """Yield the versions that a read of this window at its time must have seen, if they are still there."""
        for name, updated in self._versions(kind, claim.window.since, claim.window.before):
            if self._visible.get((kind, name, updated), _NEVER) < claim.read_ms:
                yield name, updated

    def _has(self, kind: str, name: str, updated: int) -> bool:
        stored = self.stored[kind].get(name)
        return stored is not None and stored >= _sqlite(updated)

    def _check_whole(self, row: WindowRow, began_ms: int) -> None:
        """A complete read of a kind without times: everything that was there when it began is stored."""
        collection, stored = self.shelf(row.kind).collection, self.stored[row.kind]
        for slot, body in collection.rows():
            name = self._name(row.kind, slot)
            if name is None or self._visible.get((row.kind, name, collection.updated[slot]), _NEVER) >= began_ms:
                continue
            if name not in stored or digest(orjson.loads(stored[name])) != digest(parse(body)):
                what = "is stale" if name in stored else "is missing"
                raise Broken(f"P1: {row.kind} was read whole, and {name!r} {what}")
        self._tally["whole reads"] += 1

    def check_cursor(self, kind: str, cursor: datetime | None, start: datetime | None) -> None:
        """Check P1 as it is written: every version before the cursor is stored at that version or newer."""
        if cursor is None or KINDS[kind].read is Read.WHOLE:
            return
        self._tally["cursors checked"] += 1
        if start is None:
            raise Broken(f"P1: {kind} has a cursor and no beginning")
        claims = [claim for claim in self._claims[kind] if claim.purpose is Purpose.LIVE]
        reached = prefix_end((claim.window for claim in claims), start)
        if cursor > start and (reached is None or reached < cursor):
            raise Broken(f"P1: the cursor of {kind} is at {cursor}, but reads cover it to {reached} only")
        for name, updated in self._versions(kind, start, cursor):
            if self._has(kind, name, updated):
                continue
            visible, instant = self._visible.get((kind, name, updated), _NEVER), from_ms(updated)
            if any(c.window.since <= instant < c.window.before and c.read_ms > visible for c in claims):
                raise Broken(f"P1: {kind} {name!r} of {instant} lies before the cursor {cursor} and is not stored")

    # --- the end -----------------------------------------------------------------------------------------

    def differences(self, kind: str, start: datetime, late_s: float) -> list[str]:
        """Return in what database and truth differ, in words. Records that came later than `late_s` are left out."""
        truth, stored = self._world.truth(kind), self.stored[kind]
        found = []
        for name, (updated, _) in truth.items():
            instant = parse_iso(updated) if updated else None
            if instant is not None and instant < to_ms(start):
                continue
            if instant is not None and self._late.get((kind, name, instant), 0) > late_s * 1000:
                continue
            if name not in stored:
                found.append(f"{kind} {name!r} of {updated} is missing")
            elif instant is not None and stored[name] < _sqlite(instant):
                found.append(f"{kind} {name!r} of {updated} is stale: {stored[name]}")
        if KINDS[kind].read is Read.WHOLE:
            # Of persons who have vanished altogether the rows are kept.
            persons = {name.split(SEPARATOR)[0] for name in truth}
            gone = {name for name in stored.keys() - truth.keys() if name.split(SEPARATOR)[0] in persons}
        else:
            gone = stored.keys() - self.ever[kind]
        return found + [f"{kind} {name!r} is extra" for name in sorted(gone)]

    def unproven(self, kind: str, coverage: Iterable[Window]) -> list[Window]:
        """Return what the ledger calls done although no read was seen to complete it (P3)."""
        read = [claim.window for claim in self._claims[kind]]
        return [gap for window in coverage for gap in gaps(window, read)]

    def wrong_contents(self, kind: str, payloads: dict[str, str], start: datetime | None) -> list[str]:
        """Return which stored payloads are not the records of the truth, of those that were updated since the start.

        What a backfill brought in from before the kind's start is not followed when it changes there.
        """
        truth = self._world.truth(kind, since=start)
        return [
            f"{kind} {name!r} has other contents"
            for name, payload in payloads.items()
            if name in truth and digest(orjson.loads(payload)) != truth[name][1]
        ]


def _short(why: str) -> str:
    """Return a reason without its numbers."""
    return " ".join(word for word in why.split() if not word.isdigit()).split(":")[0]


def _sqlite(ms: int) -> str:
    return f"{from_ms(ms):%Y-%m-%d %H:%M:%S.%f}"
