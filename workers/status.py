"""`humansync status`: how fresh each kind is, what it owes, who works on it."""

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from config.settings import Settings
from humansync import api_clock, plan
from humansync.errors import StateUnavailable
from humansync.kinds import KINDS
from humansync.ledger import KindState
from humansync.store import Store, Totals
from humansync.windows import format_instant
from workers import deployment, evidence
from workers.evidence import Evidence
from workers.tables import Column, count, span, styled, table

#: pause between two pictures of `--watch`
WATCH_S = 2.0
#: columns of a terminal on which the whole table fits
WIDE = 118
#: a worker that has not ticked for this long is not listed
GONE_AFTER_S = 120.0


@dataclass(frozen=True, slots=True)
class Fact:
    """One kind, as people and scripts read of it."""

    kind: str
    cursor: datetime | None
    lag_s: float | None
    state: str
    totals: Totals
    last_error: str | None
    evidence: Evidence = field(default_factory=Evidence)


@dataclass(frozen=True, slots=True)
class Picture:
    """A deployment at one instant."""

    now: datetime
    kinds: Sequence[Fact]
    workers: Sequence[Mapping[str, object]] = ()
    queues: Mapping[str, int] = field(default_factory=dict)
    #: what could not be seen, and why
    notes: Sequence[str] = ()

    def document(self) -> dict[str, object]:
        """Return the document that `--json` prints: keys may be added, none goes."""
        return {
            "kinds": [
                {
                    "kind": fact.kind,
                    "cursor": format_instant(fact.cursor) if fact.cursor else None,
                    "lag_s": fact.lag_s,
                    "state": fact.state,
                    "records": fact.totals.records,
                    "windows": {
                        "owed": fact.totals.owed,
                        "walking": fact.totals.walking,
                        "done": fact.totals.done,
                        "failed": fact.totals.failed,
                    },
                    "last_error": fact.last_error,
                    **fact.evidence.document(),
                }
                for fact in self.kinds
            ],
            "workers": list(self.workers),
            "queues": dict(self.queues),
        }


def status(*, watch: bool, as_json: bool) -> int:
    """Print the picture once, or again and again; returns the exit status."""
    settings = deployment.settings()
    if not watch:
        _print(take(settings), as_json=as_json)
        return 0
    while True:
        picture = take(settings)
        if sys.stdout.isatty() and not as_json:
            sys.stdout.write("\x1b[H\x1b[2J")
        _print(picture, as_json=as_json)
        sys.stdout.flush()
        time.sleep(WATCH_S)


def take(settings: Settings) -> Picture:
    """Return what database and Redis know now; what does not answer is left out and noted."""
    now = datetime.now(UTC)
    notes: list[str] = []
    workers: list[Mapping[str, object]] = []
    queues: dict[str, int] = {}
    try:
        with deployment.shared(settings) as shared:
            ticks = shared.ticks()
        from workers import broker  # noqa: PLC0415 -- not without Redis

        queues = broker.depths()
        # One that has had nothing to do goes through no task: it answers for itself, now.
        seen = {name: ago for name, ago in ticks.items() if ago < GONE_AFTER_S}
        seen |= dict.fromkeys(broker.answering(seen), 0.0)
        workers = [{"name": name, "seen_s_ago": round(ago, 1)} for name, ago in sorted(seen.items())]
    except StateUnavailable as error:
        away = str(error).rstrip(".") if settings.has_redis else "no Redis runs here"
        notes.append(f"{away}; workers and queues are not seen")
    try:
        with deployment.store(settings) as store:
            kinds = facts(store, now, settings.overlap_s)
    except deployment.SchemaOutdated as error:
        notes.append(str(error))
        kinds = [Fact(kind, None, None, "idle", Totals(), None) for kind in KINDS]
    return Picture(now, kinds, workers, queues, notes)


def facts(store: Store, now: datetime, overlap_s: float) -> list[Fact]:
    """Return a fact per kind, in the catalogue's order, from the ledger alone: cursors in Redis follow it a moment later."""
    totals, states = store.totals(), store.kinds()
    offset_s = api_clock.known_offset_s(store) or 0.0
    api_now = now + timedelta(seconds=offset_s)
    known = evidence.gather(store, overlap_s, now)
    picture = []
    for kind, state in states.items():
        cursor = plan.cursor(state, store.coverage(kind))
        lag_s = round((api_now - cursor).total_seconds(), 3) if cursor else None
        word = standing(state, totals[kind])
        error = state.last_error if word == "failing" else state.disabled
        picture.append(Fact(kind, cursor, lag_s, word, totals[kind], error, known[kind]))
    return picture


def standing(state: KindState, sums: Totals) -> str:
    """Return the one word for where a kind stands."""
    if state.disabled is not None:
        return "disabled"
    if state.paused:
        return "paused"
    troubled = state.last_error_at is not None and (sums.done_at is None or state.last_error_at > sums.done_at)
    if sums.failed or troubled:
        return "failing"
    return "syncing" if sums.owed or sums.walking else "idle"


_STYLES = {"failing": "red", "paused": "yellow", "disabled": "dim"}


def _print(picture: Picture, *, as_json: bool) -> None:
    for note in picture.notes:
        print(f"humansync: {note}", file=sys.stderr)
    if as_json:
        print(json.dumps(picture.document()))
        return
    print(_table(picture.kinds), end="\n\n")
    for fact in picture.kinds:
        if fact.last_error:
            print(styled(f"{fact.kind}: {fact.last_error}", _STYLES.get(fact.state, "")))
        for remark in fact.evidence.remarks(fact.kind, picture.now):
            print(styled(remark, "yellow"))
    seen = [f"{worker['name']} ({span(float(str(worker['seen_s_ago'])))} ago)" for worker in picture.workers]
    print(f"workers: {', '.join(seen) or 'none seen'}")
    print(f"queues:  {', '.join(f'{name} {depth}' for name, depth in picture.queues.items()) or 'not seen'}")


#: Columns that a narrow terminal has no room for: the lag says what the cursor says.
_WIDE_ONLY = {"complete to", "walking", "done", "late"}
_TEXTS = ("kind", "state", "complete to")


def _table(kinds: Sequence[Fact]) -> str:
    wide = not sys.stdout.isatty() or shutil.get_terminal_size().columns >= WIDE
    rows = [_cells(fact) for fact in kinds]
    counted = {name: sum(getattr(fact.totals, name) for fact in kinds) for name in _COUNTED}
    total = {"kind": "total", **{name: count(number) for name, number in counted.items()}}
    names = [name for name in rows[0] if wide or name not in _WIDE_ONLY]
    return table(
        [Column(name, number=name not in _TEXTS) for name in names],
        [[row[name] for name in names] for row in rows],
        total=[total.get(name, "") for name in names],
        styles=[_STYLES.get(fact.state, "") for fact in kinds],
    )


_COUNTED = ("records", "owed", "walking", "done", "failed")


def _cells(fact: Fact) -> dict[str, str]:
    """Return a kind's row, by column."""
    return {
        "kind": fact.kind,
        "state": fact.state,
        "complete to": format_instant(fact.cursor.replace(microsecond=0)) if fact.cursor else "-",
        "lag": span(fact.lag_s),
        **{name: count(getattr(fact.totals, name)) for name in _COUNTED},
        "proven": fact.evidence.share(),
        "late": fact.evidence.lateness(),
    }
