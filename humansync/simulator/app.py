"""From a request line to an answer: paths, credentials, and the endpoints for who runs the simulator. Pure."""

import base64
import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import parse_qsl, unquote

import orjson

from humansync.kinds import KINDS
from humansync.simulator.faults import JSON_TYPE, Answer, Fault, refusal
from humansync.simulator.instants import from_ms, iso, parse_iso
from humansync.simulator.switches import SwitchError
from humansync.simulator.world import World

_BY_PATH = {kind.path: kind.name for kind in KINDS.values()}
_NDJSON = ("Content-Type", "application/x-ndjson")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, as far as the simulator looks at it."""

    method: str
    #: path and query string
    target: str
    #: names in lower case
    headers: Mapping[str, str]
    body: bytes = b""


class App:
    """Answers HTTP requests from a world."""

    def __init__(self, world: World, *, client_id: str = "simulator", app_key: str = "simulator") -> None:
        self.world = world
        self._users = f"/v1/apps/{client_id}/users"
        self._basic = "Basic " + base64.b64encode(f"{app_key}:".encode()).decode()

    def answer(self, request: Request) -> Answer:
        """Return the answer to a request, compressed where switched on and accepted."""
        path, _, query = request.target.partition("?")
        if path.startswith("/_"):
            return self._operate(request, path, query)
        answer = self._api(request, path, query)
        if self.world.switches.gzip and "gzip" in request.headers.get("accept-encoding", "") and answer.body:
            return _compressed(answer)
        return answer

    def _api(self, request: Request, path: str, query: str) -> Answer:
        if not path.startswith(self._users):
            return refusal(Fault.E404)
        if request.headers.get("authorization") != self._basic:
            return self.world.stranger()
        if request.method != "GET":
            return _json({"statusCode": 405, "error": "Method Not Allowed"}, 405)
        rest = unquote(path[len(self._users) :]).strip("/")
        kind = _BY_PATH.get(rest)
        if kind is None:
            return self.world.users(rest or None)
        params = dict(parse_qsl(query, keep_blank_values=True))
        return self.world.query(kind, params, url=f"http://{request.headers.get('host', 'localhost')}{path}")

    def _operate(self, request: Request, path: str, query: str) -> Answer:
        """Answer who runs the simulator: no credentials, no faults, no tally."""
        try:
            if path.startswith("/_truth/"):
                return self._truth(path.removeprefix("/_truth/"), dict(parse_qsl(query)))
            if path == "/_stats":
                return _json(self._stats())
            if path == "/_control":
                return _json(self._control(request.body))
        except KeyError as error:
            return _json({"error": f"there is no {error}"}, 404)
        except (SwitchError, TypeError, ValueError) as error:
            return _json({"error": str(error)}, 400)
        return refusal(Fault.E404)

    def _stats(self) -> dict[str, object]:
        """Return what was asked and answered since the start, and how many records there are."""
        records = {kind: self.world.count(kind) for kind in KINDS}
        return self.world.tally.as_dict() | {"now": iso(self.world.now_ms()), "records": records}

    def _truth(self, kind: str, params: Mapping[str, str]) -> Answer:
        """Return one JSON array a line: identity, updatedAt, digest."""
        truth = self.world.truth(kind, since=_instant(params, "since"), before=_instant(params, "before"))
        lines = b"".join(orjson.dumps([name, *facts]) + b"\n" for name, facts in truth.items())
        return Answer(200, (_NDJSON,), lines)

    def _control(self, body: bytes) -> dict[str, object]:
        """Set switches, then act, as the JSON document says (none: neither); return the switches and what came of it."""
        order = orjson.loads(body or b"{}")
        if not isinstance(order, dict) or order.keys() - {"set", "do"}:
            raise ValueError('a document {"set": {switch: value}, "do": [{act: ...}]} is expected')
        self.world.set(**order.get("set", {}))
        results = [self._act(**act) for act in order.get("do", [])]
        return {"switches": self.world.switches.as_dict(), "results": results}

    def _act(self, act: str, **arguments: object) -> object:
        acts: dict[str, Callable[..., object]] = {
            "add": self.world.add,
            "change": self.world.change,
            "delete": self.world.delete,
            "resync": self.world.resync,
            "delete_user": self.world.delete_user,
            "fail_next": self.world.fail_next,
            "put": self.world.put,
        }
        if act not in acts:
            raise ValueError(f"there is no act {act!r}; there are: {', '.join(acts)}")
        return acts[act](**arguments)


def _instant(params: Mapping[str, str], name: str) -> datetime | None:
    if name not in params:
        return None
    instant = parse_iso(params[name])
    if instant is None:
        raise ValueError(f"{name} is an ISO 8601 instant with an offset")
    return from_ms(instant)


def _json(value: object, status: int = 200) -> Answer:
    return Answer(status, (JSON_TYPE,), orjson.dumps(value))


def _compressed(answer: Answer) -> Answer:
    """Return the answer gzipped; a cut stays in the middle."""
    if answer.header("Content-Encoding"):
        return answer
    body = gzip.compress(answer.body, 1, mtime=0)
    cut_at = answer.cut_at if answer.cut_at in {None, -1} else len(body) // 2
    return replace(answer, headers=(*answer.headers, ("Content-Encoding", "gzip")), body=body, cut_at=cut_at)
