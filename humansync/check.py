"""Is every record of a range in the database as the API has it, and nothing else? What `verify` and the audit share.

The range is read again, part by part, and each part is compared as soon as it is complete: memory holds one
part, whatever the range. What differs is looked at twice, because records change while they are read:

- missing, older or altered: both looks must agree;
- ahead (the database has a version that the API has not shown): the API is asked for that very second;
- extra (the API has not shown the record at all): a record that changes leaves its window, so it is looked
  for in everything later, up to one last request that ends in the future and fits one page. Only then has
  the API been seen, whole and at one instant, without it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from humansync import compare, errors, reading
from humansync.compare import Fault
from humansync.kinds import Kind, Read, columns
from humansync.ledger import Purpose
from humansync.parts import Parts
from humansync.plan import WINDOW_MAX
from humansync.records import NOTHING, Batch, identity_of, part
from humansync.reread import Part, Reader, Slot
from humansync.values import Value, instant_text
from humansync.windows import SECOND, Window, floor_second, merge, split_by_width

#: The last look for records that moved ends this far in the API's future ...
FUTURE = timedelta(minutes=1)
#: ... and is tried this often until it fits one page.
LAST_LOOKS = 8
#: Identities of a kind without times that are looked at together.
AT_ONCE = 5_000


@dataclass(slots=True)
class Findings:
    """What is known of one kind in a range. Identities, sorted when the work is over."""

    kind: str
    #: records in the range: the API's, and those stored
    upstream: int = 0
    stored: int = 0
    missing: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    extra: set[str] = field(default_factory=set)
    #: how many of the differences were mended
    mended: int = 0
    requests: int = 0
    #: what was compared; None where nothing is claimed to be complete
    window: Window | None = None
    #: why the API does not offer the kind; None where it does
    disabled: str | None = None
    #: why some differences were left as they are
    notes: list[str] = field(default_factory=list)

    @property
    def differences(self) -> int:
        """How many records differ."""
        return len(self.missing) + len(self.stale) + len(self.extra)

    @property
    def left(self) -> int:
        """How many of them are there still."""
        return max(0, self.differences - self.mended)


@dataclass(slots=True)
class _Wrong:
    """A record that is not stored as the API shows it, with what mending it takes."""

    fault: Fault
    #: `updated_at` of the stored row, as the cell has it
    cell: str | None
    row: tuple[Value, ...]
    payload: bytes
    #: `updated_at` of the API's version, as a cell; None in a kind without times
    version: str | None = None


class _Compared:
    """Takes in the pages of one part and compares each with the database."""

    def __init__(self, parts: Parts, kind: Kind, window: Window) -> None:
        self._parts, self._kind = parts, kind
        self._place = [each.column for each in columns(kind)].index("updated_at")
        self._bounds = None if kind.read is Read.WHOLE else (instant_text(window.since), instant_text(window.before))
        #: identities of the part's records
        self.seen: set[str] = set()
        #: identities of all that was received, neighbours beyond the part's bounds and unusable records too
        self._received: set[str] = self.seen if self._bounds is None else set()
        #: identities of records that were shown and cannot be rows
        self.unusable: set[str] = set()
        self.wrong: dict[str, _Wrong] = {}
        #: the oldest version shown, as a cell
        self.shown_from: str | None = None

    def fresh(self, batch: Batch) -> int:
        """Return how many of a page's records have not been taken in before."""
        return sum(identity not in self._received for identity in batch.identities)

    def take(self, batch: Batch) -> None:
        """Take a page in: compare those of its records that belong to the part."""
        rows = range(len(batch.rows))
        inside = part(batch, [i for i in rows if self._inside(batch.rows[i])])
        found = self._parts.store.differing(self._kind, inside)
        for row, payload in zip(inside.rows, inside.payloads, strict=True):
            identity = identity_of(self._kind, row)
            again = identity in self.seen
            self.seen.add(identity)
            stored = found.get(identity)
            if stored is None:
                self.wrong.pop(identity, None)
            elif not again or identity in self.wrong:  # of several versions of a record one that is stored will do
                upstream = None if self._bounds is None else str(row[self._place])
                fault = compare.fault(upstream, stored)
                self.wrong[identity] = _Wrong(fault, stored.updated, row, payload, upstream)
        self._received.update(batch.identities)
        self.unusable |= _unusable(self._kind, batch)

    def _inside(self, row: tuple[Value, ...]) -> bool:
        if self._bounds is None:
            self.shown_from = ""
            return True
        version = str(row[self._place])
        if self.shown_from is None or version < self.shown_from:
            self.shown_from = version
        return self._bounds[0] <= version < self._bounds[1]


class _Sought:
    """Takes in pages and keeps the records that are looked for."""

    def __init__(self, kind: Kind, wanted: Iterable[str]) -> None:
        self._kind, self._wanted = kind, frozenset(wanted)
        self._place = [each.column for each in columns(kind)].index("updated_at")
        self._seen: set[str] = set()
        self.found: dict[str, _Wrong] = {}
        #: those that were shown and cannot be rows
        self.unusable: set[str] = set()
        self.shown_from: str | None = None

    def fresh(self, batch: Batch) -> int:
        """Return how many of a page's records have not been taken in before."""
        return sum(identity not in self._seen for identity in batch.identities)

    def take(self, batch: Batch) -> None:
        """Take a page in: keep those of its records that are looked for."""
        self._seen.update(batch.identities)
        self.unusable |= _unusable(self._kind, batch) & self._wanted
        for row, payload in zip(batch.rows, batch.payloads, strict=True):
            version = str(row[self._place])
            self.shown_from = min(self.shown_from or version, version)
            if (identity := identity_of(self._kind, row)) in self._wanted:
                self.found[identity] = _Wrong(Fault.AHEAD, None, row, payload, version)


def _unusable(kind: Kind, batch: Batch) -> set[str]:
    if len(batch.rows) == len(batch.identities):
        return set()
    return set(batch.identities).difference(identity_of(kind, row) for row in batch.rows)


@dataclass(slots=True)
class Check:
    """The comparison of one kind with the database. For one thread; several may work on parts of a range."""

    parts: Parts
    kind: Kind
    slot: Slot | None
    repair: bool
    stopped: Callable[[], bool] = lambda: False
    #: whether extra rows are deleted, where it repairs
    delete: bool = True
    #: told of the requests and the records of each part as it is done
    progress: Callable[[int, int], None] = lambda _requests, _records: None
    findings: Findings = field(init=False)
    #: identity -> stored version of rows that the API has not shown in their place
    suspects: dict[str, str] = field(default_factory=dict)
    #: what is compared completely, but for the suspects
    compared: list[Window] = field(default_factory=list)
    #: the oldest version that the API has shown, as a cell
    shown_from: str | None = None
    #: the API's clock when the first part was read
    began_at: datetime | None = None
    #: suspects that the API has, in a form that cannot be a row: nothing is known against what is stored
    _excused: set[str] = field(default_factory=set)
    _reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        self.findings = Findings(self.kind.name)
        self._reader = Reader(self.parts, self.kind, self.slot, self.stopped)

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._reader.requests

    def absorb(self, other: "Check") -> None:
        """Take over what another check has found in another part of the range."""
        mine, theirs = self.findings, other.findings
        mine.upstream += theirs.upstream
        mine.stored += theirs.stored
        mine.missing |= theirs.missing
        mine.stale |= theirs.stale
        mine.mended += theirs.mended
        mine.notes += theirs.notes
        mine.requests += theirs.requests
        self._reader.requests += theirs.requests
        self.suspects |= other.suspects
        self._shown(other.shown_from)
        instants = [each for each in (self.began_at, other.began_at) if each is not None]
        self.began_at = min(instants, default=None)

    # --- the range, part by part ------------------------------------------------------------------

    def compare(self, window: Window) -> None:
        """Compare one window, at most 30 days wide; extra rows are only suspected. Mends the rest if asked to."""
        for piece in self._reader.read(window, self._comparing):
            self._compared(piece)
            self.compared.append(piece.window)
            self.progress(self._reader.requests - self.findings.requests, len(piece.taken.seen))
            self.findings.requests = self._reader.requests

    def _comparing(self, window: Window) -> _Compared:
        return _Compared(self.parts, self.kind, window)

    def _compared(self, piece: Part[_Compared]) -> None:
        self.began_at = min(self.began_at or piece.began_at, piece.began_at)
        taken = piece.taken
        self._shown(taken.shown_from)
        stored, extra = self._stored(piece.window, taken.seen | taken.unusable)
        self.findings.upstream += len(taken.seen)
        self.findings.stored += stored
        if not taken.wrong and not extra:
            return
        wrong, seen = self._look_again(piece.window)
        _, extra_again = self._stored(piece.window, seen)
        confirmed = {each: found for each, found in wrong.items() if each in taken.wrong and self._certain(each, found)}
        self._note(confirmed)
        self.suspects |= compare.still(extra, extra_again)
        if self.repair:
            self._mend(confirmed)

    def _look_again(self, window: Window) -> tuple[dict[str, _Wrong], set[str]]:
        """Read and compare once more; return what is wrong, and the identities seen."""
        wrong: dict[str, _Wrong] = {}
        seen: set[str] = set()
        for piece in self._reader.read(window, self._comparing):
            wrong |= piece.taken.wrong
            seen |= piece.taken.seen | piece.taken.unusable
        return wrong, seen

    def _shown(self, version: str | None) -> None:
        if version is not None:
            self.shown_from = version if self.shown_from is None else min(self.shown_from, version)

    def _stored(self, window: Window, seen: set[str]) -> tuple[int, dict[str, str]]:
        """Return how many rows are stored in a window, and the versions of those that were not seen."""
        if self.kind.read is Read.WINDOWED:
            stored = self.parts.store.stored_within(self.kind, window)
            return len(stored), {each: version for each, version in stored.items() if each not in seen}
        count, extra, after = 0, dict[str, str](), None
        while some := self.parts.store.identities(self.kind, after, AT_ONCE):
            count, after = count + len(some), some[-1]
            extra |= {each: "" for each in some if each not in seen}
        return count, extra

    def _certain(self, identity: str, found: _Wrong) -> bool:
        """Whether a difference is one: a version ahead of the API's may be a newer one that came meanwhile."""
        if found.fault is not Fault.AHEAD or found.cell is None:
            return True
        second = compare.second_of(found.cell)
        if second is None or second.since > self.parts.api_now() + FUTURE:
            return True
        if self._cells([identity]) != {identity: found.cell}:
            return False
        shown = self._look_for([identity], [second]).get(identity)
        return shown is None or shown.version is None or shown.version < found.cell

    def _note(self, confirmed: Mapping[str, _Wrong]) -> None:
        for identity, found in confirmed.items():
            (self.findings.missing if found.fault is Fault.MISSING else self.findings.stale).add(identity)

    def _cells(self, identities: Iterable[str]) -> dict[str, str]:
        return self.parts.store.stored_of(self.kind, identities)

    # --- mending ----------------------------------------------------------------------------------

    def _mend(self, wrong: Mapping[str, _Wrong]) -> None:
        """Store records as the API shows them; what has become newer meanwhile stays."""
        if not wrong:
            return
        batch = _batch(wrong)
        cells = {each: found.cell for each, found in wrong.items() if self._in_the_way(found)}
        now = self.parts.clock.now()
        try:
            self.parts.store.mend(self.kind, batch, cells, now)
        except errors.StoreRefused as error:
            kept = reading.isolated(self.parts, self.kind, batch, error)
            self.parts.store.mend(self.kind, kept, cells, now)
            batch, left = kept, len(batch.rows) - len(kept.rows)
            self.findings.notes.append(f"the database refuses {left} of the records")
        self.findings.mended += len(batch.rows)

    def _in_the_way(self, found: _Wrong) -> bool:
        """Whether the stored row would win by its time, or by what stands in place of one."""
        if self.kind.read is Read.WHOLE:  # the last one read wins
            return False
        unreadable = found.cell is None or compare.instant(found.cell) is None
        return found.fault is Fault.AHEAD or (found.fault is Fault.ALTERED and unreadable)

    # --- rows that the API has not shown ----------------------------------------------------------

    def settle(self, window: Window, *, moved_from: datetime | None = None) -> None:
        """Decide on the suspects of a range once all of it is compared; delete those that are extra if asked to.

        moved_from: only records that have changed since then are looked for, so that one which changed earlier, and
        has not come in since, counts as extra; None: from the end of the range on.
        """
        suspects = {each: cell for each, cell in self.suspects.items() if each not in self.findings.stale}
        cells = self._cells(suspects)
        suspects = {each: cell for each, cell in suspects.items() if cells.get(each) == cell}
        if suspects and self.kind.read is Read.WINDOWED:
            suspects = self._without_moved(suspects, max(window.before, moved_from or window.before))
        self.findings.extra |= suspects.keys()
        if self.repair and self.delete and suspects:
            self._delete(suspects, window)
        self.findings.requests = self._reader.requests

    def _without_moved(self, suspects: dict[str, str], since: datetime) -> dict[str, str]:
        """Return the suspects that the API has nowhere from an instant on either."""
        first = self.began_at or self.parts.api_now()
        asked_at = self.parts.api_now()
        ahead = asked_at + FUTURE
        found = self._look_for(suspects, _newest_first(Window(floor_second(since), floor_second(ahead))))
        found |= self._last_look(suspects.keys() - found.keys(), min(first, asked_at))
        self._moved({each: record for each, record in found.items() if each in suspects})
        cells, shown = self._cells(suspects), found.keys() | self._excused
        return {each: cell for each, cell in suspects.items() if each not in shown and cells.get(each) == cell}

    def _moved(self, found: Mapping[str, _Wrong]) -> None:
        """Count records that the API has later, and the database should have had, as stale."""
        covered = merge(each for purpose in Purpose for each in self.parts.store.coverage(self.kind.name, purpose))
        differing = self.parts.store.differing(self.kind, _batch(found))
        stale: dict[str, _Wrong] = {}
        for identity, stored in differing.items():
            record = found[identity]
            version = record.version
            instant = compare.instant(version or "")
            due = instant is not None and any(each.since <= instant < each.before for each in covered)
            if due and compare.fault(version, stored) is Fault.OLDER:
                stale[identity] = replace(record, fault=Fault.OLDER, cell=stored.updated)
        self._note(stale)
        if self.repair:
            self._mend(stale)

    def _last_look(self, wanted: Iterable[str], since: datetime) -> dict[str, _Wrong]:
        """Look for records that change while they are looked for: one request that ends in the future is atomic."""
        found: dict[str, _Wrong] = {}
        left = set(wanted)
        begins = since - timedelta(seconds=self.parts.policy.overlap_s)
        for _ in range(LAST_LOOKS):
            if not left:
                return found
            now = self.parts.api_now()
            window = Window(floor_second(begins), floor_second(now + FUTURE))
            pieces = list(self._reader.read(window, _seeking(self.kind, left)))
            for piece in pieces:
                found |= piece.taken.found
                self._excused |= piece.taken.unusable
            left -= found.keys() | self._excused
            # A request that had to wait may have been answered when its end was past.
            in_time = pieces[-1].began_at + SECOND <= window.before
            if len(pieces) == 1 and pieces[0].requests == 1 and in_time:
                return found
            begins = min(piece.began_at for piece in pieces) - timedelta(seconds=self.parts.policy.settle_s)
        if left:
            raise errors.Uncertain("records change faster than they can be read: compare in a quieter hour")
        return found

    def _look_for(self, wanted: Iterable[str], windows: Iterable[Window]) -> dict[str, _Wrong]:
        """Return those of the wanted records that the API has in the windows, which are read until all are found."""
        left, found = set(wanted), dict[str, _Wrong]()
        for window in windows:
            if not left:
                break
            for piece in self._reader.read(window, _seeking(self.kind, left)):
                found |= piece.taken.found
                self._excused |= piece.taken.unusable
                self._shown(piece.taken.shown_from)
            left -= found.keys() | self._excused
        return found

    def _delete(self, suspects: dict[str, str], window: Window) -> None:
        """Delete rows that the API has nowhere; a row that it has earlier becomes that record again."""
        doomed = self._without_earlier(suspects, window)
        decision = compare.deletable(doomed, stored=self.findings.stored, shown_from=self.shown_from)
        if decision.kept:
            self.findings.notes.append(f"{len(decision.kept)} extra records are kept: {decision.why}")
        self.findings.mended += len(self.parts.store.remove(self.kind, decision.doomed))

    def _without_earlier(self, suspects: dict[str, str], window: Window) -> dict[str, str]:
        """Look for the rows before the range, as far back as the kind is covered: their time may have been altered."""
        state = self.parts.store.kind(self.kind.name)
        covered = [each.since for purpose in Purpose for each in self.parts.store.coverage(self.kind.name, purpose)]
        start = min([*covered, *([state.start] if state.start else [])], default=window.since)
        if self.kind.read is Read.WHOLE or start >= window.since:
            return suspects
        found = self._look_for(suspects, _newest_first(Window(floor_second(start), window.since)))
        self._mend({each: replace(record, cell=suspects[each]) for each, record in found.items()})
        shown = found.keys() | self._excused
        return {each: cell for each, cell in suspects.items() if each not in shown}


def _seeking(kind: Kind, wanted: Iterable[str]) -> Callable[[Window], _Sought]:
    return lambda _window: _Sought(kind, wanted)


def _batch(found: Mapping[str, _Wrong]) -> Batch:
    ordered = sorted(found)
    return replace(
        NOTHING,
        rows=[found[each].row for each in ordered],
        payloads=[found[each].payload for each in ordered],
    )


def _newest_first(window: Window) -> list[Window]:
    return compare.newest(split_by_width(window, WINDOW_MAX.total_seconds()))
