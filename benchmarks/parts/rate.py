"""A rate limit: how much of it is used, and how often it is run into."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.compare import Scene, once, say
from benchmarks.parts.options import Options
from benchmarks.rivals import RIVALS
from benchmarks.stand import Simulator, Stand

#: requests a second, by the API and by us
RATE = 20
LOOK_EVERY_S = 0.05


@dataclass(slots=True)
class Meter:
    """Notes, while a contender works, how many requests were answered and how many refused."""

    simulator: Simulator
    looks: list[tuple[float, int, int]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Look until told to stop."""
        while not self._stop.wait(LOOK_EVERY_S):
            statuses = self.simulator.stats()["by_status"]
            self.looks.append((time.monotonic(), statuses.get("200", 0), statuses.get("429", 0)))

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def figures(self) -> dict[str, float]:
        """Return the share of the allowed rate that was used, and refusals after the first second."""
        first = next(i for i, look in enumerate(self.looks) if look[1] > self.looks[0][1])
        last = max(i for i in range(1, len(self.looks)) if self.looks[i][1] > self.looks[i - 1][1])
        began = self.looks[first][0] + 1.0
        settled = next((look for look in self.looks if look[0] >= began), self.looks[last])
        seconds, answered = self.looks[last][0] - settled[0], self.looks[last][1] - settled[1]
        return {
            "share of the allowed rate": round(answered / (RATE * seconds), 3) if seconds > 0 else 0.0,
            "429 after the first second": self.looks[-1][2] - settled[2],
            "429 in all": self.looks[-1][2] - self.looks[0][2],
        }


def limit(stand: Stand, options: Options) -> Iterator[Scene]:
    """The API allows 20 requests a second, and humansync is told so; two workers."""
    for records in options.sizes(250_000):
        facts = {"records": records, "rate": RATE, "kinds": 1, "database": "PostgreSQL"}
        scene = Scene("rate", f"{RATE} requests a second allowed, two workers", facts)
        with Simulator(records, 60.0, switches=("--rate-limit", str(RATE))) as simulator:
            for _ in range(options.times(1)):
                with stand.database() as url:
                    watch = Meter(simulator)
                    thread = threading.Thread(target=watch.run, daemon=True)
                    thread.start()
                    measured = once(stand, simulator, RIVALS["humansync"], simulator.job(rate=RATE).on(url))
                    watch.stop()
                    thread.join()
                scene.runs.setdefault("humansync", []).append(measured)
                scene.figures |= watch.figures()
                say("humansync", measured)
        yield scene
