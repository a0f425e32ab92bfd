"""A Human API to run against: seedable, fast, and as badly behaved as asked.

For a first run without credentials, for tests, demos and benchmarks. By itself:

    humansync simulator --port 8740                               forty invented lives, 90 days of them
    humansync simulator --records 100000 --days 60                plain load, 100,000 records a kind
    humansync simulator --fault-rate 0.05 --change-every 3        an API that fails and changes while read

In a process, without sockets and with a clock of one's own:

    world = World(clock, seed=7, switches=Switches(order="random"))
    world.load(["activities"], records=5_000, days=3)
    answer = world.query("activities", {"updated_since": "20260101T000000Z", "limit": "500"})
    world.change("activities", 3); world.add("meals", 2, late_by_s=90)
    world.truth("activities")                                     identity -> (updatedAt, digest)

Every switch stands in `switches.py` with its default and meaning, every fault in `faults.py`, every oddity of a
record in `odd.py`; `docs/simulator.md` lists them all. The endpoints that only the simulator has:

    GET  /_truth/<kind>   what is visible and usable now, a JSON array a line: identity, updatedAt, digest
    GET  /_stats          what was asked and answered, most requests in one second, records by kind
    POST /_control        {"set": {switch: value}, "do": [{"act": "change", "kind": "sleeps", "n": 5}]}

Inside: `world` joins `gate` (access, rate, faults), `query` (what is asked for), `ordering` (which page of it)
and `stock` (the records, in `shelf` and `collection`); `habits` and `data` invent lives, `load` makes plain
records; `app` speaks HTTP's terms, `server` its bytes.
"""

from humansync.simulator.app import App, Request
from humansync.simulator.canon import canonical, digest
from humansync.simulator.data import RealisticFeed
from humansync.simulator.faults import Answer, Fault
from humansync.simulator.odd import Odd
from humansync.simulator.switches import SwitchError, Switches
from humansync.simulator.world import World

__all__ = [
    "Answer",
    "App",
    "Fault",
    "Odd",
    "RealisticFeed",
    "Request",
    "SwitchError",
    "Switches",
    "World",
    "canonical",
    "digest",
]
