"""What the command line asks of the queue. Kombu's errors become ours here."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from config.celery import options
from config.queues import Queue
from config.settings import load
from humansync.errors import StateUnavailable
from humansync.ledger import WindowRow
from humansync.redaction import redact_url
from humansync.windows import format_instant

#: how long workers may take to answer; busy ones answer all the same
PING_WITHIN_S = 1.0


@cache
def _app() -> Celery:
    """Return an app that knows tasks by name alone: to load them would take longer than all else a command does."""
    app = Celery("humansync", set_as_current=False)
    app.conf.update(options(load()))
    return app


@contextmanager
def translated() -> Iterator[None]:
    """Raise StateUnavailable, naming the address without its password, where Redis does not answer."""
    try:
        yield
    except _errors() as error:
        address = redact_url(str(_app().conf.broker_url))
        raise StateUnavailable(f"Redis at {address} cannot be reached: start it, or set REDIS_URL") from error


def _errors() -> tuple[type[BaseException], ...]:
    """Return what Kombu raises where its own retries are of no use, and what its transport raises elsewhere."""
    return (OperationalError, OSError, *_app().connection_for_read().connection_errors)


@contextmanager
def _channel() -> Iterator[Any]:
    """Give a channel of Kombu's Redis transport. Any: its kind is known at run time alone."""
    with translated(), _app().connection_for_read() as connection:
        yield connection.default_channel


def prepare() -> None:
    """Do ahead what is done once, with the first message: connect, and make what Celery makes. Raises StateUnavailable."""
    with translated(), _app().producer_or_acquire() as producer:
        producer.connection.ensure_connection(max_retries=0)  # who asks will try again
        producer.maybe_declare(_app().amqp.queues[Queue.LIVE.value])
    _ = _app().backend


def ask(kind: str, since: str | None = None, before: str | None = None) -> None:
    """Ask for a planner pass over a kind now, however short the last one is ago. Raises StateUnavailable.

    since, before: ISO 8601 instants of a backfill.
    """
    with translated():
        _app().send_task(
            "sync.kind",
            args=[kind],
            kwargs={"since": since, "before": before},
            queue=Queue.LIVE.value,
            headers={"force": True},
            ignore_result=True,
        )


def sweep(expires_s: float) -> None:
    """Have lost work looked for and issued again. Raises StateUnavailable."""
    with translated():
        _app().send_task("sync.sweep", queue=Queue.LIVE.value, ignore_result=True, expires=expires_s)


def issue(rows: Sequence[WindowRow], queue: Queue) -> None:
    """Put windows that are owed on a queue. Raises StateUnavailable."""
    with translated(), _app().producer_or_acquire() as producer:
        for row in rows:
            _app().send_task(
                "sync.window",
                args=[row.kind, format_instant(row.window.since), format_instant(row.window.before)],
                kwargs={"window_id": row.id, "epoch": row.epoch},
                task_id=f"{row.kind}-{row.id}-{row.epoch}",
                queue=queue.value,
                producer=producer,
                ignore_result=True,
            )


def depths() -> dict[str, int]:
    """Return how many messages wait in each queue. Raises StateUnavailable."""
    with _channel() as channel:
        # Redis knows no empty list, so that a passive declaration of an empty queue fails: its size is asked for.
        return {queue.value: int(channel._size(queue.value)) for queue in Queue}  # noqa: SLF001 -- no public name


def answering(known: Collection[str] = ()) -> list[str]:
    """Return the names of the workers that answer a ping within a second. Raises StateUnavailable.

    known: workers that need not be asked; where nobody else has ever been there, the answer comes at once.
    """
    with _channel() as channel:
        # Where commands are left for each worker; one that was killed stays in the list.
        addresses = [address for *_, address in channel.get_table("celery.pidbox")]
    names = {str(address).removesuffix(".celery.pidbox") for address in addresses}.difference(known)
    silent = sorted(name for name in names if not name.startswith("celerybeat@"))  # beat is in it too
    if not silent:
        return []
    with translated():
        replies = _app().control.ping(silent, timeout=PING_WITHIN_S, limit=len(silent)) or ()
    return sorted(name for reply in replies for name in reply)


def visibility_s() -> int:
    """Return after how many seconds the message of a dead worker comes back."""
    return int(_app().conf.broker_transport_options["visibility_timeout"])


def server() -> dict[str, Any]:
    """Return facts of the Redis server: `INFO`, and of `CONFIG` what it tells. Raises StateUnavailable."""
    with _channel() as channel:
        client = channel.client
        facts = dict(client.info())
        try:
            facts |= client.config_get("*")
        except Exception as error:  # noqa: BLE001 -- managed servers forbid CONFIG, each with an error of its own
            facts["config_refused"] = type(error).__name__
        return facts
