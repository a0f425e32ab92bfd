"""The bundled simulator as a process, and the comparison of a database with its truth."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from humansync.kinds import KINDS, Read
from humansync.simulator.canon import digest, identity
from humansync.store import make_engine
from tests.servers import dies_with_parent


@dataclass(frozen=True, slots=True)
class ApiProcess:
    """A simulator that listens."""

    base_url: str

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + path, timeout=60) as answer:
            return bytes(answer.read())

    def truth(self, kind: str) -> dict[str, tuple[str, str]]:
        """Return identity -> (updatedAt, digest) of what is visible now."""
        rows = (json.loads(line) for line in self._get(f"/_truth/{kind}").splitlines())
        return {name: (updated, digest) for name, updated, digest in rows}

    def stats(self) -> dict[str, Any]:
        """Return what was asked and answered."""
        found: dict[str, Any] = json.loads(self._get("/_stats"))
        return found

    def control(self, **switches: object) -> None:
        """Change switches."""
        body = json.dumps({"set": switches}).encode()
        request = urllib.request.Request(self.base_url.removesuffix("/v1") + "/_control", data=body, method="POST")
        urllib.request.urlopen(request, timeout=10).close()

    def environment(self) -> dict[str, str]:
        """Return the variables that point a client here."""
        return {
            "HUMANAPI_BASE_URL": self.base_url,
            "HUMANAPI_CLIENT_ID": "simulator",
            "HUMANAPI_APP_KEY": "simulator",
        }


@contextmanager
def api_process(*flags: str) -> Iterator[ApiProcess]:
    """Start a simulator on a free port; end it at the end."""
    command = [sys.executable, "-P", "-m", "humansync.simulator", "--port", "0", *flags]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, preexec_fn=dies_with_parent()
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "http://" in line:
                    yield ApiProcess("http://" + line.split("http://")[1].split()[0])
                    return
            raise AssertionError(f"the simulator did not start: {command}")
        finally:
            process.terminate()


def stored(database_url: str, kind: str) -> dict[str, str]:
    """Return identity -> digest of the payload of every stored record."""
    engine = make_engine(database_url)
    try:
        with engine.connect() as connection:
            payloads = connection.execute(sa.text(f"SELECT payload FROM {kind}")).scalars()
            records = [orjson.loads(p) if isinstance(p, str | bytes) else p for p in payloads]
    finally:
        engine.dispose()
    return {str(identity(kind, record)): digest(record) for record in records}


def differences(api: ApiProcess, database_url: str, kinds: Iterable[str] = KINDS) -> dict[str, dict[str, int]]:
    """Return, for each kind that differs, how many records are missing, stale and extra."""
    found = {}
    for name in kinds:
        kind, truth, rows = KINDS[name], api.truth(name), stored(database_url, name)
        counts = {
            "missing": len(truth.keys() - rows.keys()),
            "stale": sum(rows[each] != truth[each][1] for each in truth.keys() & rows.keys()),
            "extra": len(rows.keys() - truth.keys()) if kind.read is Read.WINDOWED else 0,
        }
        if any(counts.values()):
            found[name] = counts
    return found


def humansync(
    *arguments: str, environment: dict[str, str], cwd: str, timeout_s: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would."""
    command = [sys.executable, "-P", "-m", "workers.cli", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=cwd,
        env={**os.environ, **environment},
        check=False,
    )
