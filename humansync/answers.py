"""What an answer of the API says: records, counts, clock, or which of our errors it is. Pure.

Headers of batch answers are undocumented: each may be absent or wrong, and none is trusted alone.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import orjson

from humansync.errors import ApiError, BadRequest, NotOffered, Throttled, Unauthorized, Unavailable

#: A wait longer than this is cut: asking once an hour hurts nobody.
RETRY_AFTER_MAX_S = 3600.0

#: What a gateway says of a request that it gave up on: as good as no answer.
_TRANSIENT = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY)

#: Said of `{}` and `null`, which may stand for an empty list, or for a mishap.
HOLLOW = "an empty object or null in place of a list"

_RELATION = re.compile(r"""(?i);\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]+))""")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9.+-]{1,40}/[A-Za-z0-9.+-]{1,40}")


def records(body: bytes, headers: Mapping[str, str]) -> list[object] | None:
    """Return the records of a body; None for `{}` and `null`, which stand for none; Unavailable if it is no list."""
    try:
        decoded = _decode(body)
    except (ValueError, RecursionError):
        # The cause's text would quote the body.
        raise Unavailable(f"the API answered 200 without JSON ({facts(headers, body)})", status=200) from None
    if isinstance(decoded, list):
        return decoded
    if decoded is None or decoded == {}:
        return None
    what = "an object" if isinstance(decoded, dict) else "a single value"
    raise Unavailable(f"the API answered 200 with {what} in place of a list ({facts(headers, body)})", status=200)


def _decode(body: bytes) -> object:
    """Return the JSON value of a body; ValueError or RecursionError where it is none.

    The slow path takes what strict JSON forbids but one odd record may hold: lone surrogates, NaN,
    infinities, bytes that are no UTF-8, line ends within a text, numbers of thousands of digits. A page is not lost
    for it.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body.decode("utf-8-sig", "replace"), strict=False, parse_int=_integer)


def _integer(digits: str) -> int | str:
    """Return the number, or its digits where Python refuses to read so many."""
    try:
        return int(digits)
    except ValueError:
        return digits


def refusal(status: int, headers: Mapping[str, str], now: datetime) -> ApiError:
    """Return the error of an answer that is not 200, cut by what happens next."""
    message = f"the API answered {status} ({facts(headers)})"
    match status:
        case HTTPStatus.UNAUTHORIZED:
            return Unauthorized(f"{message}: check HUMANAPI_APP_KEY", status=status)
        case HTTPStatus.FORBIDDEN | HTTPStatus.NOT_FOUND:
            return NotOffered(message, status=status)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Throttled(message, status=status, after_s=retry_after(headers, now))
        case HTTPStatus.SERVICE_UNAVAILABLE if "Retry-After" in headers:
            return Throttled(message, status=status, after_s=retry_after(headers, now))
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _TRANSIENT:
        return BadRequest(message, status=status)
    return Unavailable(message, status=status)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return the wait asked for in seconds, given as seconds or as a date; None where unreadable.

    A date counts from the answer's own Date where there is one: the API's clock need not be ours, which is `now`.
    """
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]*)?", text):
        return min(float(text), RETRY_AFTER_MAX_S)
    until = http_date(text)
    if until is None:
        return None
    seconds = (until - (http_date(headers.get("Date")) or now)).total_seconds()
    return min(max(seconds, 0.0), RETRY_AFTER_MAX_S)


def http_date(text: str | None) -> datetime | None:
    """Return the aware UTC instant of an HTTP date; None where unreadable."""
    try:
        instant = parsedate_to_datetime(text or "")
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def count(text: str | None) -> int | None:
    """Return the number in a header; None where it is none."""
    digits = (text or "").strip()  # of more than `int` takes off by itself
    return int(digits) if re.fullmatch(r"[0-9]{1,15}", digits) else None


def has_next(link: str | None) -> bool | None:
    """Return whether a Link header (RFC 8288) names a next page; None where it names no relation.

    Its addresses repeat every parameter, secrets among them: they are neither used nor kept.
    """
    relations = _RELATION.findall(re.sub(r"<[^>]*>", "", link or ""))
    if not relations:
        return None
    return any("next" in (quoted or bare).lower().split() for quoted, bare in relations)


def facts(headers: Mapping[str, str], body: bytes | None = None) -> str:
    """Return what may be said of a body in a message: its type and length, nothing out of it."""
    media_type = _MEDIA_TYPE.match(headers.get("Content-Type", ""))
    length = len(body) if body is not None else count(headers.get("Content-Length"))
    return f"{media_type[0] if media_type else 'no content type'}, {'unknown' if length is None else length} bytes"
