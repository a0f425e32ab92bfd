"""Celery's options, derived from Settings; each with its reason."""

from typing import Any

import kombu

from config import schedule
from config.queues import ROUTES, Queue
from config.settings import Settings
from humansync.state.urls import for_broker

#: The longest a page may take: waiting for a slot, the API's total deadline of 120 s, a commit on a busy database.
SOFT_LIMIT_S = 180
HARD_LIMIT_S = 240
#: A message whose worker was killed comes back after this long. Well above the hard limit: a message that comes back
#: while its task still runs makes a twin. The sweep issues lost work again much sooner.
VISIBILITY_S = 600


def options(settings: Settings) -> dict[str, Any]:
    """Return what `app.conf.update` takes."""
    return {
        **_broker(settings.redis_url),
        **_messages(),
        **_worker(settings),
        **_beat(settings),
    }


def _broker(redis_url: str) -> dict[str, Any]:
    visibility = {"visibility_timeout": VISIBILITY_S}
    return {
        "broker_url": for_broker(redis_url),
        "broker_transport_options": {
            **visibility,
            # Kombu looks for messages of dead workers every `interval` x `throttle` seconds: 100 s by default.
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            # Serve the queues in the order given: `-Q live,backfill` drains live first.
            "queue_order_strategy": "priority",
            # Urgency is a matter of queues here: one Redis list for each, not one for each of four priorities.
            "priority_steps": [0],
            # A peer that vanished without a word (fail-over, NAT) must not be waited for for ever.
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "retry_on_timeout": True,
            # Also drops a blocked read whose answer is overdue: a worker that lives but hears nothing.
            "health_check_interval": 25,
            # Longest blocking read: a worker that is asked to end waits for it to return. Default 1 s.
            "polling_interval": 0.25,
            # Acknowledgements of many threads at once failed at the default of 10. Opened as needed.
            "max_connections": 200,
        },
        # Redis documents three places for it, though 5.7 reads only the first without a result backend: the smallest
        # of all apps on a broker counts, and a result backend added later must not bring the hour of the default.
        "result_backend_transport_options": visibility,
        "visibility_timeout": VISIBILITY_S,
        # Wait for Redis as long as it takes, at start and later; a supervisor need not restart anything.
        "broker_connection_retry_on_startup": True,
        "broker_connection_retry": True,
        "broker_connection_max_retries": None,
        # A server that was demoted to a replica answers READONLY: reconnect, do not die.
        "broker_channel_error_retry": True,
    }


def _messages() -> dict[str, Any]:
    return {
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "enable_utc": True,
        "timezone": "UTC",
        # Results live in the ledger; a result backend costs 0.8 ms a task and holds nothing worth keeping.
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_queues": [kombu.Queue(queue.value, routing_key=queue.value) for queue in Queue],
        "task_routes": ROUTES,
        "task_default_queue": Queue.BACKFILL.value,
        # A misspelt queue would collect messages that nobody reads.
        "task_create_missing_queues": False,
        # The sweep issues again what could not be sent: give up soon, the page is committed.
        "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5},
    }


def _worker(settings: Settings) -> dict[str, Any]:
    return {
        # Processes, in a pool that outlives the loss of Redis; `--pool threads` and the others remain what they are.
        "worker_pool": "workers.pool:TaskPool",
        # Work is idempotent and fenced by the ledger: acknowledge when done, not when begun.
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        # A failed or timed-out task stands in the ledger with its attempts; its message has no more to say.
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        # A child killed in mid-task counts as a retry, so a task that always kills its child comes to an end;
        # where the retry cannot be sent, the message goes back.
        "task_retry_on_worker_lost": True,
        "task_reject_on_worker_lost": True,
        # For prefork only: other pools ignore them, so HTTP and SQL have their own.
        "task_soft_time_limit": SOFT_LIMIT_S,
        "task_time_limit": HARD_LIMIT_S,
        # Messages with an ETA sit in one worker's memory.
        "worker_eta_task_limit": 100,
        # Whoever runs on after a lost connection commits or is fenced; killing it would only lose a page.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_concurrency": settings.concurrency or "auto",
        # Prefork only, in KiB: a child that one huge page has swollen is replaced after its task.
        "worker_max_memory_per_child": 600_000,
        # A child opens its runtime within this; the default of 4 s is short on a busy machine.
        "worker_proc_alive_timeout": 30.0,
        # On SIGQUIT (REMAP_SIGTERM=SIGQUIT: on SIGTERM): finish what can be finished within the ten seconds that
        # containers are given, put the rest back. Idle workers too, for messages waiting for their ETA.
        "worker_soft_shutdown_timeout": 8.0,
        "worker_enable_soft_shutdown_on_idle": True,
        # Three messages a task, for Flower alone: workers that it shall see are started with --task-events.
        "worker_send_task_events": False,
        # config/logging.py has the say.
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def _beat(settings: Settings) -> dict[str, Any]:
    return {
        "beat_schedule": schedule.table(settings),
        # In memory: see config/schedule.py.
        "beat_scheduler": "celery.beat:Scheduler",
        "beat_max_loop_interval": float(schedule.SWEEP_EVERY_S),
        # `celery inspect ping` reaches beat too, and is answered only while it ticks.
        "beat_enable_remote_control": True,
    }
