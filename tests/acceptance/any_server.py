"""What an API may be like and still follow `human-api.md`: its freedoms, and few servers that together use all of them."""

import json
import random
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

from humansync.kinds import KINDS, Read
from tests.acceptance.api_process import ApiProcess, api_process, differences, humansync

DAYS = 90
SETTLE_S = 1

#: Section 9 of human-api.md, as switches of the simulator: each freedom and what servers may make of it.
FREEDOMS: dict[str, tuple[object, ...]] = {
    "order": (
        *("event-desc", "random", "updated-asc", "per-user"),
        *("updated-desc", "random-fixed", "natural", "event-asc"),
    ),
    "headers": ("both", "none", "wrong", "link", "total"),
    "bounds": ("ge-lt", "gt-le", "ge-le", "gt-lt"),
    "page_cap": (500, 100, 250, 50),
    "beyond": ("empty", "404", "400"),
    "clock_skew_s": (0, 240, -240),
    "date_skew_s": (0, -180, 180),
    "truncate": (False, True),
    "traits": ("ignore", "empty"),
    "duplicates": (0, 7),
    "stale_duplicates": (0, 0, 5),
    "odd": (0.0, 0.2),
    "lag_s": (0, 2),
    "change_every": (0, 3),
    "fault_rate": (0.0, 0.05),
    "short_pages": (0.0, 0.0, 0.1),
    "gzip": (False, True),
    "shared_ids": (False, True),
}
DATABASES = ("sqlite", "postgresql")

#: Every fault that passes. Refusals as well: 400, 401, 403 and 404 come from gateways that slip, too.
PASSING_FAULTS = (
    *("500", "502", "503", "503-after", "504", "429", "429-after", "html", "cut-json", "cut", "reset"),
    *("empty-object", "null", "error-object", "wrong-type", "400", "401", "403", "404"),
)


@dataclass(frozen=True, slots=True)
class Server:
    """One way to be the API, and the database that its records go to."""

    switches: dict[str, object]
    database: str

    def __str__(self) -> str:
        used = [f"{name}={value}" for name, value in self.switches.items() if value != FREEDOMS[name][0]]
        return " ".join([self.database, *used])

    @property
    def changes(self) -> bool:
        """Whether records change while they are read."""
        return bool(self.switches["change_every"])

    @property
    def fixture(self) -> str:
        """Name of the fixture that gives its database."""
        return {"sqlite": "sqlite_url", "postgresql": "postgres_url"}[self.database]

    @property
    def lag_s(self) -> float:
        """How long records hide at most."""
        return float(str(self.switches["lag_s"]))

    @property
    def late_date(self) -> bool:
        """Whether the Date header is behind the clock that records are dated by."""
        return float(str(self.switches["date_skew_s"])) < 0

    @property
    def flags(self) -> list[str]:
        """Return the simulator's arguments."""
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in self.switches.items()]
        return [*flags, f"--faults={','.join(PASSING_FAULTS)}", "--retry-after-s=1", "--change=5", "--scope=kind"]


def every_value() -> list[Server]:
    """Return as few servers as show every value of every freedom at least once, dealt out at random, always the same."""
    number = max(map(len, FREEDOMS.values()))
    dealt = {name: _deal(name, values, number) for name, values in {**FREEDOMS, "database": DATABASES}.items()}
    rows = [{name: values[i] for name, values in dealt.items()} for i in range(number)]
    return [_server(row) for row in rows]


def _deal(name: str, values: Sequence[object], number: int) -> list[object]:
    deck = [values[i % len(values)] for i in range(number)]
    random.Random(name).shuffle(deck)
    return deck


def _server(row: dict[str, object]) -> Server:
    return Server({name: value for name, value in row.items() if name != "database"}, str(row["database"]))


def every_pair(seed: int) -> Iterator[Server]:
    """Yield servers that together show every two values of any two freedoms at once. Greedy: not the fewest."""
    chance = random.Random(seed)
    domains = {**{name: tuple(dict.fromkeys(values)) for name, values in FREEDOMS.items()}, "database": DATABASES}
    missing = {
        ((a, x), (b, y)) for a, b in combinations(domains, 2) for x in domains[a] for y in domains[b]
    }  # fmt: skip
    while missing:
        tries = [{name: chance.choice(values) for name, values in domains.items()} for _ in range(60)]
        # One pair that is missing is built in, so that each server brings something.
        wanted = dict(min(missing, key=repr))
        best = max((row | wanted for row in tries), key=lambda row: len(missing & _pairs(row)))
        missing -= _pairs(best)
        yield _server(best)


def _pairs(row: dict[str, object]) -> set[tuple[tuple[str, object], tuple[str, object]]]:
    return set(combinations(row.items(), 2))


# --- the job --------------------------------------------------------------------------------------


class Job:
    """`humansync run --since 90d --json`, as often as wanted, in one folder against one server and one database."""

    def __init__(self, api: ApiProcess, database_url: str, folder: Path) -> None:
        self.api = api
        self.database_url = database_url
        self.folder = folder
        self.environment = {
            **api.environment(),
            "DATABASE_URL": database_url,
            "HUMANSYNC_RATE": "0",
            "HUMANSYNC_SETTLE_S": str(SETTLE_S),
        }

    def run(self, *kinds: str) -> "subprocess.CompletedProcess[str]":
        """Run once."""
        words = ("run", *kinds, "--since", f"{DAYS}d", "--json")
        return humansync(*words, environment=self.environment, cwd=str(self.folder), timeout_s=240)

    @staticmethod
    def document(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
        """Return the one JSON document that a run has printed."""
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def report(self, *kinds: str) -> dict[str, Any]:
        """Run once, to the end, and return the document."""
        done = self.run(*kinds)
        assert done.returncode == 0, done.stderr + done.stdout
        return self.document(done)

    def differences(self, *kinds: str) -> dict[str, dict[str, int]]:
        """Return what is missing, stale or extra; nothing, if all is well."""
        return differences(self.api, self.database_url, kinds)


def load(kinds: Iterable[str], records: int) -> list[str]:
    """Return the simulator's arguments for records evenly spread over the days of a job, all of them older than any clock."""
    until = (datetime.now(UTC) - timedelta(minutes=10)).isoformat()
    return ["--kinds", ",".join(kinds), "--records", str(records), "--days", str(DAYS - 0.1), "--until", until]


def prove(server: Server, kinds: Sequence[str], records: int, database_url: str, folder: Path) -> None:
    """Run against a server; where its records change under the reader, again when they are quiet."""
    if server.changes:
        # A collection without times is read whole once a day; a change beyond its first page waits for that.
        kinds = [kind for kind in kinds if KINDS[kind].read is Read.WINDOWED]
    with api_process(*load(kinds, records), *server.flags) as api:
        job = Job(api, database_url, folder)
        job.report(*kinds)
        if server.changes:
            # A Date that runs ahead stays: set right, nothing would be read again before its time has come.
            api.control(change_every=0, **({"date_skew_s": 0} if server.late_date else {}))
            time.sleep(SETTLE_S + server.lag_s + 2)
            job.report(*kinds)
            if server.late_date:  # that pass has ended by a clock that was behind, and has found that out
                job.report(*kinds)
        # an API that applies the bounds to records without times gives none of them: there is nothing to be had
        given = [kind for kind in kinds if KINDS[kind].read is Read.WINDOWED or server.switches["traits"] == "ignore"]
        assert (found := job.differences(*given)) == {}, found
