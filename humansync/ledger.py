"""The ledger's values: what the database knows of kinds and windows. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from humansync.windows import Window


class Purpose(StrEnum):
    """Why a window is read."""

    LIVE = "live"  #: from the cursor on; the only purpose whose coverage moves the cursor
    BACKFILL = "backfill"  #: asked for with bounds; leaves the cursor alone
    SWEEP = "sweep"  #: a second look at recent days, for records that appeared late


class State(StrEnum):
    """Where a window stands."""

    OWED = "owed"  #: nothing read yet
    WALKING = "walking"  #: some pages are in, more are owed
    DONE = "done"  #: a complete, checked read is committed
    FAILED = "failed"  #: parked with its error; tried again slowly


#: States of windows that still owe a read and are not parked.
ACTIVE = (State.OWED, State.WALKING)


@dataclass(frozen=True, slots=True)
class Walk:
    """How far the read of a window has come: all that the next request needs. Stored as JSON."""

    #: the part being read is `[lower, window.before)`; None means the whole window
    lower: datetime | None = None
    offset: int = 0
    #: records asked for; None means the API's maximum
    limit: int | None = None
    #: rows asked for again on the next page
    overlap: int = 0
    #: identities at the tail of the previous page, "" for a row that has none, oldest position first
    anchor: tuple[str, ...] = ()
    #: which pass over the same rows this is, from 1
    number: int = 1
    #: rows of this pass that were new: to the database, or to a read of the whole kind
    fresh: int = 0
    #: the first page of this pass was asked for at this instant of the API's clock
    began_at: datetime | None = None
    #: pages in a row whose anchor was missing, or, of a few records, that had no others; of any other pass over a changing
    #: order, all that were empty
    misses: int = 0
    #: the order of the rows was seen to change between requests
    unstable: bool = False
    #: passes in a row that found nothing new
    quiet: int = 0
    #: the first identities of the last passes that went beyond their first page
    heads: tuple[str, ...] = ()
    #: requests since the last of these began
    asked: int = 0
    #: passes in a row that were ended by their first page, because one of these began alike
    repeats: int = 0
    #: so many rows are left, and a page has room for more
    shown: int = 0
    #: empty objects or nulls in a row, in place of the next page
    hollow: int = 0
    #: it comes from a window that was cut whole, not from behind a pilot: it is asked for before it is cut again
    sized: bool = False


@dataclass(frozen=True, slots=True)
class WindowRow:
    """One row of `sync_windows`, with what the reader needs of its kind."""

    id: int
    kind: str
    window: Window
    purpose: Purpose
    state: State
    #: fencing token: raised by every commit; a commit with an older one changes nothing
    epoch: int
    walk: Walk = field(default_factory=Walk)
    #: failures in a row
    attempts: int = 0
    not_before: datetime | None = None
    last_error: str | None = None
    #: up to here it reads again what was covered when it was planned; None where it reads nothing twice
    covered_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class KindState:
    """One row of `sync_kinds`: what lasts about a kind."""

    kind: str
    #: from where on the kind is wanted; None before the first plan
    start: datetime | None = None
    paused: bool = False
    #: why the API does not offer the kind; None where it does
    disabled: str | None = None
    disabled_at: datetime | None = None
    #: rows a full page really has, once the server has shown a cap below what we asked
    page_cap: int | None = None
    #: most rows ever received in one page: a page with fewer is the last one
    largest_page: int = 0
    #: an empty list was received: this API does not mean one by an empty object or null
    gives_lists: bool = False
    planned_at: datetime | None = None
    #: last complete read of a kind that is read whole
    whole_read_at: datetime | None = None
    #: last time the recent days were read again
    swept_at: datetime | None = None
    last_error: str | None = None
    last_error_at: datetime | None = None
