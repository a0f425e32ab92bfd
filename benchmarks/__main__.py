"""`python -m benchmarks PART…`: measure, show, and keep the result as JSON in `var/bench`."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, meter, report
from benchmarks.compare import BenchmarkFailed
from benchmarks.parts import PARTS, Options
from benchmarks.rivals import RIVALS
from benchmarks.stand import Stand

RESULTS = Path("var/bench")
#: what `make bench` measures: all but where the time goes
USUAL = [part for part in PARTS if part != "profile"]
#: the part that measures nothing
REPORT = "report"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts named and return the exit status."""
    line = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parts = [*PARTS, REPORT]
    line.add_argument(
        "parts", nargs="*", choices=[*parts, []], metavar="PART", help=f"{', '.join(parts)}; default: all"
    )
    line.add_argument("--records", type=_numbers, default=(), metavar="N,…", help="sizes instead of each scene's own")
    line.add_argument("--repeat", type=int, metavar="N", help="runs of each contender instead of the scene's own")
    line.add_argument("--contenders", type=_names, default=(), metavar="NAME,…", help=f"of {', '.join(RIVALS)}")
    line.add_argument("--shrink", type=int, default=1, metavar="N", help="divide every size by N: a quick look")
    line.add_argument("--threads", type=int, metavar="N", help="threads of each process, in races")
    line.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="default: %(default)s")
    said = line.parse_args(argv)
    if unknown := set(said.contenders) - RIVALS.keys():
        line.error(f"there is no contender {', '.join(sorted(unknown))}")
    measured = _measure([part for part in said.parts or USUAL if part != REPORT], _options(said), said.results)
    if REPORT in said.parts:
        report.write(said.results)
    return 0 if measured else 1


def _options(said: argparse.Namespace) -> Options:
    return Options(said.records, said.repeat, said.contenders, said.shrink, said.threads)


def _measure(names: Sequence[str], options: Options, folder: Path) -> bool:
    """Measure parts one after another; return whether all came to their end."""
    if not names:
        return True
    meter.adopt_orphans()
    failed = False
    with Stand() as stand:
        for name in names:
            try:
                _part(name, stand, options, folder)
            except BenchmarkFailed as error:
                sys.stderr.write(f"{name} failed: {error}\n")
                failed = True
    return not failed


def _part(name: str, stand: Stand, options: Options, folder: Path) -> None:
    sys.stderr.write(f"{name}: {PARTS[name].__doc__}\n")
    busy, scenes = machine.load(), []
    for scene in PARTS[name](stand, options):
        scenes.append(scene.document())
        _show(scenes[-1])
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    document = {"part": name, "measured_at": now, "machine": machine.words(), "load_before": busy, "scenes": scenes}
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")


def _show(scene: dict[str, Any]) -> None:
    print(f"\n{scene['title']}")
    for each in scene["medians"].values():
        ceiling = f"{each['of_ceiling']:5.2f} x ceiling" if each["of_ceiling"] else ""
        ours = f"{each['of_humansync']:5.2f} x humansync" if each["of_humansync"] else ""
        cost = f"CPU {each['cpu_s']:6.2f} s  {each['peak_mib']:6.0f} MiB  {each['requests']:6.0f} requests"
        print(f"  {each['label']:30} {each['seconds']:8.2f} s  {ceiling:15} {ours:17} {cost}")
    for what, value in scene["figures"].items():
        print(f"  {what}: {value}")
    sys.stdout.flush()


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number.replace("_", "")) for number in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    sys.exit(main())
