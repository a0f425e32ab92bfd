"""`humansync verify` and `humansync retry` as a user has them: documents, words, exit statuses."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from celery import Celery

from humansync.kinds import KINDS
from humansync.store import Store, make_engine
from tests.acceptance.any_server import Job, load
from tests.acceptance.api_process import ApiProcess, api_process, humansync
from tests.acceptance.live import Live
from tests.acceptance.planted import Bench, prove
from tests.processes import until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),  # real processes start slowly on a busy machine
]


def test_planted_errors_are_found_and_mended(database_url: str, tmp_path: Path) -> None:
    prove(("heart_rates", "sleeps"), records=2_500, errors=25, database_url=database_url, folder=tmp_path)


@pytest.fixture(scope="module")
def api() -> Iterator[ApiProcess]:
    with api_process(*load(["sleeps"], 300)) as running:
        yield running


@pytest.fixture
def bench(api: ApiProcess, sqlite_url: str, tmp_path: Path) -> Bench:
    found = Bench(api, Job(api, sqlite_url, tmp_path), ("sleeps",))
    found.job.report("sleeps")
    return found


def execute(bench: Bench, statement: str) -> None:
    engine = make_engine(bench.job.database_url)
    with engine.begin() as connection:
        assert connection.execute(sa.text(statement)).rowcount
    engine.dispose()


def test_people_read_a_table_and_some_names(bench: Bench) -> None:
    done = bench.command("verify", "sleeps", "meals")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "Equal."
    bench.plant(30)
    done = bench.command("verify", "sleeps", "--since", "2000-01-01")
    assert done.returncode == 3
    assert "sleeps, stale: " in done.stdout
    assert "more (--json names all)" in done.stdout
    assert done.stdout.splitlines()[-1] == "30 records differ; --repair mends them."
    done = bench.command("verify", "--repair", "sleeps")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == "All 30 differences are mended."
    assert "Traceback" not in done.stderr


def test_status_shows_what_is_proven(bench: Bench) -> None:
    def proven() -> tuple[float, int]:
        document = json.loads(bench.command("status", "--json").stdout)
        found = next(each["proven"] for each in document["kinds"] if each["kind"] == "sleeps")
        return found["share"], found["differences"]

    assert proven() == (0.0, 0)
    bench.verify(status=0)
    assert proven() == (1.0, 0)
    bench.plant(9)
    bench.verify(status=3)
    assert proven() == (0.0, 9)
    assert "humansync verify sleeps --repair" in bench.command("status").stdout


def test_what_cannot_be_compared_is_one_sentence(bench: Bench, tmp_path: Path) -> None:
    refused = {**bench.job.environment, "HUMANAPI_APP_KEY": "wrong"}
    empty = {**bench.job.environment, "DATABASE_URL": f"sqlite:///{tmp_path}/other.db"}
    for environment, status, says in (
        (refused, 1, "sleeps cannot be compared: "),
        (empty, 1, "run `humansync migrate`"),
    ):
        done = humansync("verify", "sleeps", "--json", environment=environment, cwd=str(tmp_path))
        assert (done.returncode, done.stdout) == (status, "")
        assert says in done.stderr
        assert done.stderr.count("\n") == 1
    execute(bench, "UPDATE sync_meta SET value = '1' WHERE key = 'simulated'")
    done = humansync("verify", "sleeps", environment=bench.job.environment, cwd=str(tmp_path))
    assert done.returncode == 2
    assert "the database holds data of the bundled simulator" in done.stderr


def test_a_deployment_proves_history_and_is_compared_while_it_runs(
    redis_url: str, postgres_url: str, tmp_path: Path
) -> None:
    with (
        api_process(*load(["sleeps"], 600)) as api,
        Live(tmp_path, api, redis_url, postgres_url, ["sleeps"], HUMANSYNC_SINCE="90d") as live,
    ):
        live.procfile("worker", "backfill")
        live.json("sync", "--wait")
        before = live.requests("sleeps")
        with Celery("operator", broker=redis_url) as app:
            for _ in range(3):  # the second and the third are too soon
                app.send_task("sync.audit", queue="backfill")
        until("a part is proven", lambda: live.status("sleeps")["proven"]["share"] > 0)
        until("the queue is empty", lambda: not live.json("status")["queues"]["backfill"])
        assert 0.2 < live.status("sleeps")["proven"]["share"] < 0.5  # one window of thirty days
        assert live.requests("sleeps") - before <= 10
        api.control(change_every=1, change=3)
        assert live.json("verify")["equal"] is True
        assert live.status("sleeps")["proven"] | {"oldest_at": 0, "latest_at": 0} == {
            "share": 1.0,
            "oldest_at": 0,
            "latest_at": 0,
            "differences": 0,
        }


# --- retry ----------------------------------------------------------------------------------------


def set_aside(bench: Bench) -> None:
    """Reject three records of which this version can use two: one that is not stored, one that is stored at a newer version."""
    store = Store(make_engine(bench.job.database_url))
    with store.engine.begin() as connection:
        rows = connection.execute(sa.text("SELECT id, payload FROM sleeps ORDER BY updated_at LIMIT 2")).all()
        older = rows[1].payload.replace('"updatedAt":"20', '"updatedAt":"19')
        for payload in (rows[0].payload, older, '{"id": "no time"}'):
            connection.execute(
                sa.text(
                    "INSERT INTO rejected_records (kind, since, before, reason, payload, payload_hash, seen_at) "
                    "VALUES ('sleeps', :at, :at, 'unknown', :payload, :payload, :at)"
                ),
                {"at": "2026-01-01 00:00:00.000000", "payload": payload},
            )
        connection.execute(sa.text("DELETE FROM sleeps WHERE id = :id"), {"id": rows[0].id})
    store.close()


def test_retry_replays_rejected_records_newest_wins(bench: Bench) -> None:
    set_aside(bench)
    store = Store(make_engine(bench.job.database_url))
    before = store.versions(KINDS["sleeps"])
    done = bench.command("retry", "--json")
    assert done.returncode == 0, done.stderr
    found = {each["kind"]: each for each in json.loads(done.stdout)["kinds"]}
    assert found["sleeps"] == {"kind": "sleeps", "windows": 0, "restored": 2, "rejected": 1}
    after = store.versions(KINDS["sleeps"])
    assert len(after) == len(before) + 1
    assert {each: after[each] for each in before} == before  # the older version changed nothing
    assert sum(store.rejected()["sleeps"].values()) == 1
    store.close()
    assert "rejected records that still cannot be used: 1" in bench.command("retry", "sleeps").stdout


def test_parked_windows_wait_for_the_next_run_where_no_redis_is(bench: Bench) -> None:
    park(bench)
    done = bench.command("retry", "sleeps")
    assert done.returncode == 0
    assert "parked windows tried again: 1" in done.stdout
    assert "the next `humansync run`" in done.stdout
    assert bench.job.report("sleeps")["records"] == 1
    assert bench.verify(status=0)
    assert bench.command("retry").stdout == "Nothing is parked, and no record is rejected.\n"


def test_parked_windows_are_on_the_queue_at_once_where_redis_is(bench: Bench, redis_url: str, tmp_path: Path) -> None:
    park(bench)
    environment = {**bench.job.environment, "REDIS_URL": redis_url}

    def command(*words: str) -> "subprocess.CompletedProcess[str]":
        return humansync(*words, "--json", environment=environment, cwd=str(tmp_path))

    assert json.loads(command("retry", "sleeps").stdout) == {
        "enqueued": True,
        "kinds": [{"kind": "sleeps", "windows": 1, "restored": 0, "rejected": 0}],
    }
    assert json.loads(command("status").stdout)["queues"] == {"live": 0, "backfill": 1}


def park(bench: Bench) -> None:
    """Park a window that was done, and lose a record of it."""
    parked = "(SELECT min(id) FROM sync_windows WHERE kind = 'sleeps' AND state = 'done')"
    execute(bench, f"UPDATE sync_windows SET state = 'failed', last_error = 'the API answered 500' WHERE id = {parked}")
    inside = "sleeps.updated_at >= w.since AND sleeps.updated_at < w.before"
    lost = f"(SELECT sleeps.id FROM sleeps JOIN sync_windows w ON w.state = 'failed' AND {inside} LIMIT 1)"
    execute(bench, f"DELETE FROM sleeps WHERE id = {lost}")
