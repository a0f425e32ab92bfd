"""What happens as a worker process starts, works and stops: logging, heartbeats, runtime."""

import logging
import signal
import socket
import time
from typing import Any, NoReturn

from celery import signals
from kombu.asynchronous import get_event_loop

from config import logging as logs
from config.settings import load
from humansync.errors import HumansyncError
from tasks import runtime

log = logging.getLogger(__name__)

#: A worker says at most this often that a task went round.
TICK_EVERY_S = 5.0

#: A worker's loop sleeps until its next timer, seconds away, and a signal does not wake it: this one does.
WAKE_EVERY_S = 0.2

_ticked_at = 0.0


def connect() -> None:
    """Register the handlers below; twice is once."""
    signals.setup_logging.connect(_logging, weak=False, dispatch_uid="humansync.logging")
    signals.worker_ready.connect(_wake, weak=False, dispatch_uid="humansync.wake")
    signals.task_postrun.connect(_tick, weak=False, dispatch_uid="humansync.tick")
    signals.worker_shutdown.connect(_close, weak=False, dispatch_uid="humansync.close")
    signals.worker_process_shutdown.connect(_close, weak=False, dispatch_uid="humansync.close.child")
    signals.beat_init.connect(_end_beat, weak=False, dispatch_uid="humansync.beat")


def _logging(**_: object) -> None:
    logs.configure(load())


def _wake(**_: object) -> None:
    """Let a worker that is asked to end notice it at once."""
    loop = get_event_loop()
    if loop is not None:
        loop.call_repeatedly(WAKE_EVERY_S, int)


def _end_beat(sender: Any, **_: object) -> None:
    """Let a beat that is asked to end do so.

    Celery's own handler closes the connection first, under what may just be sent on it: what that raises takes the place
    of the request to end, is noted as a tick that could not be sent, and beat runs on. Here its loop is told as well, and
    what is open is closed on the way out, as it is there too.
    """

    def end(_number: int, _frame: object) -> NoReturn:
        sender._is_shutdown.set()  # noqa: SLF001 - `stop` writes a log record too, which a handler must not
        raise SystemExit

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def _tick(task: object = None, **_: object) -> None:
    """Note that a task went round here: that, not a living process, is health."""
    global _ticked_at  # noqa: PLW0603 - one per process is the meaning
    now = time.monotonic()
    if now - _ticked_at < TICK_EVERY_S:
        return
    _ticked_at = now
    request = getattr(task, "request", None)
    try:
        runtime.runtime().shared.tick(getattr(request, "hostname", None) or socket.gethostname())
    except HumansyncError as error:
        log.debug("heartbeat not noted", extra={"error": str(error)})


def _close(**_: object) -> None:
    runtime.close()
