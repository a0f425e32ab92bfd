"""What a command asks of the workers that it has started itself, by a pipe in place of the queues.

A worker can plan and read as soon as it is imported; until it listens to its queues some more time goes by, in which one
of its cores would have nothing to do. And a command that sends no messages need not import Celery. The steps are those
of the tasks, one after another for each kind. What goes wrong is left to whom it is left to when a message is lost: who
asked asks again, and the sweep finds windows that nobody has.
"""

import json
import logging
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from humansync import reading, sync
from humansync.errors import HumansyncError
from tasks import arguments, publish
from tasks.plan import plan
from tasks.repair import sweep
from tasks.runtime import runtime

log = logging.getLogger(__name__)

#: Kinds at a time.
THREADS = 4


def serve(asked: Iterable[bytes], listening: threading.Event) -> None:
    """Plan the kinds that are asked for, and bring them on until the worker listens; the rest goes on the queues.

    asked: the arguments of `sync.kind`, one JSON array each, or null for a sweep. Returns at the end of it.
    """
    with ThreadPoolExecutor(THREADS, "ahead") as threads:
        for line in asked:
            threads.submit(_serve, json.loads(line), listening)


def _serve(asked: Any, listening: threading.Event) -> None:
    try:
        if asked is None:
            sweep(runtime())
        else:
            _bring_on(asked, listening)
    except HumansyncError as error:
        log.warning("left to who asked, and to the sweep", extra={"error": str(error)})


def _bring_on(asked: Any, listening: threading.Event) -> None:
    (kind, since, before), held = asked, runtime()
    planned = plan(held, arguments.known(kind), since, before, step_s=sync.STEP_FORCED_S, forced=True)
    steps = planned.follow_ups
    while steps and not steps[0].delay_s and not listening.is_set():
        publish.follow_ups(steps[1:], held.shared)
        steps = reading.read(held.parts, steps[0].window_id, steps[0].epoch).follow_ups
    publish.follow_ups(steps, held.shared)
