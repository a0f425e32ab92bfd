"""What happens as a worker process starts and stops: logging, runtime, heartbeats."""

import logging

from celery import signals

from config import logging as logs
from config.settings import load
from tasks import runtime

log = logging.getLogger(__name__)


def connect() -> None:
    """Register the handlers below; twice is once."""
    signals.setup_logging.connect(_logging, weak=False, dispatch_uid="humansync.logging")
    signals.worker_shutdown.connect(_close, weak=False, dispatch_uid="humansync.close")
    signals.worker_process_shutdown.connect(_close, weak=False, dispatch_uid="humansync.close.child")


def _logging(**_: object) -> None:
    logs.configure(load())


def _close(**_: object) -> None:
    runtime.close()
