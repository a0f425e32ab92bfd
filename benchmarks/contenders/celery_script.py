"""A plain Celery script, as many are: one task a window, offset paging inside, rows by executemany, retries by Celery.

    BENCHMARK_JOB=job.json python celery_script.py threads     starts the workers, sends the tasks, waits for them, stops the workers

It keeps no account of what is done: after a crash everything is fetched again.
"""

import json
import math
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import psycopg
import requests
from celery import Celery, group
from psycopg.types.json import Jsonb, set_json_dumps

PAGE = 500
#: hourly, daily, ... windows: whatever comes nearest to a page
FILL = 0.9

JOB: dict[str, Any] = json.loads(Path(os.environ["BENCHMARK_JOB"]).read_text())
KINDS: dict[str, dict[str, Any]] = {kind["name"]: kind for kind in JOB["kinds"]}

app = Celery("celery_script", broker=JOB["redis_url"], backend=JOB["redis_url"])
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4, worker_send_task_events=False)
set_json_dumps(lambda value: orjson.dumps(value))  # noqa: PLW0108 - dumps has more parameters than psycopg may see


class Held(threading.local):
    """What a thread keeps open."""

    session: "requests.Session | None" = None
    connection: "psycopg.Connection[Any] | None" = None


held = Held()


def session() -> requests.Session:
    """Return this thread's session, of one connection."""
    if held.session is None:
        held.session = requests.Session()
        held.session.headers["Authorization"] = JOB["authorization"]
    return held.session


def connection() -> "psycopg.Connection[Any]":
    """Return this thread's connection."""
    if held.connection is None:
        held.connection = psycopg.connect(JOB["database_url"])
    return held.connection


@app.task(autoretry_for=(requests.RequestException, psycopg.OperationalError), retry_backoff=True)
def bring(name: str, since: str | None, before: str | None, offset: int, pages: int) -> int:
    """Bring one window in; return its records."""
    kind, brought = KINDS[name], 0
    bounds = {"updated_since": since, "updated_before": before} if since else {}
    for number in range(pages):
        query: dict[str, Any] = {**bounds, "limit": PAGE, "offset": offset + number * PAGE}
        answer = session().get(f"{JOB['users_url']}/{kind['path']}", params=query, timeout=60)
        answer.raise_for_status()
        records = orjson.loads(answer.content)
        if records:
            with connection().transaction(), connection().cursor() as cursor:
                cursor.executemany(upsert(name), [cells(kind, record) for record in records])
        brought += len(records)
        if len(records) < PAGE:
            break
    return brought


def cells(kind: dict[str, Any], record: dict[str, Any]) -> list[Any]:
    return [cell(kind, column, record) for column in kind["columns"]] + [Jsonb(record)]


def cell(kind: dict[str, Any], column: dict[str, Any], record: dict[str, Any]) -> Any:
    key, _, inner = column["key"].partition(".")
    value = record.get(key)
    if inner:
        value = (value or {}).get(inner)
    if column["unit"]:
        return kind["units"].get(value)
    return Jsonb(value) if column["type"] == "jsonb" and value is not None else value


@cache
def upsert(name: str) -> str:
    kind = KINDS[name]
    names = [column["name"] for column in kind["columns"]]
    quoted = ", ".join(f'"{column}"' for column in names)
    values = ", ".join(f"%s::{column['type']}" for column in kind["columns"])
    updated = [column for column in [*names, "payload", "synced_at"] if column not in kind["identity"]]
    assignments = ", ".join(f'"{column}" = excluded."{column}"' for column in updated)
    newer = "excluded.updated_at >= t.updated_at" if kind["windowed"] else "true"
    return (
        f'INSERT INTO "{name}" AS t ({quoted}, payload, first_seen_at, synced_at) VALUES ({values}, %s, now(), now()) '
        f"ON CONFLICT ({', '.join(kind['identity'])}) DO UPDATE SET {assignments} WHERE {newer}"
    )


def cut() -> list[tuple[str, str | None, str | None, int, int]]:
    """Return the arguments of every task."""
    steps: list[tuple[str, str | None, str | None, int, int]] = []
    since, before = datetime.fromisoformat(JOB["since"]), datetime.fromisoformat(JOB["before"])
    span_s = (before - since).total_seconds()
    parts = max(math.ceil(JOB["records"] / (FILL * PAGE)), math.ceil(span_s / (30 * 86_400)))
    edges = [since + timedelta(seconds=span_s * number // parts) for number in range(parts)] + [before]
    texts = [f"{edge:%Y%m%dT%H%M%SZ}" for edge in edges]
    for name, kind in KINDS.items():
        if kind["windowed"]:
            steps += [(name, first, last, 0, 1000) for first, last in pairwise(texts)]
        else:
            steps += [(name, None, None, offset, 1) for offset in range(0, JOB["records"], PAGE)]
    return steps


def worker(number: int, *pool: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-P", "-m", "celery", "--workdir", str(Path(__file__).parent), "-A", "celery_script"]
    command += ["worker", "--loglevel", "warning", "--hostname", f"script{number}@%h", *pool]
    return subprocess.Popen([*command, "--without-mingle", "--without-gossip"])


def main(pool: str) -> None:
    processes, threads = str(JOB["processes"]), str(JOB["threads"])
    if pool == "prefork":
        workers = [worker(1, "--pool", "prefork", "--concurrency", processes)]
    else:
        workers = [worker(n, "--pool", "threads", "--concurrency", threads) for n in range(JOB["processes"])]
    try:
        results = group(bring.s(*step) for step in cut()).apply_async()
        brought = sum(results.get(timeout=600))
    finally:
        for each in workers:
            each.terminate()
        for each in workers:
            each.wait(30)
    print(json.dumps({"records": brought}))


if __name__ == "__main__":
    main(*sys.argv[1:])
