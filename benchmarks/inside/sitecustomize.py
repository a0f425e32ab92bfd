"""Counts, inside each worker process, the CPU seconds that every part of the work takes; for `make bench-profile`.

Python imports a module of this name by itself when its folder is on PYTHONPATH. Sampling profilers take threads that
wait for threads that work where the machine is busy; each thread's own CPU clock does not. A part's time is its own:
what it calls counts for the part called.
"""
# ruff: noqa: PLC0415 - what is measured is imported by then

import functools
import json
import os
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = os.environ.get("BENCHMARK_PROFILE")
WORKER = any("workers.crew" in word for word in sys.orig_argv) or "worker" in sys.orig_argv

cpu: defaultdict[str, float] = defaultdict(float)
wall: defaultdict[str, float] = defaultdict(float)
calls: Counter[str] = Counter()
clocks: dict[int, tuple[str, float]] = {}
marks: dict[str, float] = {}
_stack = threading.local()


def counted(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        inner: list[list[float]] = _stack.__dict__.setdefault("inner", [])
        inner.append([0.0, 0.0])
        cpu_began, wall_began = time.thread_time(), time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            cpu_s, wall_s = time.thread_time() - cpu_began, time.perf_counter() - wall_began
            inner_cpu, inner_wall = inner.pop()
            cpu[part] += cpu_s - inner_cpu
            wall[part] += wall_s - inner_wall
            calls[part] += 1
            if inner:
                inner[-1][0] += cpu_s
                inner[-1][1] += wall_s

    return wrapper


def count(holder: Any, name: str, part: str) -> None:
    function = getattr(holder, name, None)
    if callable(function):
        setattr(holder, name, counted(part, function))


def count_methods(kind: Any, part: str) -> None:
    for name, value in list(vars(kind).items()):
        if callable(value) and not name.startswith("_") and not isinstance(value, staticmethod | classmethod):
            setattr(kind, name, counted(f"{part}.{name}", value))


def install() -> None:
    """Wrap the parts once they are imported."""
    while not {"workers.app", "tasks.repair", "celery.app.trace", "celery.concurrency.thread"} <= sys.modules.keys():
        time.sleep(0.005)
    import celery.app.trace
    import celery.concurrency.thread

    import humansync.api
    import humansync.pages
    import humansync.reading
    import humansync.records
    import humansync.state.shared
    import humansync.store.store
    import humansync.sync
    import tasks.publish
    import tasks.runtime

    count_methods(humansync.store.store.Store, "store")
    count(humansync.store.store, "upsert", "store: rows")
    count_methods(humansync.state.shared.Shared, "redis")
    count(humansync.api.Api, "fetch", "api.fetch")
    for name in ("parse", "_decode", "decode"):
        for module in (humansync.api, getattr(humansync.api, "answers", None)):
            count(module, name, "api: JSON")
    count(humansync.records, "parse", "records.parse")
    count(humansync.api, "as_received", "api.as_received")
    count(humansync.pages, "settle", "pages.settle")
    count(humansync.reading, "read", "sync: rest")
    count(humansync.sync, "plan_kind", "sync: planning")
    count(tasks.publish, "follow_ups", "publish")
    count(tasks.runtime, "open_runtime", "open the runtime")
    count(celery.app.trace, "fast_trace_task", "celery: tracing")
    count(celery.concurrency.thread, "apply_target", "celery: pool")


def watch() -> None:
    """Install, then keep the figures on disk: a forked worker ends without ceremony."""
    main = threading.main_thread().ident
    install()
    marks["installed"] = time.process_time()
    path = Path(str(FOLDER)) / f"{os.getpid()}.json"
    while True:
        for thread in threading.enumerate():
            if thread.ident is not None:
                name = "main" if thread.ident == main else thread.name.rstrip("0123456789-_")
                clocks[thread.ident] = (name, time.clock_gettime(time.pthread_getcpuclockid(thread.ident)))
        threads: defaultdict[str, float] = defaultdict(float)
        for name, seconds in clocks.values():
            threads[name] += seconds
        document = {"cpu": cpu, "wall": wall, "calls": calls, "threads": threads, "marks": marks}
        path.with_suffix(".new").write_text(json.dumps(document))
        path.with_suffix(".new").replace(path)
        time.sleep(0.1)


def begin() -> None:
    threading.Thread(target=watch, daemon=True, name="benchmark").start()


if FOLDER and WORKER:
    if any("workers.crew" in word for word in sys.orig_argv):
        os.register_at_fork(after_in_child=begin)
    else:
        begin()
