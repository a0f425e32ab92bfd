"""What is done to a deployment: each fault breaks something, mends it, and ends at the instant of the mending.

Each is a generator that yields once, right before it breaks anything: then is seen what it interrupts.
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

from config.schedule import SWEEP_EVERY_S
from humansync.reading import LEASE_S
from tests.chaos.stage import KINDS, WORKERS, Stage
from tests.processes import until

#: how long something is away
AWAY_S = 5.0
#: how long a worker sleeps: its lease lapses, and the next sweep has its window read by another
BEYOND_S = LEASE_S + SWEEP_EVERY_S + 5
#: so many blows, and the longest pause between two of them
BLOWS, PAUSE_S = 10, 2.0

Fault = Callable[[Stage, random.Random], Iterator[None]]


def kill_all_workers(stage: Stage, _: random.Random) -> Iterator[None]:
    """kill -9 of every worker with its children; new ones at once."""
    yield
    stage.processes.kill(*WORKERS)
    stage.start(*WORKERS)


def kill_one_worker(stage: Stage, chance: random.Random) -> Iterator[None]:
    """kill -9 of one worker that reads history, with its children."""
    yield
    name = chance.choice(WORKERS[1:])
    stage.processes.kill(name)
    stage.start(name)


def kill_children(stage: Stage, chance: random.Random) -> Iterator[None]:
    """kill -9 of one child of each worker: its parent replaces it."""
    yield
    for name in WORKERS:
        if children := stage.processes.children(name):
            os.kill(chance.choice(children), signal.SIGKILL)


def kill_at_random(stage: Stage, chance: random.Random) -> Iterator[None]:
    """kill -9 of workers and of children, ten times within seconds, at moments that nobody chose."""
    yield
    for _turn in range(BLOWS):
        time.sleep(chance.uniform(0, PAUSE_S))
        _kill_any(stage, chance)


def _kill_any(stage: Stage, chance: random.Random) -> None:
    name = chance.choice(WORKERS)
    children = stage.processes.children(name)
    if children and chance.random() < 0.5:  # as often the one as the other
        os.kill(chance.choice(children), signal.SIGKILL)
    else:
        stage.processes.kill(name)
        stage.start(name)


def everything_at_once(stage: Stage, chance: random.Random) -> Iterator[None]:
    """Workers die, Redis forgets, connections of all sorts are reset, the API fails every third request."""
    yield
    stage.api.control(fault_rate=0.3, faults=["429", "429-after", "503-after", "500", "502", "504"])
    proxies = [proxy for proxy in (stage.to_redis, stage.to_api, stage.to_postgres) if proxy is not None]
    for _turn in range(2 * BLOWS):
        time.sleep(chance.uniform(0, PAUSE_S))
        blow = chance.randrange(len(proxies) + 2)
        if blow < len(proxies):
            proxies[blow].reset()
        elif blow == len(proxies):
            stage.redis.flush()
        else:
            _kill_any(stage, chance)
    stage.api.control(fault_rate=0)


def freeze_a_worker_beyond_its_lease(stage: Stage, chance: random.Random) -> Iterator[None]:
    """SIGSTOP for longer than a lease lives, then SIGCONT: it wakes in the middle of pages that others have read."""
    yield
    name = chance.choice(WORKERS[1:])
    stage.processes.signal(name, signal.SIGSTOP)
    time.sleep(BEYOND_S)
    stage.processes.signal(name, signal.SIGCONT)


def kill_redis(stage: Stage, _: random.Random) -> Iterator[None]:
    """kill -9 of Redis; it comes back with what it has on disk: everything with an append-only file, else nothing."""
    yield
    stage.redis.kill()
    time.sleep(AWAY_S)
    stage.redis.start()


def flush_redis(stage: Stage, _: random.Random) -> Iterator[None]:
    """FLUSHALL: queues, leases, cursors, budget."""
    yield
    stage.redis.flush()


def freeze_redis(stage: Stage, _: random.Random) -> Iterator[None]:
    """Redis lives and says nothing."""
    yield
    stage.redis.pause()
    time.sleep(3 * AWAY_S)
    stage.redis.resume()


def cut_redis(stage: Stage, _: random.Random) -> Iterator[None]:
    """Every connection to Redis is reset, and none can be made for a while."""
    yield
    stage.to_redis.refusing = True
    stage.to_redis.reset()
    time.sleep(AWAY_S)
    stage.to_redis.refusing = False


def stall_redis(stage: Stage, _: random.Random) -> Iterator[None]:
    """Packets to and from Redis vanish, connections stay."""
    yield
    stage.to_redis.stall()
    time.sleep(4 * AWAY_S)
    stage.to_redis.resume()


def kill_beat(stage: Stage, _: random.Random) -> Iterator[None]:
    """kill -9 of beat, with a worker: nobody rings for a while."""
    yield
    stage.processes.kill("beat", "backfill-1")
    time.sleep(AWAY_S)
    stage.start("beat", "backfill-1")


def two_beats(stage: Stage, _: random.Random) -> Iterator[None]:
    """A second beat beside the first."""
    yield
    stage.start("beat-again")
    time.sleep(2 * AWAY_S)
    stage.processes.kill("beat-again")


def restart_postgres(stage: Stage, _: random.Random) -> Iterator[None]:
    """An orderly restart: connections end in the middle of transactions."""
    yield
    if stage.postgres:
        stage.postgres.stop()
        time.sleep(AWAY_S)
        stage.postgres.start()


def kill_postgres(stage: Stage, _: random.Random) -> Iterator[None]:
    """kill -9 of PostgreSQL: transactions are rolled back by its recovery."""
    yield
    if stage.postgres and stage.postgres.process:
        pid = stage.postgres.process.pid
        stage.postgres.stop(signal.SIGKILL)
        # its children see to their own end; a server that starts while they live would refuse
        until("postgres is gone", lambda: not _alive_children(pid), 20)
        stage.postgres.start()


def _alive_children(pid: int) -> bool:
    return subprocess.run(["pgrep", "-g", str(pid)], check=False, stdout=subprocess.DEVNULL).returncode == 0


def cut_postgres(stage: Stage, _: random.Random) -> Iterator[None]:
    """Connections to PostgreSQL are reset again and again, some right at COMMIT."""
    yield
    if stage.to_postgres:
        for _turn in range(10):
            stage.to_postgres.reset()
            time.sleep(0.5)


def cut_api(stage: Stage, _: random.Random) -> Iterator[None]:
    """Connections to the API end in the middle of answers, then none can be made."""
    yield
    stage.to_api.cut_after_bytes = 10_000
    stage.to_api.reset()
    time.sleep(AWAY_S)
    stage.to_api.cut_after_bytes = None
    stage.to_api.refusing = True
    time.sleep(AWAY_S)
    stage.to_api.refusing = False


def storm(stage: Stage, _: random.Random) -> Iterator[None]:
    """The API throttles and fails nine times of ten."""
    yield
    stage.api.control(fault_rate=0.9, faults=["429", "429-after", "503-after", "500", "502", "504"])
    time.sleep(2 * AWAY_S)
    stage.api.control(fault_rate=0)


def kill_all_workers_in_a_storm(stage: Stage, _: random.Random) -> Iterator[None]:
    """kill -9 of workers that hold messages in memory, to be tried again later."""
    stage.api.control(fault_rate=1, faults=["500", "502", "504"])
    time.sleep(AWAY_S)
    yield
    stage.processes.kill(*WORKERS)
    stage.api.control(fault_rate=0)
    stage.start(*WORKERS)


def stall_api(stage: Stage, _: random.Random) -> Iterator[None]:
    """The API accepts requests and never answers."""
    yield
    stage.to_api.stall()
    time.sleep(3 * AWAY_S)
    stage.to_api.resume()


def crowd(stage: Stage, _: random.Random) -> Iterator[None]:
    """The same wish fifty times at once."""
    yield
    for _turn in range(50):
        stage.ask(KINDS[0])


ALL: tuple[Fault, ...] = (
    kill_all_workers,
    kill_children,
    kill_redis,
    kill_one_worker,
    kill_at_random,
    flush_redis,
    freeze_a_worker_beyond_its_lease,
    cut_redis,
    stall_redis,
    freeze_redis,
    kill_beat,
    two_beats,
    restart_postgres,
    kill_postgres,
    cut_postgres,
    cut_api,
    storm,
    kill_all_workers_in_a_storm,
    stall_api,
    crowd,
    everything_at_once,
)
#: Faults that have no meaning where the database is a file.
OF_POSTGRES = (restart_postgres, kill_postgres, cut_postgres)
#: Faults after which it matters what Redis has on disk.
OF_MEMORY = (kill_all_workers, kill_redis)
