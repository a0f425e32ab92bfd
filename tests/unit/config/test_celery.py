from datetime import UTC, datetime
from pathlib import Path

import pytest
from celery import Celery
from celery.app.defaults import SETTING_KEYS
from celery.app.utils import Settings as CelerySettings
from kombu.transport.redis import Channel

from config import celery, schedule
from config.queues import ROUTES, Queue
from config.settings import Settings, load

#: Documented among the caveats of Celery's Redis page, though no option of its table.
BESIDE_THE_TABLE = {"visibility_timeout"}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Give the defaults, with a period of its own for one kind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUMANSYNC_KINDS", "weights,sleeps")
    monkeypatch.setenv("HUMANSYNC_EVERY_S__SLEEPS", "30")
    return load()


def test_every_option_exists_in_this_celery(settings: Settings) -> None:
    """A misspelt option is silently ignored by Celery."""
    options = celery.options(settings)
    assert options.keys() - BESIDE_THE_TABLE <= SETTING_KEYS
    of_the_transport = {"polling_interval"}  # read by kombu.transport.virtual.Transport itself
    assert options["broker_transport_options"].keys() - of_the_transport <= set(Channel.from_transport_options)


def test_celery_takes_them(settings: Settings) -> None:
    app = Celery("test", set_as_current=False)
    app.conf.update(celery.options(settings))
    assert isinstance(app.conf, CelerySettings)
    assert [app.amqp.queues[queue.value].routing_key for queue in Queue] == ["live", "backfill"]


def test_a_message_outlives_its_task_and_no_longer(settings: Settings) -> None:
    options = celery.options(settings)
    places = [options["broker_transport_options"], options["result_backend_transport_options"], options]
    assert {place["visibility_timeout"] for place in places} == {celery.VISIBILITY_S}
    assert options["task_soft_time_limit"] < options["task_time_limit"] < celery.VISIBILITY_S / 2


def test_a_misspelt_queue_is_refused(settings: Settings) -> None:
    app = Celery("test", set_as_current=False)
    app.conf.update(celery.options(settings))
    with pytest.raises(Exception, match="lvie"):
        app.send_task("sync.kind", args=["weights"], queue="lvie")


def test_concurrency_is_by_cores_unless_set(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert celery.options(settings)["worker_concurrency"] == "auto"
    monkeypatch.setenv("HUMANSYNC_CONCURRENCY", "3")
    assert celery.options(load())["worker_concurrency"] == 3


def test_each_kind_has_its_doorbell(settings: Settings) -> None:
    table = schedule.table(settings)
    assert {name: entry["schedule"] for name, entry in table.items()} == {
        "sync.kind weights": 300.0,
        "sync.kind sleeps": 30.0,
        "sync.sweep": 15.0,
        "sync.audit": 600.0,
    }
    assert table["sync.kind sleeps"]["args"] == ("sleeps",)
    options = table["sync.kind sleeps"]["options"]
    assert options == {"queue": "live", "expires": 60, "headers": {"tick": True}}
    assert {entry["task"] for entry in table.values()} <= ROUTES.keys()


def test_a_beat_that_starts_rings_at_once_but_for_the_audit(settings: Settings) -> None:
    app = Celery("test", set_as_current=False)
    app.conf.update(celery.options(settings))
    scheduler = app.Beat().Service(app, scheduler_cls=app.conf.beat_scheduler).get_scheduler()
    assert {name: entry.is_due()[0] for name, entry in scheduler.schedule.items()} == dict.fromkeys(
        scheduler.schedule, True
    ) | {"sync.audit": False}
    now = datetime.now(UTC)
    assert not any(
        type(entry)(**{**vars(entry), "last_run_at": now}).is_due()[0] for entry in scheduler.schedule.values()
    )
