"""What a request asks for, as the API reads it: bounds, limit, offset, paging headers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from humansync.kinds import KINDS, Read
from humansync.simulator.instants import DAY_MS, SECOND_MS, parse_compact
from humansync.simulator.switches import Switches

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
MAX_WINDOW_MS = 31 * DAY_MS
#: Milliseconds that no record reaches, on either side.
_BEGINNING, _END = -(2**45), 2**45


@dataclass(frozen=True, slots=True)
class Ask:
    """A request understood: records updated in [since, before) milliseconds, and the page of them."""

    since: int
    before: int
    limit: int
    offset: int


class RefusedError(ValueError):
    """The request is answered with 400; the message says why."""


def read(kind: str, params: Mapping[str, str], now: int, switches: Switches) -> Ask:
    """Return what the parameters ask for at the instant `now`; RefusedError where the switches say so."""
    limit = _whole_number(params.get("limit"), DEFAULT_LIMIT, least=1)
    if limit > MAX_LIMIT and switches.over_limit == "400":
        raise RefusedError(f"limit is at most {MAX_LIMIT}")
    limit = min(limit, MAX_LIMIT, switches.page_cap)
    offset = _whole_number(params.get("offset"), 0, least=0)
    if KINDS[kind].read is Read.WHOLE:
        nothing = switches.traits == "empty"
        return Ask(_BEGINNING, _BEGINNING if nothing else _END, limit, offset)
    since, before = _bounds(params, now, switches)
    return Ask(since, max(since, before), limit, offset)


def _bounds(params: Mapping[str, str], now: int, switches: Switches) -> tuple[int, int]:
    since = _instant(params, "updated_since", switches)
    before = _instant(params, "updated_before", switches)
    opened, closed = before is None, now if before is None else before
    start = now - DAY_MS if since is None else since
    start, closed = _narrow(start, closed, now, switches)
    first = start + (_step(switches) if switches.bounds.startswith("gt") else 0)
    last = closed + (_step(switches) if switches.bounds.endswith("le") else 0)
    if switches.ignore in {"since", "both"}:
        first = _BEGINNING
    if switches.ignore in {"before", "both"} or (opened and closed == now):
        last = _END
    return first, last


def _step(switches: Switches) -> int:
    """Return how far apart two values are that the server can tell from each other."""
    return SECOND_MS if switches.truncate else 1


def _narrow(since: int, before: int, now: int, switches: Switches) -> tuple[int, int]:
    """Return the bounds as the limits on width and age leave them."""
    if before - since > MAX_WINDOW_MS:
        match switches.wide:
            case "400":
                raise RefusedError("the window is over 31 days")
            case "clamp-head":
                since = before - MAX_WINDOW_MS
            case "clamp-tail":
                before = since + MAX_WINDOW_MS
    if before < now - MAX_WINDOW_MS:
        match switches.old:
            case "400":
                raise RefusedError("the window is over 31 days ago")
            case "empty":
                before = since
    return since, before


def _instant(params: Mapping[str, str], name: str, switches: Switches) -> int | None:
    text = params.get(name)
    if text is None:
        return None
    instant = parse_compact(text)
    if instant is None and switches.malformed == "400":
        raise RefusedError(f"{name} is not YYYYMMDDTHHmmssZ")
    return instant


def _whole_number(text: str | None, default: int, *, least: int) -> int:
    """Return a count; the default for what is none, as lenient servers do."""
    if text is None or not text.isascii() or not text.isdigit():
        return default
    return max(int(text[:18]), least)


def link(url: str, params: Mapping[str, str], ask: Ask, rows: int, total: int) -> str:
    """Return the value of the Link header, with the rels that the API was seen to send.

    No `first` and `prev` on the first page, no `next` and `last` on the last, and `last` points behind the end
    when the total is a multiple of the limit. Empty where the whole answer is one page.
    """

    def one(offset: int, rel: str) -> str:
        query = urlencode({**params, "limit": str(ask.limit), "offset": str(offset)})
        return f'<{url}?{query}>; rel="{rel}"'

    rels = []
    more = ask.offset + rows < total
    if more:
        rels.append(one(ask.offset + rows, "next"))
    if ask.offset:
        rels.append(one(max(0, ask.offset - ask.limit), "prev"))
    if more:
        rels.append(one(total // ask.limit * ask.limit, "last"))
    if ask.offset:
        rels.append(one(0, "first"))
    return ", ".join(rels)
