"""What stands still while contenders come and go: the simulator, a durable PostgreSQL, a Redis."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Self

import psycopg

from benchmarks import meter
from benchmarks.job import Job
from humansync.kinds import KINDS, columns
from tests.servers import PostgresServer, RedisServer, dies_with_parent

#: The load ends this long ago, so that no contender has to wait for a settle delay.
ENDED = timedelta(minutes=10)
START_LIMIT_S = 120


class DurablePostgres(PostgresServer):
    """A PostgreSQL as it comes: every commit waits for the disk."""

    SETTINGS: ClassVar[dict[str, str]] = {"listen_addresses": "127.0.0.1", "unix_socket_directories": ""}


@dataclass(slots=True)
class Simulator:
    """The API: `records` of each kind, evenly spread over `days`."""

    records: int
    days: float
    kinds: tuple[str, ...] = ("activities",)
    switches: Sequence[str] = ()
    host: str = "127.0.0.1"
    #: words before the command, such as those that move it into a network namespace
    within: Sequence[str] = ()
    before: datetime = field(default_factory=lambda: (datetime.now(UTC) - ENDED).replace(microsecond=0))
    process: "subprocess.Popen[str] | None" = None
    url: str = ""
    #: of each kind's table, as the first contender filled it: the others must have stored the same
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def since(self) -> datetime:
        """Where the load begins."""
        return self.before - timedelta(days=self.days)

    def __enter__(self) -> Self:
        command = [*self.within, sys.executable, "-P", "-m", "humansync.simulator", "--port", "0", "--host", self.host]
        command += ["--records", str(self.records), "--days", str(self.days), "--kinds", ",".join(self.kinds)]
        command += ["--until", self.before.isoformat(), *self.switches]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=dies_with_parent(),  # noqa: PLW1509 -- no thread is near
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "listening on" not in line:
            raise RuntimeError(f"the simulator does not start: {line!r}")
        self.url = line.rpartition(" ")[2].strip()
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait()

    def stats(self) -> dict[str, Any]:
        """Return what was asked and answered since the start."""
        return self._ask("/_stats")

    def control(self, **order: object) -> dict[str, Any]:
        """Set switches, then act."""
        return self._ask("/_control", json.dumps(order).encode())

    def requests(self) -> int:
        """Return how many requests were made since the start."""
        return int(self.stats()["requests"])

    def job(self, **more: Any) -> Job:
        """Return the job of bringing all of it in."""
        return Job(
            api=self.url,
            client_id="simulator",
            app_key="simulator",
            kinds=self.kinds,
            since=self.since,
            before=self.before,
            records=self.records,
            **more,
        )

    def _ask(self, path: str, body: bytes | None = None) -> dict[str, Any]:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(self.url.removesuffix("/v1") + path, body, timeout=60) as answer:
            document: dict[str, Any] = json.load(answer)
        return document


class Stand:
    """The servers of one run of benchmarks, and a folder for its files."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="humansync-bench-")))
        self.folder.chmod(0o755)
        self.postgres = DurablePostgres().start()
        self._stack.callback(self.postgres.close)
        self.redis = RedisServer().start()
        self._stack.callback(self.redis.close)
        self._folders = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def new_folder(self) -> Path:
        """Return an empty folder: where a contender runs."""
        self._folders += 1
        folder = self.folder / str(self._folders)
        folder.mkdir()
        return folder

    @contextmanager
    def database(self, statements: Sequence[str] = ()) -> Iterator[str]:
        """Make a database with these tables, yield its address, drop it; what it has left to write is written first."""
        with self.postgres.database() as url:
            with psycopg.connect(url) as connection:
                for statement in statements:
                    connection.execute(statement.encode())
            self.settle()
            yield url

    @contextmanager
    def file(self, statements: Sequence[str] = ()) -> Iterator[str]:
        """Make a SQLite file with these tables, yield its address, remove it."""
        path = self.new_folder() / "benchmark.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            for statement in statements:
                connection.execute(statement)
        yield f"sqlite:///{path}"
        shutil.rmtree(path.parent)

    def settle(self) -> None:
        """Let PostgreSQL write what it owes, so that the next measurement does not pay for the last one."""
        with psycopg.connect(self.postgres.url(), autocommit=True) as admin:
            admin.execute("CHECKPOINT")

    def servers(self, *simulators: Simulator) -> list[int]:
        """Return the process ids of what is no contender."""
        known = [self.postgres.process, self.redis.process, *(each.process for each in simulators)]
        return [process.pid for process in known if process is not None]

    def database_cpu_s(self) -> float:
        """Return the CPU seconds that PostgreSQL has spent so far."""
        return meter.family_cpu(self.postgres.process.pid) if self.postgres.process else 0.0


def stored(url: str, kinds: Sequence[str], schema: str = "public") -> dict[str, tuple[int, str]]:
    """Return of each kind's table how many records it holds, and a digest of all their columns.

    SQLite has no digest to ask for.
    """
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            return {kind: (file.execute(f'SELECT count(*) FROM "{kind}"').fetchone()[0], "") for kind in kinds}
    with psycopg.connect(url) as connection:
        found = {}
        for kind in kinds:
            names = ", ".join(f'"{field.column}"' for field in columns(KINDS[kind]))
            digest = f"sum(hashtextextended(ROW({names}, payload)::text, 0))"
            row = connection.execute(f'SELECT count(*), {digest} FROM "{schema}"."{kind}"'.encode()).fetchone()
            found[kind] = (int(row[0]), str(row[1])) if row else (0, "")
        return found
