"""What the options of Celery do on a real Redis."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Producer
from kombu.exceptions import OperationalError

from config import celery
from config.queues import Queue
from config.settings import load
from humansync.state.shared import Shared
from humansync.sync import FollowUp
from tasks import publish
from tests.factories import window
from tests.servers import RedisServer, free_port


@pytest.fixture
def app(redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Celery]:
    """Give an app on an empty Redis with our options."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REDIS_URL", redis_url)
    app = Celery("test", set_as_current=False)
    app.conf.update(celery.options(load()))
    yield app
    app.close()


def received(app: Celery, queues: list[str], count: int) -> list[str]:
    """Take messages off queues as a worker that was given these queues does; returns their first arguments."""
    app.amqp.queues.select(queues)
    taken: list[str] = []

    def take(body: Any, message: Any) -> None:
        taken.append(body[0][0])
        message.ack()

    with (
        app.connection_for_read() as connection,
        app.amqp.TaskConsumer(connection.channel(), callbacks=[take]) as consumer,
    ):
        consumer.qos(prefetch_count=1)
        while len(taken) < count:
            connection.drain_events(timeout=10)
    return taken


def test_live_is_drained_before_backfill(app: Celery) -> None:
    """Breaks without `queue_order_strategy`: then the queues take turns."""
    for number in range(3):
        app.send_task("sync.page", args=[f"old {number}"], queue=Queue.BACKFILL.value)
    for number in range(3):
        app.send_task("sync.page", args=[f"new {number}"], queue=Queue.LIVE.value)
    assert received(app, ["live", "backfill"], 6) == ["new 0", "new 1", "new 2", "old 0", "old 1", "old 2"]


def test_a_task_called_by_hand_finds_its_queue(app: Celery) -> None:
    for name in ("sync.kind", "sync.sweep", "sync.window", "sync.page"):
        app.send_task(name, args=[name])
    assert received(app, ["live"], 2) == ["sync.kind", "sync.sweep"]
    assert received(app, ["backfill"], 2) == ["sync.window", "sync.page"]


def steps(*live: bool) -> list[FollowUp]:
    return [FollowUp(number, 3, "sleeps", window(), first=True, live=each) for number, each in enumerate(live)]


def test_what_follows_a_step_is_marked_and_goes_to_the_queue_of_its_urgency(
    app: Celery, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "current_app", app)
    with Shared(redis_url, rate_per_s=0) as shared:
        publish.follow_ups(steps(True, False, True), shared)
        assert shared.unissued([0, 1, 2, 3]) == {3}
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        assert [channel.client.llen(queue.value) for queue in (Queue.LIVE, Queue.BACKFILL)] == [2, 1]


def test_what_cannot_be_sent_is_left_to_the_sweep(app: Celery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "current_app", app)
    with Shared(f"redis://127.0.0.1:{free_port()}/0", rate_per_s=0) as away:
        publish.follow_ups(steps(True), away)
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        assert channel.client.llen(Queue.LIVE.value) == 0


def test_a_long_cut_is_sent_in_parts_and_what_is_behind_a_failure_is_left_to_the_sweep(
    app: Celery, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "current_app", app)
    sent: list[int] = []
    send = publish._send_all

    def failing(some: Sequence[FollowUp], producer: Producer) -> None:
        sent.append(len(some))
        if len(sent) == 3:
            raise OperationalError("gone")
        send(some, producer)

    monkeypatch.setattr(publish, "_send_all", failing)
    most = publish.AT_ONCE
    with Shared(redis_url, rate_per_s=0) as shared:
        publish.follow_ups(steps(*[True] * (4 * most)), shared)
        assert shared.unissued(range(4 * most)) == set(range(3 * most, 4 * most))
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        assert (sent, channel.client.llen(Queue.LIVE.value)) == ([most] * 3, 2 * most)


def test_a_queue_is_one_list_and_its_depth_one_number(app: Celery) -> None:
    for priority in (0, 3, 9):
        app.send_task("sync.page", args=["x"], queue=Queue.LIVE.value, priority=priority)
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        assert channel.client.llen("live") == 3


def test_messages_still_arrive_after_redis_has_forgotten_everything(app: Celery, redis_server: RedisServer) -> None:
    """A named exchange would drop them silently: its bindings are gone, and this process thinks they are there."""
    with app.producer_or_acquire() as producer:
        app.send_task("sync.page", args=["lost"], queue=Queue.LIVE.value, producer=producer)
        redis_server.flush()
        app.send_task("sync.page", args=["after"], queue=Queue.LIVE.value, producer=producer)
    assert received(app, ["live", "backfill"], 1) == ["after"]
