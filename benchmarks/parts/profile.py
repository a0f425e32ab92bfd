"""Where humansync's CPU seconds go, page by page and part by part."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.compare import Scene, once, say
from benchmarks.job import Job
from benchmarks.parts.options import Options
from benchmarks.parts.rate import Meter
from benchmarks.rivals import HERE, RIVALS, Call
from benchmarks.stand import Simulator, Stand

#: parts that cost less than this a page are left out
LEAST_MS = 0.01


def profile(stand: Stand, options: Options) -> Iterator[Scene]:
    """CPU milliseconds a page, counted inside the workers."""
    for records in options.sizes(100_000):
        scene = Scene("profile", f"{records:,} records, no latency: where the CPU time goes", {"records": records})
        with Simulator(records, 60.0) as simulator, stand.database() as url:
            folder, looks = stand.new_folder(), Meter(simulator)
            thread = threading.Thread(target=looks.run, daemon=True)
            thread.start()
            began = time.monotonic()
            ours = replace(RIVALS["humansync"], call=_watched)
            measured = once(stand, simulator, ours, simulator.job().on(url), folder)
            looks.stop()
            thread.join()
        scene.runs["humansync"] = [measured]
        say("humansync", measured)
        scene.figures |= {"pages": measured.requests, **_times(looks, began, measured.seconds)}
        scene.figures |= _parts(folder, measured.requests, measured.cpu_s)
        yield scene


def _watched(job: Job, folder: Path) -> Call:
    call = RIVALS["humansync"].call(job, folder)
    return replace(call, env=call.env | {"PYTHONPATH": str(HERE / "inside"), "BENCHMARK_PROFILE": str(folder)})


def _times(looks: Meter, began: float, seconds: float) -> dict[str, str]:
    """Return when the API was first and last asked."""
    answered = [
        at for (at, count, _), (_, before, _) in zip(looks.looks[1:], looks.looks, strict=False) if count > before
    ]
    if not answered:
        return {}
    first, last = answered[0] - began, answered[-1] - began
    return {"first page, last page, end": f"{first:.2f} s, {last:.2f} s, {seconds:.2f} s after the start"}


def _parts(folder: Path, pages: int, cpu_s: float) -> dict[str, str]:
    cpu: Counter[str] = Counter()
    wall: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    for path in folder.glob("*.json"):
        if not path.stem.isdigit():
            continue
        document = json.loads(path.read_text())
        for counter, name in ((cpu, "cpu"), (wall, "wall"), (calls, "calls"), (threads, "threads")):
            counter.update(document[name])
    lines = {f"thread {name}": f"{seconds:.2f} s" for name, seconds in threads.most_common()}
    lines["commands, start, Redis"] = f"{cpu_s - sum(threads.values()):.2f} s"
    for part, seconds in cpu.most_common():
        if (each := 1000 * seconds / pages) >= LEAST_MS:
            lines[part] = f"{each:6.2f} ms CPU a page, {1000 * wall[part] / pages:6.2f} ms in all, {calls[part]} calls"
    return lines
