"""Faults: what an API, or the way to it, does instead of answering. Pure: they are values, the server acts them out."""

import gzip
from dataclasses import dataclass, replace
from enum import StrEnum


class Fault(StrEnum):
    """One thing that can happen to a request."""

    # refusals that pass
    E500 = "500"
    E502 = "502"  #: a gateway's HTML page
    E503 = "503"
    E503_AFTER = "503-after"  #: with Retry-After
    E504 = "504"
    E429 = "429"  #: without Retry-After
    E429_AFTER = "429-after"  #: with Retry-After, in the form of the switch `retry_after`
    # answers that are none
    HTML = "html"  #: 200 with a web page
    CUT_JSON = "cut-json"  #: 200, whole by its Content-Length, but the JSON ends in the middle
    CUT = "cut"  #: the connection is closed in the middle of the body
    RESET = "reset"  #: the connection is closed before any answer
    # answers that mislead
    EMPTY_OBJECT = "empty-object"
    NULL = "null"
    ERROR_OBJECT = "error-object"  #: 200 with `{"error": ...}`
    WRONG_TYPE = "wrong-type"  #: the right body as text/html
    # refusals that stay
    E400 = "400"
    E401 = "401"
    E403 = "403"
    E404 = "404"
    REDIRECT = "redirect"  #: 302 to another host
    # time and size
    SLOW = "slow"  #: the body comes in drips
    STALL = "stall"  #: headers, then silence
    HUGE = "huge"  #: a body of `huge_mb`
    BOMB = "bomb"  #: the same, compressed to a thousandth


#: What a client should get over by asking again.
DEFAULT_MIX = (
    Fault.E500,
    Fault.E502,
    Fault.E503,
    Fault.E503_AFTER,
    Fault.E504,
    Fault.E429,
    Fault.E429_AFTER,
    Fault.HTML,
    Fault.CUT_JSON,
    Fault.CUT,
    Fault.RESET,
)

JSON_TYPE = ("Content-Type", "application/json; charset=utf-8")
_HTML_TYPE = ("Content-Type", "text/html")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and how it travels. Who has no socket may read the travel notes and act as they see fit."""

    status: int
    #: without Content-Length and Connection, which are the transport's own
    headers: tuple[tuple[str, str], ...]
    body: bytes
    #: seconds before the first byte
    delay_s: float = 0.0
    #: the connection is closed after so many bytes of the body; -1: before any byte at all
    cut_at: int | None = None
    #: seconds over which the body is spread
    spread_s: float = 0.0
    #: seconds of silence between headers and body
    stall_s: float = 0.0
    #: the fault behind it, None for a good answer
    fault: Fault | None = None

    def header(self, name: str) -> str | None:
        """Return the value of a header by its name, in whatever case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


#: Answers whose body is made without looking at any record.
_FIXED: dict[Fault, tuple[int, tuple[str, str], bytes]] = {
    Fault.E500: (500, JSON_TYPE, b'{"code":500,"error":"Internal Server Error"}'),
    Fault.E502: (502, _HTML_TYPE, b"<html><body><h1>502 Bad Gateway</h1><hr>nginx</body></html>"),
    Fault.E503: (503, _HTML_TYPE, b"<html><body><h1>503 Service Temporarily Unavailable</h1></body></html>"),
    Fault.E504: (504, _HTML_TYPE, b"<html><body><h1>504 Gateway Time-out</h1><hr>nginx</body></html>"),
    Fault.E429: (429, JSON_TYPE, b'{"statusCode":429,"error":"Too Many Requests"}'),
    Fault.HTML: (200, _HTML_TYPE, b"<!DOCTYPE html><html><body>We will be back soon.</body></html>"),
    Fault.EMPTY_OBJECT: (200, JSON_TYPE, b"{}"),
    Fault.NULL: (200, JSON_TYPE, b"null"),
    Fault.ERROR_OBJECT: (200, JSON_TYPE, b'{"statusCode":500,"error":"Internal","message":"try later"}'),
    Fault.E400: (400, JSON_TYPE, b'{"statusCode":400,"error":"Bad Request"}'),
    Fault.E401: (401, JSON_TYPE, b'{"code":401,"error":"Unauthorized"}'),
    Fault.E403: (403, JSON_TYPE, b'{"code":403,"error":"Forbidden"}'),
    Fault.E404: (404, JSON_TYPE, b'{"code":404,"error":"Not Found"}'),
    Fault.REDIRECT: (302, _HTML_TYPE, b""),
}
_SAME_BODY_AS = {Fault.E503_AFTER: Fault.E503, Fault.E429_AFTER: Fault.E429}

#: Faults that replace the answer before any record is looked at.
BEFORE_READING = frozenset(_FIXED) | frozenset(_SAME_BODY_AS) | {Fault.RESET, Fault.HUGE, Fault.BOMB}


def refusal(fault: Fault, *extra: tuple[str, str]) -> Answer:
    """Return the answer of a fault that needs no records."""
    status, content_type, body = _FIXED[_SAME_BODY_AS.get(fault, fault)]
    return Answer(status, (content_type, *extra), body, fault=fault)


def reset() -> Answer:
    """Return an answer that never comes: the connection is closed."""
    return Answer(200, (JSON_TYPE,), b"", cut_at=-1, fault=Fault.RESET)


def oversized(fault: Fault, size: int) -> Answer:
    """Return a body of `size` bytes that is good JSON; for `bomb` compressed, which makes it small on the way."""
    head, tail = b'[{"id":"', b'"}]'
    body = head + b"a" * max(0, size - len(head) - len(tail)) + tail
    if fault is Fault.BOMB:
        return Answer(200, (JSON_TYPE, ("Content-Encoding", "gzip")), gzip.compress(body, 1, mtime=0), fault=fault)
    return Answer(200, (JSON_TYPE,), body, fault=fault)


def spoil(answer: Answer, fault: Fault, *, slow_s: float, stall_s: float) -> Answer:
    """Return a good answer damaged on its way."""
    half = len(answer.body) // 2
    match fault:
        case Fault.CUT_JSON:
            return replace(answer, body=answer.body[:half], fault=fault)
        case Fault.CUT:
            return replace(answer, cut_at=half, fault=fault)
        case Fault.WRONG_TYPE:
            others = tuple(header for header in answer.headers if header != JSON_TYPE)
            return replace(answer, headers=(_HTML_TYPE, *others), fault=fault)
        case Fault.SLOW:
            return replace(answer, spread_s=slow_s, fault=fault)
        case Fault.STALL:
            return replace(answer, stall_s=stall_s, fault=fault)
        case _:
            raise ValueError(f"{fault} does not spoil an answer")
