"""What a command asks of the workers that it has started itself, by a pipe in place of the queues.

A worker can plan and read as soon as it is imported; until it listens to its queues some more time goes by, in which one
of its cores would have nothing to do. And a command that sends no messages need not import Celery. The steps are those
of the tasks, one after another for each kind. What goes wrong is left to whom it is left to when a message is lost: who
asked asks again, by the queue, and the sweep finds windows that nobody has.
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
from tasks.runtime import runtime

log = logging.getLogger(__name__)

#: Kinds at a time.
THREADS = 4


def serve(asked: Iterable[bytes], listening: threading.Event) -> None:
    """Plan the kinds that are asked for, and bring them on until the worker listens; the rest goes on the queues.

    asked: the arguments of `sync.kind`, one JSON array each. Returns at the end of it.
    """
    with ThreadPoolExecutor(THREADS, "ahead") as threads:
        for line in asked:
            try:
                kind, since, before = json.loads(line)
                threads.submit(_serve, kind, since, before, listening)
            except (ValueError, TypeError, RuntimeError) as error:  # half a line, or no more threads
                _left(error)


def _serve(kind: Any, since: Any, before: Any, listening: threading.Event) -> None:
    try:
        held = runtime()
        planned = plan(held, arguments.known(kind), since, before, step_s=sync.STEP_FORCED_S, forced=True)
        steps = planned.follow_ups
        while steps and not steps[0].delay_s and not listening.is_set():
            publish.follow_ups(steps[1:], held.shared)
            steps = reading.read(held.parts, steps[0].window_id, steps[0].epoch).follow_ups
        publish.follow_ups(steps, held.shared)
    except Exception as error:  # noqa: BLE001 - nobody looks at a thread's end; the task that is asked for next tells more
        _left(error)


def _left(error: Exception) -> None:
    """Say what went wrong; in an error that is not ours there may be data."""
    said = str(error) if isinstance(error, HumansyncError) else type(error).__name__
    log.warning("left to who asked, and to the sweep", extra={"error": said})
