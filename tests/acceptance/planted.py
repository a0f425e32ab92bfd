"""Errors planted in a database, found and mended by the real command: `humansync verify`."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humansync.kinds import KINDS
from humansync.store import Store, make_engine
from tests.acceptance.any_server import Job, load
from tests.acceptance.api_process import ApiProcess, api_process, humansync
from tests.integration.verify.planting import Planted, plant


@dataclass(frozen=True, slots=True)
class Bench:
    """A folder with a database that equals the API, until something is planted in it."""

    api: ApiProcess
    job: Job
    kinds: Sequence[str]

    def plant(self, errors: int) -> dict[str, Planted]:
        """Spoil the database: so many errors in each kind."""
        store = Store(make_engine(self.job.database_url))
        try:
            return {kind: plant(store, KINDS[kind], errors, seed) for seed, kind in enumerate(self.kinds)}
        finally:
            store.close()

    def command(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a command of ours."""
        return humansync(*words, environment=self.job.environment, cwd=str(self.job.folder), timeout_s=900)

    def verify(self, *words: str, status: int) -> dict[str, dict[str, Any]]:
        """Run `verify --json` and return what it says, by kind."""
        done = self.command("verify", *self.kinds, *words, "--json")
        assert done.returncode == status, (done.returncode, done.stderr, done.stdout[:500])
        document = json.loads(done.stdout)
        assert document.keys() == {"equal", "kinds"}
        assert document["equal"] is (status == 0)
        assert [each["kind"] for each in document["kinds"]] == list(self.kinds)
        return {each["kind"]: each for each in document["kinds"]}


def prove(kinds: Sequence[str], records: int, errors: int, database_url: str, folder: Path) -> None:
    """Load, plant, find all and nothing else, mend, find nothing. records, errors: of each kind."""
    with api_process(*load(kinds, records)) as api:
        bench = Bench(api, Job(api, database_url, folder), kinds)
        bench.job.report(*kinds)
        clean = bench.verify(status=0)
        assert {each["upstream"] for each in clean.values()} == {records}
        planted = bench.plant(errors)
        assert {len(each) for each in planted.values()} == {errors}
        found = bench.verify(status=3)
        for kind, each in planted.items():
            for sort in ("missing", "stale", "extra"):
                named = found[kind][sort]
                assert named == sorted(getattr(each, sort)), (kind, sort, _unlike(named, each, sort))
            assert found[kind]["upstream"] == records
        mended = bench.verify("--repair", status=0)
        assert {kind: len(mended[kind]["stale"]) for kind in kinds} == {k: len(planted[k].stale) for k in kinds}
        after = bench.verify(status=0)
        assert {(each["upstream"], each["stored"]) for each in after.values()} == {(records, records)}
        assert bench.job.differences(*kinds) == {}


def _unlike(named: list[str], planted: Planted, sort: str) -> dict[str, list[str]]:
    """Return in which ways those were spoilt that are not named, and how many are named that were not spoilt."""
    expected: set[str] = getattr(planted, sort)
    unfound = sorted(planted.ways.get(each, "invented") for each in expected.difference(named))
    return {"not found": unfound, "falsely found": sorted(set(named) - expected)}
