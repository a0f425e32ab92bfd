"""What a pass did, kind by kind: the values, the closing table, the JSON document of `run` and `sync --wait`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from workers.tables import Column, count, span, table


class Phase(StrEnum):
    """Where a kind stands in a pass; the last three are final."""

    PLANNING = "planning"
    SYNCING = "syncing"
    DONE = "done"
    FAILED = "failed"
    DISABLED = "disabled"

    @property
    def final(self) -> bool:
        """Whether nothing more is expected of the kind in this pass."""
        return self in {Phase.DONE, Phase.FAILED, Phase.DISABLED}


@dataclass(frozen=True, slots=True)
class KindReport:
    """One kind in one pass. Numbers are this pass's own, `stored` apart."""

    kind: str
    phase: Phase
    #: records that were new or newer than what was stored
    records: int = 0
    #: windows completed
    windows: int = 0
    #: windows that still owe a read
    owed: int = 0
    requests: int = 0
    #: records set aside in `rejected_records`
    rejected: int = 0
    #: records of this kind in the database
    stored: int = 0
    #: the kind is complete up to here
    complete_to: datetime | None = None
    #: one sentence, when the kind failed or the API does not offer it
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A whole pass."""

    kinds: Sequence[KindReport]
    seconds: float
    now: datetime

    @property
    def ok(self) -> bool:
        """Whether no kind failed; one that the API does not offer is fine, unless that is all of several."""
        phases = {kind.phase for kind in self.kinds}
        return not (Phase.FAILED in phases or (phases == {Phase.DISABLED} and len(self.kinds) > 1))

    def document(self) -> dict[str, object]:
        """Return the document that `--json` prints: keys may be added, none goes."""
        return {
            "ok": self.ok,
            "seconds": round(self.seconds, 3),
            "requests": sum(kind.requests for kind in self.kinds),
            "records": sum(kind.records for kind in self.kinds),
            "kinds": [
                {
                    "kind": kind.kind,
                    # a pass that was cut short has brought no proof: what is not done counts as failed
                    "state": str(kind.phase if kind.phase.final else Phase.FAILED),
                    "records": kind.records,
                    "windows": kind.windows,
                    "requests": kind.requests,
                    "rejected": kind.rejected,
                    "error": kind.error,
                }
                for kind in self.kinds
            ],
        }


#: 80 characters in all
_COLUMNS = (
    Column("kind"),
    Column("records", number=True),
    Column("stored", number=True),
    Column("windows", number=True),
    Column("requests", number=True),
    Column("rejected", number=True),
    Column("behind", number=True),
)
_STYLES = {Phase.FAILED: "red", Phase.DISABLED: "dim"}


def closing_table(report: Report) -> str:
    """Return the table a pass ends with, and below it one sentence for every kind that failed or is not offered."""
    rows = [
        (
            kind.kind,
            count(kind.records),
            count(kind.stored),
            count(kind.windows),
            count(kind.requests),
            count(kind.rejected),
            _behind(kind, report.now),
        )
        for kind in report.kinds
    ]
    sums = [
        count(sum(getattr(kind, name) for kind in report.kinds))
        for name in ("records", "stored", "windows", "requests", "rejected")
    ]
    lines = [
        table(
            _COLUMNS,
            rows,
            total=(f"total in {report.seconds:.1f} s", *sums, ""),
            styles=[_STYLES.get(kind.phase, "") for kind in report.kinds],
        )
    ]
    reasons = [f"{kind.kind}: {kind.error}" for kind in report.kinds if kind.error]
    return "\n".join([*lines, *(["", *reasons] if reasons else [])])


def _behind(kind: KindReport, now: datetime) -> str:
    """Return how far the kind is behind now, or why that is not to be had."""
    if kind.phase is not Phase.DONE:
        return str(kind.phase)
    return span((now - kind.complete_to).total_seconds() if kind.complete_to else None)
