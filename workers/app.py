"""The Celery app: `celery -A workers.app worker|beat|flower|call …`."""

import sys

from celery import Celery

import tasks
from config import celery as options
from config import transport
from config.settings import Settings, load
from humansync.errors import ConfigError
from workers import lifecycle


def _settings() -> Settings:
    """Return the settings, or end the process with one sentence."""
    try:
        return load()
    except ConfigError as error:
        sys.stderr.write(f"humansync: {error}\n")
        raise SystemExit(2) from None


transport.install()
app = Celery("humansync", include=[f"tasks.{name}" for name in tasks.__all__])
app.conf.update(options.options(_settings()))
lifecycle.connect()
