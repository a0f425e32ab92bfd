"""What speaks for a kind's data, and against them: proofs, parked windows, rejected records, late records."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from humansync import lateness, proofs
from humansync.kinds import KINDS, Read
from humansync.lateness import Lateness
from humansync.ledger import Purpose, WindowRow
from humansync.proofs import Standing
from humansync.store import Store
from humansync.windows import format_instant, merge
from workers.tables import count, span

#: parked windows that are looked at; a refused key parks all there are
PARKED = 1_000
#: of them, as many of a kind are named to scripts
NAMED = 20


@dataclass(frozen=True, slots=True)
class Evidence:
    """One kind."""

    proven: Standing = field(default_factory=lambda: proofs.standing((), ()))
    #: whether anything is claimed to be complete
    claims: bool = False
    parked: Sequence[WindowRow] = ()
    #: records that cannot be stored, by reason
    rejected: Mapping[str, int] = field(default_factory=dict)
    late: Lateness | None = None
    #: how far behind the cursor each pass reads again
    overlap_s: float = 0.0

    def document(self) -> dict[str, object]:
        """Return what `status --json` says of it."""
        return {
            "proven": {
                "share": int(self.proven.share * 10_000) / 10_000 if self.claims else None,  # never rounded up to all
                "oldest_at": _text(self.proven.oldest_at),
                "latest_at": _text(self.proven.latest_at),
                "differences": self.proven.differences,
            },
            "parked": [
                {
                    "since": format_instant(row.window.since),
                    "before": format_instant(row.window.before),
                    "purpose": row.purpose.value,
                    "again_at": _text(row.not_before),
                    "error": row.last_error,
                }
                for row in self.parked[:NAMED]
            ],
            "rejected": sum(self.rejected.values()),
            "rejected_reasons": dict(self.rejected),
            "late": self._late(),
        }

    def _late(self) -> dict[str, object] | None:
        if self.late is None:
            return None
        return {
            "records": self.late.records,
            "p50_s": round(self.late.percentile(0.5), 1),
            "p99_s": round(self.late.percentile(0.99), 1),
            "max_s": round(self.late.longest_s, 1),
            "recent_max_s": round(self.late.recent_s, 1),
            "near_overlap": self.late.near(self.overlap_s),
        }

    def share(self) -> str:
        """Return the proven share of what is claimed, for a table: never rounded up to all."""
        return f"{int(self.proven.share * 100)} %" if self.claims else "-"

    def lateness(self) -> str:
        """Return how late the latest record of the last month was, for a table."""
        return span(self.late.recent_s) if self.late is not None and self.late.recent_s else "-"

    def remarks(self, kind: str, now: datetime) -> Iterator[str]:
        """Yield a sentence for each thing that wants attention."""
        if self.parked:
            first = self.parked[0]
            again_s = (first.not_before - now).total_seconds() if first.not_before else 0.0
            number = f"{count(len(self.parked))}{' or more' if len(self.parked) == PARKED else ''}"
            yield (
                f"{kind}: windows parked: {number}, the first {first.window}: {first.last_error or 'no reason noted'}; "
                f"tried again in {span(again_s)}, or now by `humansync retry {kind}`"
            )
        if self.rejected:
            reasons = ", ".join(f"{reason} ({count(number)})" for reason, number in self.rejected.items())
            yield f"{kind}: records rejected: {reasons}"
        if self.proven.differences:
            yield (
                f"{kind}: {count(self.proven.differences)} records differ from the API's by the last comparison: "
                f"`humansync verify {kind} --repair` mends them"
            )
        if self.late is not None and self.late.near(self.overlap_s):
            depth = "beyond" if self.late.beyond(self.overlap_s) else "near"
            yield (
                f"{kind}: records came up to {span(self.late.recent_s)} late this month, {depth} HUMANSYNC_OVERLAP_S "
                f"({span(self.overlap_s)}): raise it"
            )


def _text(instant: datetime | None) -> str | None:
    return format_instant(instant) if instant is not None else None


def gather(store: Store, overlap_s: float, now: datetime) -> dict[str, Evidence]:
    """Return what the database knows, by kind."""
    known, rejected, late = store.proofs(), store.rejected(), store.late()
    parked = {kind: list(rows) for kind, rows in groupby(store.parked(PARKED), lambda row: row.kind)}
    found = {}
    for name, kind in KINDS.items():
        covered = merge(each for purpose in (Purpose.LIVE, Purpose.BACKFILL) for each in store.coverage(name, purpose))
        whole = kind.read is Read.WHOLE
        found[name] = Evidence(
            proofs.standing(covered, known.get(name, ()), whole=whole),
            bool(covered),
            parked.get(name, ()),
            rejected.get(name, {}),
            lateness.summary(late.get(name, ()), now),
            overlap_s,
        )
    return found
