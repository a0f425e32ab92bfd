"""The queues, and which task goes to which."""

from enum import StrEnum


class Queue(StrEnum):
    """A queue; a worker drains those it serves in the order in which they are named to it, newest data first."""

    LIVE = "live"  #: from the cursors on, and the planner
    BACKFILL = "backfill"  #: history; never delays live data


#: Where a task goes that is called by hand. Windows and pages are sent to the queue of their own urgency; one asked for
#: by name is history until the planner says otherwise.
ROUTES: dict[str, dict[str, str]] = {
    "sync.kind": {"queue": Queue.LIVE},
    "sync.sweep": {"queue": Queue.LIVE},
    "sync.window": {"queue": Queue.BACKFILL},
    "sync.page": {"queue": Queue.BACKFILL},
    "sync.audit": {"queue": Queue.BACKFILL},
}
