"""Every key that humansync keeps in Redis, beside the queues, which are Celery's.

| key | type | expiry | meaning |
|---|---|---|---|
| `humansync:lease:<window id>` | string | the lease | token of the worker that reads this window now |
| `humansync:issued:<window id>` | string | 10 min | a message for this window is on a queue: which, and the rest of its life, in ms, below which it counts only while that queue holds anything |
| `humansync:lock:<kind>` | string | the lease | token of the planner at work on this kind |
| `humansync:cursors` | hash | none | kind -> end of the gapless covered prefix, µs since 1970 |
| `humansync:holds` | hash | 1 day | kind, or `*` for all -> nobody sends before, µs since 1970 |
| `humansync:budget` | hash | 1 day | `next`: first instant with no request yet, µs since 1970; `run`: backfill requests since the last gap left for live ones; `live`: when a live one asked last, µs; `factor`, `slowed`: share of the rate in use and since when, µs |
| `humansync:gaps` | list | 1 day | instants that were left free for live requests, µs since 1970, oldest first |
| `humansync:ticks` | sorted set | 1 day | worker -> when a task last went round there, ms since 1970 |

All of it may be lost at any moment: leases and markers lapse anyway, cursors are written again from
the ledger, and the budget starts afresh. Times are Redis's own, so that hosts need not agree.
"""

PREFIX = "humansync:"
CURSORS = f"{PREFIX}cursors"
HOLDS = f"{PREFIX}holds"
BUDGET = f"{PREFIX}budget"
GAPS = f"{PREFIX}gaps"
TICKS = f"{PREFIX}ticks"

#: Field of `HOLDS` that stops every kind.
EVERYTHING = "*"


def lease(window_id: int) -> str:
    """Return the key of a window's lease."""
    return f"{PREFIX}lease:{window_id}"


def issued(window_id: int) -> str:
    """Return the key that says a message for this window is on a queue."""
    return f"{PREFIX}issued:{window_id}"


def lock(kind: str) -> str:
    """Return the key of a kind's planner lock."""
    return f"{PREFIX}lock:{kind}"
