"""Celery's pool of processes, which survives a lost broker while one of its processes is dead.

When the connection to Redis is lost, the pool is filled up. If one of its processes has died before the pool was at
work, nobody has taken note, and there are no queues free for its successor: Celery lets a `StopIteration` out there,
and the worker comes to its end. So does one of whose processes one is killed while it starts, and one that connects
again while a process is in the pool whose end it was told of: it has not been buried yet, or it lives, and another one's
descriptor had the number that is its own now.
"""

from typing import Any

from celery.concurrency import asynpool, prefork


class Pool(asynpool.AsynPool):
    """A pool that knows of its dead, and forgives who was killed."""

    def get_process_queues(self) -> Any:
        """Return queues for a new process."""
        owners: dict[Any, Any] = self._queues  # type: ignore[attr-defined]  # unknown to the stubs
        if None not in owners.values():
            # A pool at work takes note of each end, and then some are free. Before that nothing was written to any.
            owners |= {queues: None for queues, owner in owners.items() if not owner._is_alive()}  # noqa: SLF001
        return super().get_process_queues()

    def _track_child_process(self, proc: Any, hub: Any) -> None:
        """Have the loop tell of a process's end; anew where it has told of one, rightly or not."""
        if getattr(proc, "_sentinel_poll", 0) is None:
            del proc._sentinel_poll  # noqa: SLF001 -- as Celery does
        super()._track_child_process(proc, hub)  # type: ignore[misc]  # unknown to the stubs

    def _process_register_queues(self, proc: Any, queues: Any) -> None:
        """Note that queues are a process's now, and nobody's who had them before."""
        super()._process_register_queues(proc, queues)  # type: ignore[misc]  # unknown to the stubs
        # A pool at work has forgotten who is dead. Before that it has heard, as it buried him, that he was ready.
        self._fileno_to_inq.pop(proc.inqW_fd, None)  # type: ignore[attr-defined]  # as above
        self._all_inqueues.discard(proc.inqW_fd)  # type: ignore[attr-defined]  # as above
        self._fileno_to_outq[proc.outqR_fd] = proc  # type: ignore[attr-defined]  # as above

    def did_start_ok(self) -> bool:
        """Return whether no process has ended by itself; one that was killed just now gets a successor."""
        ended = self._join_exited_workers()  # type: ignore[attr-defined]  # unknown to the stubs
        return not [status for status in ended if status is None or status >= 0]


class TaskPool(prefork.TaskPool):
    """The default pool: Celery takes what `worker_pool` names for its "prefork"."""

    Pool = Pool
