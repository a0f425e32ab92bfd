"""A whole deployment as it stands in production, every part of it at the mercy of a test.

Workers reach Redis, PostgreSQL and the API through proxies that can be cut; the test itself looks past them.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis
from celery import Celery

from humansync.store import make_engine, migrate
from humansync.store.store import Store
from tests.acceptance.api_process import ApiProcess, api_process
from tests.processes import Processes
from tests.proxy import FaultProxy
from tests.servers import PostgresServer, RedisServer

KINDS = ("heart_rates", "meals", "sleeps")
RECORDS = 12_000
DAYS = 20
SETTLE_S = 2
#: how slowly the API answers: long enough that there is always something under way to be interrupted
LATENCY_MS = 600

#: Process -> arguments of `celery -A workers.app`: the Procfile's lines, one worker more, two children each.
PROCESSES = {
    "live": ["worker", "--queues", "live", "--hostname", "live@%h", "--concurrency", "2"],
    "backfill-1": ["worker", "--queues", "backfill", "--hostname", "backfill1@%h", "--concurrency", "2"],
    "backfill-2": ["worker", "--queues", "backfill", "--hostname", "backfill2@%h", "--concurrency", "2"],
    "beat": ["beat", "--pidfile="],
}
WORKERS = ("live", "backfill-1", "backfill-2")


class Stage:
    """The deployment."""

    def __init__(self, folder: Path, cache: RedisServer, api: ApiProcess, postgres: PostgresServer | None) -> None:
        """Start the proxies."""
        self.redis = cache
        self.postgres = postgres
        self.api = api
        self.open = contextlib.ExitStack()
        self.to_redis = self.open.enter_context(FaultProxy(cache.port))
        self.to_api = self.open.enter_context(FaultProxy(int(api.base_url.split(":")[2].split("/")[0])))
        self.to_postgres = self.open.enter_context(FaultProxy(postgres.port)) if postgres else None
        #: where the test itself finds the database
        self.database_url = postgres.url("chaos") if postgres else f"sqlite:///{folder / 'chaos.db'}"
        through = self.database_url
        if postgres and self.to_postgres:
            through = through.replace(f":{postgres.port}/", f":{self.to_postgres.port}/")
        variables = {
            **api.environment(),
            "HUMANAPI_BASE_URL": f"http://127.0.0.1:{self.to_api.port}/v1",
            "DATABASE_URL": through,
            "REDIS_URL": f"redis://127.0.0.1:{self.to_redis.port}/0",
            "HUMANSYNC_KINDS": ",".join(KINDS),
            "HUMANSYNC_SINCE": f"{DAYS + 1}d",
            "HUMANSYNC_EVERY_S": "3",
            "HUMANSYNC_SETTLE_S": str(SETTLE_S),
            "HUMANSYNC_RATE": "0",
            "HUMANSYNC_LOG_FORMAT": "json",
        }
        self.processes = self.open.enter_context(Processes(folder, variables))

    def start(self, *names: str) -> None:
        """Start processes; `beat-again` is a second beat."""
        for name in names:
            self.processes.start(name, ["celery", "-A", "workers.app", *PROCESSES[name.removesuffix("-again")]])

    # --- looking in -------------------------------------------------------------------------------

    def cache(self) -> "redis.Redis":
        """Return a client of Redis, past the proxy."""
        return redis.Redis(port=self.redis.port, decode_responses=True, socket_timeout=2)

    @contextlib.contextmanager
    def store(self) -> Iterator[Store]:
        """Give the database, past the proxy."""
        opened = Store(make_engine(self.database_url))
        try:
            yield opened
        finally:
            opened.close()

    def ask(self, kind: str, since: str | None = None, before: str | None = None) -> None:
        """Ask for a pass as an operator does; with bounds it is a backfill."""
        with Celery("chaos", broker=f"redis://127.0.0.1:{self.redis.port}/0") as client:
            client.send_task("sync.kind", args=[kind], kwargs={"since": since, "before": before}, queue="live")


@contextlib.contextmanager
def staged(database: str, *, append_only: bool, seed: int) -> Iterator[Stage]:
    """Set everything up, and clear it away whatever happens."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="humansync-chaos-")))
        load = ["--kinds", ",".join(KINDS), "--records", str(RECORDS), "--days", str(DAYS), "--seed", str(seed)]
        change = ["--change-per-s=0.2", "--add-per-s=0.2", f"--latency-ms={LATENCY_MS}", "--retry-after-s=2"]
        api = stack.enter_context(api_process(*load, *change))
        cache = RedisServer(append_only=append_only)
        stack.callback(cache.close)
        cache.start()
        postgres = None
        if database == "postgresql":
            postgres = PostgresServer()
            stack.callback(postgres.close)
            postgres.start()
            with psycopg.connect(postgres.url(), autocommit=True) as admin:
                admin.execute("CREATE DATABASE chaos")
        stage = Stage(folder, cache, api, postgres)
        stack.enter_context(stage.open)
        engine = make_engine(stage.database_url)
        migrate(engine)
        engine.dispose()
        stage.start(*PROCESSES)
        yield stage
