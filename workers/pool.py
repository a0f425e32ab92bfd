"""Celery's pool of processes, which survives a lost broker while one of its processes is dead.

When the connection to Redis is lost, the pool is flushed and filled up at once: before the end of a process that has
just died was taken note of, so that there are no queues free for its successor. Celery lets a `StopIteration` out
there, and the worker comes to its end. So does one of whose processes one is killed while it starts.
"""

from typing import Any

from celery.concurrency import asynpool, prefork


class Pool(asynpool.AsynPool):
    """A pool that makes queues where none are free."""

    def get_process_queues(self) -> Any:
        """Return queues for a new process."""
        try:
            return super().get_process_queues()
        except StopIteration:
            for queues, owner in list(self._queues.items()):  # type: ignore[attr-defined]  # unknown to the stubs
                # What is written to the pipes of the dead nobody reads, and they keep their places.
                if owner is not None and not owner._is_alive():  # noqa: SLF001 - as Celery asks
                    self.destroy_queues(queues, owner)
            queues = self.create_process_queues()
            self._queues[queues] = None  # type: ignore[attr-defined]  # unknown to the stubs
            return queues

    def did_start_ok(self) -> bool:
        """Return whether no process has ended by itself; one that was killed just now gets a successor."""
        ended = self._join_exited_workers()  # type: ignore[attr-defined]  # unknown to the stubs
        return not [status for status in ended if status >= 0]


class TaskPool(prefork.TaskPool):
    """The default pool: Celery takes what `worker_pool` names for its "prefork"."""

    Pool = Pool
