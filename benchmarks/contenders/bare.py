"""The ceiling: a bare loop. Threads that fetch, parse and store one window each; no state, no retries, no questions.

It is told how many records there are, cuts its windows so that each fills a page, and reads each window once.
What it does not do is what a sync is made of; what it does, it does as humansync's hot path should: pooled urllib3,
orjson, one JSONB parameter (or one COPY) and one durable transaction a page, typed columns, newest version wins.
"""

import json
import math
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import orjson
import psycopg
import urllib3

Row = Callable[[dict[str, Any]], list[Any]]

PAGE = 500
#: evenly spread records still differ by one or two a window, and whole seconds add some
FILL = 0.98


def main(path: str, way: str) -> None:
    job = json.loads(Path(path).read_text())
    steps = [step for kind in job["kinds"] for step in cut(job, kind)]
    if job["processes"] == 1:
        work(job, steps, way)
        return
    pids = [fork(partial(work, job, steps[part :: job["processes"]], way)) for part in range(job["processes"])]
    if any(os.waitpid(pid, 0)[1] for pid in pids):
        raise SystemExit("a part has failed")


def fork(call: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        call()
        status = 0
    finally:
        os._exit(status)


def cut(job: dict[str, Any], kind: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield kind and query of every page."""
    if not kind["windowed"]:
        for offset in range(0, job["records"], PAGE):
            yield kind["name"], f"limit={PAGE}&offset={offset}"
        return
    since, before = datetime.fromisoformat(job["since"]), datetime.fromisoformat(job["before"])
    span_s = (before - since).total_seconds()
    parts = max(math.ceil(job["records"] / (FILL * PAGE)), math.ceil(span_s / (30 * 86_400)))
    edges = [since + timedelta(seconds=span_s * number // parts) for number in range(parts)] + [before]
    for first, last in pairwise(edges):
        yield kind["name"], f"updated_since={compact(first)}&updated_before={compact(last)}&limit={PAGE}&offset=0"


def compact(instant: datetime) -> str:
    return f"{instant:%Y%m%dT%H%M%SZ}"


def work(job: dict[str, Any], steps: list[tuple[str, str]], way: str) -> None:
    threads = min(job["threads"], len(steps))
    api = urllib3.PoolManager(maxsize=threads, block=True, retries=False)
    headers = {"authorization": job["authorization"], "accept": "application/json"}
    kinds = {kind["name"]: kind for kind in job["kinds"]}
    store = {"jsonb": jsonb, "copy": copy, "sqlite": lite}[way]
    writers = {name: store(kind) for name, kind in kinds.items()}
    connections: SimpleQueue[Any] = SimpleQueue()
    for _ in range(threads):
        connections.put(opened(job["database_url"]))

    def bring(step: tuple[str, str]) -> None:
        name, query = step
        answer = api.request("GET", f"{job['users_url']}/{kinds[name]['path']}?{query}", headers=headers)
        records = orjson.loads(answer.data)
        # the API's own count tells that the page is all of its window
        if answer.status != 200 or (kinds[name]["windowed"] and int(answer.headers["x-total-count"]) != len(records)):
            raise SystemExit(f"status {answer.status}, {len(records)} records of {answer.headers['x-total-count']}")
        connection = connections.get()
        writers[name](connection, records)
        connection.commit()
        connections.put(connection)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(bring, steps))


# --- rows -----------------------------------------------------------------------------------------


def row_of(kind: dict[str, Any], *, as_text: bool) -> Row:
    """Return a function from a record to its cells: one expression, made for the kind."""
    cells = ", ".join(cell(column, as_text=as_text) for column in kind["columns"])
    payload = "dumps(r).decode()" if as_text else "r"
    scope = {"units": kind["units"], "dumps": orjson.dumps}
    made: Row = eval(f"lambda r: [{cells}, {payload}]", scope)
    return made


def cell(column: dict[str, Any], *, as_text: bool) -> str:
    key, _, inner = column["key"].partition(".")
    value = f"r.get({key!r})"
    if inner:
        value = f"({value} or {{}}).get({inner!r})"
    if column["unit"]:
        value = f"units.get({value})"
    if as_text and column["type"] == "jsonb":
        return f"None if {value} is None else dumps({value}).decode()"
    return value


def conflict(kind: dict[str, Any]) -> str:
    names = [column["name"] for column in kind["columns"]]
    updated = [name for name in [*names, "payload", "synced_at"] if name not in kind["identity"]]
    newer = "excluded.payload <> t.payload"
    if kind["windowed"]:
        newer = f"excluded.updated_at > t.updated_at OR (excluded.updated_at = t.updated_at AND {newer})"
    assignments = ", ".join(f'"{name}" = excluded."{name}"' for name in updated)
    return f"ON CONFLICT ({', '.join(kind['identity'])}) DO UPDATE SET {assignments} WHERE {newer}"


def insert(kind: dict[str, Any]) -> str:
    names = ", ".join(f'"{column["name"]}"' for column in kind["columns"])
    return f'INSERT INTO "{kind["name"]}" AS t ({names}, payload, first_seen_at, synced_at)'


def jsonb(kind: dict[str, Any]) -> Callable[[Any, list[Any]], None]:
    """Return a writer that gives a page to the server as one JSON parameter."""
    cells = [
        f"nullif(e -> {place}, 'null')" if column["type"] == "jsonb" else f"(e ->> {place})::{column['type']}"
        for place, column in enumerate(kind["columns"])
    ]
    source = "jsonb_array_elements(%s::jsonb) AS e"
    statement = f"{insert(kind)} SELECT {', '.join(cells)}, e -> {len(cells)}, now(), now() FROM {source}"
    statement = f"{statement} {conflict(kind)}"
    row = row_of(kind, as_text=False)

    def write(connection: Any, records: list[Any]) -> None:
        connection.execute(statement, (orjson.dumps([row(record) for record in records]).decode(),), prepare=True)

    return write


def copy(kind: dict[str, Any]) -> Callable[[Any, list[Any]], None]:
    """Return a writer that copies a page into a temporary table and merges it from there."""
    names = ", ".join(f'"{column["name"]}"' for column in kind["columns"])
    page = f"page_of_{kind['name']}"
    typed = ", ".join(f'"{column["name"]}" {column["type"]}' for column in kind["columns"])
    make = f"CREATE TEMP TABLE IF NOT EXISTS {page} ({typed}, payload jsonb) ON COMMIT DELETE ROWS"
    merge = f"{insert(kind)} SELECT {names}, payload, now(), now() FROM {page} {conflict(kind)}"
    row = row_of(kind, as_text=True)

    def write(connection: Any, records: list[Any]) -> None:
        connection.execute(make)
        with connection.cursor() as cursor, cursor.copy(f"COPY {page} ({names}, payload) FROM STDIN") as stream:
            for record in records:
                stream.write_row(row(record))
        connection.execute(merge, prepare=True)

    return write


def lite(kind: dict[str, Any]) -> Callable[[Any, list[Any]], None]:
    """Return a writer for SQLite: the driver's executemany; instants as humansync stores them."""
    values = ", ".join("?" * (len(kind["columns"]) + 1))
    now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    statement = f"{insert(kind)} VALUES ({values}, {now}, {now}) {conflict(kind)}"
    row = row_of(kind, as_text=True)
    instants = [place for place, column in enumerate(kind["columns"]) if column["type"] == "timestamptz"]

    def write(connection: Any, records: list[Any]) -> None:
        rows = [row(record) for record in records]
        for cells in rows:
            for place in instants:
                if text := cells[place]:
                    cells[place] = f"{text[:10]} {text[11:23]}000"
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, rows)

    return write


def opened(url: str) -> Any:
    if not url.startswith("sqlite"):
        return psycopg.connect(url)
    path = url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


if __name__ == "__main__":
    main(*sys.argv[1:])
