"""dlt as someone would set it up who knows it well; runs in an environment of its own.

    python dlt_pipeline.py JOB rows|arrow append|merge

Pages are fetched by a parallelized transformer on as many threads as every contender has; typed columns are declared;
nested values stay JSON instead of becoming tables; the pipeline's own CSV writer and COPY load them (faster than the
default `insert_values`, for both paths); normalisation uses both cores. Rows: dictionaries through dlt's normaliser.
Arrow: tables, which go by it.

append: what a first load needs, and the cheapest way to do it. merge: with a primary key, as humansync does at all
times, so that a record that comes again replaces itself. A second run asks for what came since the first.
"""

import json
import math
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

PAGE = 500
FILL = 0.98
#: how far behind now a second run's window ends
SETTLE = timedelta(minutes=2)
DLT_TYPES = {"text": "text", "double precision": "double", "boolean": "bool", "timestamptz": "timestamp"}
DLT_TYPES |= {"date": "date", "jsonb": "json"}

JOB: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
THREADS = JOB["processes"] * JOB["threads"]
os.environ |= {
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
    "EXTRACT__WORKERS": str(THREADS),
    "EXTRACT__MAX_PARALLEL_ITEMS": str(2 * THREADS),
    "NORMALIZE__WORKERS": str(JOB["processes"]),
    "LOAD__WORKERS": str(JOB["processes"]),
    # Files of this size: enough of them for every worker, none so small that it costs.
    "DATA_WRITER__FILE_MAX_ITEMS": str(max(PAGE, JOB["records"] * len(JOB["kinds"]) // (4 * JOB["processes"]))),
    "DATA_WRITER__DISABLE_COMPRESSION": "true",
}

import dlt  # noqa: E402 - reads the environment
import orjson  # noqa: E402
import pyarrow as pa  # noqa: E402
import urllib3  # noqa: E402

API = urllib3.PoolManager(maxsize=THREADS, block=True, retries=3)
HEADERS = {"authorization": JOB["authorization"], "accept": "application/json"}


def cut(since: datetime, before: datetime, records: int) -> Iterator[dict[str, Any]]:
    """Yield the query of every window, a page each as far as is known."""
    span_s = (before - since).total_seconds()
    parts = max(math.ceil(records / (FILL * PAGE)), math.ceil(span_s / (30 * 86_400)), 1)
    edges = [since + timedelta(seconds=span_s * number // parts) for number in range(parts)] + [before]
    for first, last in pairwise(edges):
        yield {"updated_since": f"{first:%Y%m%dT%H%M%SZ}", "updated_before": f"{last:%Y%m%dT%H%M%SZ}", "offset": 0}


def queries(kind: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield what to ask: everything the first time, what came since the next."""
    state = dlt.current.resource_state()
    if not kind["windowed"]:
        yield from ({"offset": offset} for offset in range(0, JOB["records"] if "before" not in state else 1, PAGE))
    elif "before" in state:
        now = datetime.now(UTC) - SETTLE
        yield from cut(datetime.fromisoformat(state["before"]), now, 0)
        state["before"] = now.isoformat()
        return
    else:
        yield from cut(datetime.fromisoformat(JOB["since"]), datetime.fromisoformat(JOB["before"]), JOB["records"])
    state["before"] = JOB["before"]


def pages(kind: dict[str, Any], query: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """Yield the pages of one window: one, unless it turns out to be full."""
    while True:
        fields = {**query, "limit": PAGE}
        answer = API.request("GET", f"{JOB['users_url']}/{kind['path']}", fields=fields, headers=HEADERS)
        if answer.status != 200:
            raise RuntimeError(f"status {answer.status}")
        records = orjson.loads(answer.data)
        yield records
        if len(records) < PAGE or not kind["windowed"]:
            return
        query = {**query, "offset": query["offset"] + PAGE}


def cell(kind: dict[str, Any], column: dict[str, Any], record: dict[str, Any], *, as_text: bool) -> Any:
    key, _, inner = column["key"].partition(".")
    value = record.get(key)
    if inner:
        value = (value or {}).get(inner)
    if column["unit"]:
        return kind["units"].get(value)
    if as_text and column["type"] == "jsonb" and value is not None:
        return orjson.dumps(value).decode()
    if as_text and column["type"] == "double precision" and value is not None:
        return float(value)
    return value


def rows(kind: dict[str, Any], records: list[dict[str, Any]], *, as_text: bool) -> list[dict[str, Any]]:
    columns = [(column["name"], column) for column in kind["columns"]]
    return [
        {name: cell(kind, column, record, as_text=as_text) for name, column in columns}
        | {"payload": orjson.dumps(record).decode() if as_text else record}
        for record in records
    ]


def table(kind: dict[str, Any], records: list[dict[str, Any]]) -> pa.Table:
    """Return a page as an Arrow table; times and dates are parsed by Arrow, whole columns at once."""
    texts = pa.Table.from_pylist(rows(kind, records, as_text=True), schema=as_read(kind))
    return texts.cast(as_stored(kind))


def as_read(kind: dict[str, Any]) -> pa.Schema:
    types = {"double precision": pa.float64(), "boolean": pa.bool_()}
    fields = [(column["name"], types.get(column["type"], pa.string())) for column in kind["columns"]]
    return pa.schema([*fields, ("payload", pa.string())])


def as_stored(kind: dict[str, Any]) -> pa.Schema:
    types = {"double precision": pa.float64(), "boolean": pa.bool_(), "date": pa.date32()}
    types["timestamptz"] = pa.timestamp("us", tz="UTC")
    fields = [(column["name"], types.get(column["type"], pa.string())) for column in kind["columns"]]
    return pa.schema([*fields, ("payload", pa.string())])


def resource(kind: dict[str, Any], path: str, disposition: Any) -> Any:
    hints: dict[str, Any] = {column["name"]: {"data_type": DLT_TYPES[column["type"]]} for column in kind["columns"]}
    hints["payload"] = {"data_type": "json"}
    source = dlt.resource(queries(kind), name=f"queries_of_{kind['name']}", selected=False)

    def read(query: dict[str, Any]) -> Iterator[Any]:
        for records in pages(kind, query):
            if records:
                yield table(kind, records) if path == "arrow" else rows(kind, records, as_text=False)

    return source | dlt.transformer(
        read,
        name=kind["name"],
        columns=hints,
        primary_key=kind["identity"] if disposition == "merge" else None,
        write_disposition=disposition,
        max_table_nesting=0,
        parallelized=True,
    )


def main(path: str, disposition: str) -> None:
    folder = Path(sys.argv[1]).parent / "dlt"
    pipeline = dlt.pipeline(
        "benchmark",
        pipelines_dir=str(folder),
        # dlt insists on a password; this server takes any.
        destination=dlt.destinations.postgres(JOB["database_url"].replace("humansync@", "humansync:any@")),
        dataset_name="bench",
    )

    @dlt.source(name="human_api")
    def source() -> list[Any]:
        return [resource(kind, path, disposition) for kind in JOB["kinds"]]

    pipeline.run(source(), loader_file_format="csv")


if __name__ == "__main__":
    main(*sys.argv[2:])
