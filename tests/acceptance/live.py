"""A deployment as it stands in production: the lines of the Procfile, a Redis, a database, a simulated API."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from celery import Celery

from humansync.store import make_engine, migrate
from tests.acceptance.api_process import ApiProcess, differences, humansync
from tests.deployment import procfile
from tests.processes import Processes

SETTLE_S = 2


class Live(Processes):
    """The deployment: processes of the Procfile by name, and its command line."""

    def __init__(
        self, folder: Path, api: ApiProcess, redis_url: str, database_url: str, kinds: Sequence[str], **variables: str
    ) -> None:
        """Bring the schema; nothing is started yet."""
        super().__init__(
            folder,
            {
                **api.environment(),
                "DATABASE_URL": database_url,
                "REDIS_URL": redis_url,
                "HUMANSYNC_KINDS": ",".join(kinds),
                "HUMANSYNC_SETTLE_S": str(SETTLE_S),
                "HUMANSYNC_RATE": "0",
                "HUMANSYNC_CONCURRENCY": "2",
                **variables,
            },
        )
        self.api = api
        self.kinds = tuple(kinds)
        self.database_url = database_url
        self.redis_url = redis_url
        engine = make_engine(database_url)
        migrate(engine)
        engine.dispose()

    def procfile(self, *names: str) -> None:
        """Start lines of the Procfile; `beat-2` is a second process from the line `beat`."""
        lines = {command.name: command.argv for command in procfile()}
        for name in names:
            self.start(name, lines[name.partition("-")[0]])

    def humansync(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of ours as an operator of this deployment does."""
        return humansync(*words, environment=self.environment, cwd=str(self.folder))

    def json(self, *words: str, status: int = 0) -> Any:
        """Return the document that a command prints. Any: it is JSON."""
        done = self.humansync(*words, "--json")
        assert done.returncode == status, (done.stdout, done.stderr)
        return json.loads(done.stdout)

    def status(self, kind: str) -> dict[str, Any]:
        """Return what `status --json` says of one kind."""
        return next(dict(each) for each in self.json("status")["kinds"] if each["kind"] == kind)

    def call(self, kind: str, *, times: int = 1) -> None:
        """Put `sync.kind` on its queue, as `celery call` does."""
        with Celery("operator", broker=self.redis_url) as app:
            for _ in range(times):
                app.send_task("sync.kind", args=[kind], queue="live")

    def requests(self, kind: str) -> int:
        """Return how many requests the API has seen for a kind."""
        return int(self.api.stats()["by_kind"].get(kind, 0))

    def equal(self) -> bool:
        """Whether the database holds what the API does."""
        return not differences(self.api, self.database_url, self.kinds)
