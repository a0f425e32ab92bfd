"""Who is measured: how each is called, and what it is given."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.job import Job

HERE = Path(__file__).resolve().parent
#: dlt lives in an environment of its own: `make` puts it there
DLT_PYTHON = HERE.parent / ".bench-venv" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Call:
    """One command."""

    argv: list[str]
    env: dict[str, str]


@dataclass(frozen=True, slots=True)
class Rival:
    """A contender."""

    name: str
    label: str
    call: Callable[[Job, Path], Call]
    #: whether it finds humansync's tables made; the others make their own, within their time
    tables_made: bool = False
    #: where its tables are
    schema: str = "public"
    #: whether it keeps every value as it is: in dlt's CSV files an empty text is the same as none
    exact: bool = True


def clean_environment(**more: str) -> dict[str, str]:
    """Return this process's environment without what would steer a contender, and with `more`."""
    steering = ("HUMANSYNC_", "HUMANAPI_", "DATABASE_URL", "REDIS_URL", "CELERY_", "DLT_", "DESTINATION__", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    return {name: value for name, value in kept.items() if not name.lower().endswith("_proxy")} | more


def humansync_environment(job: Job, **more: str) -> dict[str, str]:
    """Return the environment of every humansync process."""
    base: Mapping[str, str] = {
        "HUMANAPI_BASE_URL": job.api,
        "HUMANAPI_CLIENT_ID": job.client_id,
        "HUMANAPI_APP_KEY": job.app_key,
        "DATABASE_URL": job.database_url,
        "HUMANSYNC_KINDS": ",".join(job.kinds),
        "HUMANSYNC_SINCE": job.since.isoformat().replace("+00:00", "Z"),
        "HUMANSYNC_RATE": str(job.rate),
        "HUMANSYNC_SETTLE_S": str(job.settle_s),
    }
    return clean_environment(**{**base, **more})


def humansync(*words: str) -> list[str]:
    """Return a command of humansync, as its installed script runs it."""
    return [sys.executable, "-P", "-c", "import sys; from workers.cli import main; sys.exit(main())", *words]


def _humansync_run(job: Job, folder: Path) -> Call:
    del folder
    since = job.since.isoformat().replace("+00:00", "Z")
    told = {"HUMANSYNC_CONCURRENCY": str(job.threads)} if job.pinned else {}
    return Call(humansync("run", "--since", since, "--json"), humansync_environment(job, **told))


def _humansync_unset(job: Job, folder: Path) -> Call:
    return _humansync_run(replace(job, pinned=False), folder)


def _bare(way: str) -> Callable[[Job, Path], Call]:
    def call(job: Job, folder: Path) -> Call:
        path = job.write(folder / "job.json")
        return Call([sys.executable, str(HERE / "contenders" / "bare.py"), str(path), way], clean_environment())

    return call


def _celery(pool: str) -> Callable[[Job, Path], Call]:
    def call(job: Job, folder: Path) -> Call:
        path = job.write(folder / "job.json")
        script = str(HERE / "contenders" / "celery_script.py")
        return Call([sys.executable, script, pool], clean_environment(BENCHMARK_JOB=str(path)))

    return call


def _dlt(path: str, disposition: str) -> Callable[[Job, Path], Call]:
    def call(job: Job, folder: Path) -> Call:
        path_of_job = job.write(folder / "job.json")
        script = str(HERE / "contenders" / "dlt_pipeline.py")
        return Call([str(DLT_PYTHON), script, str(path_of_job), path, disposition], clean_environment())

    return call


RIVALS: dict[str, Rival] = {
    each.name: each
    for each in (
        Rival("humansync", "humansync", _humansync_run),
        Rival("humansync-unset", "humansync, own threads", _humansync_unset),
        Rival("bare", "bare loop (JSONB)", _bare("jsonb"), tables_made=True),
        Rival("bare-copy", "bare loop (COPY)", _bare("copy"), tables_made=True),
        Rival("bare-sqlite", "bare loop (SQLite)", _bare("sqlite"), tables_made=True),
        Rival("celery", "Celery script (threads)", _celery("threads"), tables_made=True),
        Rival("celery-prefork", "Celery script (prefork)", _celery("prefork"), tables_made=True),
        Rival("dlt", "dlt", _dlt("rows", "append"), schema="bench", exact=False),
        Rival("dlt-arrow", "dlt, Arrow", _dlt("arrow", "append"), schema="bench", exact=False),
        Rival("dlt-merge", "dlt, merge", _dlt("rows", "merge"), schema="bench", exact=False),
        Rival("dlt-arrow-merge", "dlt, Arrow, merge", _dlt("arrow", "merge"), schema="bench", exact=False),
    )
}
