"""The machine that measures, in words and nothing that would name it."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from tests.servers import postgres_programs, redis_binary


def words() -> str:
    """Return what a reader needs to judge the figures."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    return (
        f"{cores} {'core' if cores == 1 else 'cores'} ({_model()}), {memory} GB of memory, {platform.system()} "
        f"{'.'.join(platform.release().split('.')[:2])}; Python {platform.python_version()}, Celery {version('celery')}, "
        f"{_said(postgres_programs() / 'postgres', '--version')}, {_said(redis_binary(), '--version').split(' sha=')[0]}"
    )


def load() -> float:
    """Return how many processes wanted to run in the last minute."""
    return round(os.getloadavg()[0], 2)


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _said(program: object, option: str) -> str:
    return subprocess.run([str(program), option], check=True, capture_output=True, text=True).stdout.strip()
