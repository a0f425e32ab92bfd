"""`humansync up`: everything on this machine, for as long as it is wanted."""

import time
from contextlib import closing

from config.settings import load
from humansync.redaction import redact_url
from workers import dataset
from workers.embedded import Embedded, celery, free_port
from workers.processes import Child
from workers.run import say
from workers.tables import database
from workers.terminated import Terminated

#: Flower's usual port
FLOWER_PORT = 5555
#: how often dead processes are looked for
LOOK_EVERY_S = 0.5


def up(workers: Child) -> int:
    """Start everything and watch over it until Ctrl-C or TERM; returns the exit status. Raises HumansyncError.

    workers: a crew without orders.
    """
    try:
        with Embedded(load(), workers, lasting=True, say=say) as deployment:
            _keep(deployment)
    except (KeyboardInterrupt, Terminated):
        say("Stopped.")
    return 0


def _keep(deployment: Embedded) -> None:
    from humansync.store import Store, make_engine, migrate  # noqa: PLC0415 -- after the processes, it is slow

    settings = deployment.settings
    engine = make_engine(settings.database_url)
    migrate(engine)
    deployment.ready()
    with closing(Store(engine)) as store:
        store.set_meta(dataset.SIMULATED, "1" if deployment.simulated else "0")
    port = free_port(FLOWER_PORT)
    deployment.start("beat", celery("beat", "--pidfile="))
    flower = deployment.start("flower", _flower(port))
    say(_where(deployment, port))
    while True:
        deployment.tend()
        # Another program, such as another `up`, may have taken the port between our look and Flower's.
        if flower.process is None and (free := free_port(port)) != port:
            port, flower.argv = free, _flower(free)
            say(f"Flower's port was taken: it will be on http://127.0.0.1:{port}/")
        time.sleep(LOOK_EVERY_S)


def _flower(port: int) -> list[str]:
    return celery("flower", "--address=127.0.0.1", f"--port={port}")


def _where(deployment: Embedded, port: int) -> str:
    """Return the lines that say where everything is."""
    settings = deployment.settings
    every = {settings.every(kind) for kind in settings.kinds}
    api = f"{settings.base_url}{' (the simulator)' if deployment.simulated else ''}"
    return "\n".join(
        (
            f"Keeping {len(settings.kinds)} kinds fresh, asking every {' or '.join(str(s) for s in sorted(every))} s.",
            f"  API       {api}",
            f"  database  {database(settings.database_url)}",
            f"  Redis     {redact_url(settings.redis_url)}",
            f"  Flower    http://127.0.0.1:{port}/",
            f"  logs      {deployment.logs}/",
            "`humansync status` in another terminal of this folder shows how fresh it is. Ctrl-C stops everything.",
        )
    )
