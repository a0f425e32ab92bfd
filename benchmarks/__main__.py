"""`python -m benchmarks PART…`: measure, show, and keep the result as JSON in `var/bench`."""

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import meter
from benchmarks.compare import BenchmarkFailed
from benchmarks.parts import PARTS, Options
from benchmarks.stand import Stand

RESULTS = Path("var/bench")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts named and return the exit status."""
    line = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    line.add_argument(
        "parts", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"{', '.join(PARTS)}; default: all"
    )
    line.add_argument("--records", type=_numbers, default=(), metavar="N,…", help="sizes instead of each scene's own")
    line.add_argument("--repeat", type=int, metavar="N", help="runs of each contender instead of the scene's own")
    line.add_argument("--contenders", type=_names, default=(), metavar="NAME,…")
    line.add_argument("--shrink", type=int, default=1, metavar="N", help="divide every size by N: a quick look")
    line.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    said = line.parse_args(argv)
    options = Options(said.records, said.repeat, said.contenders, said.shrink)
    meter.adopt_orphans()
    try:
        with Stand() as stand:
            for name in said.parts or PARTS:
                _run(name, stand, options, said.results)
    except BenchmarkFailed as failed:
        sys.stderr.write(f"benchmark failed: {failed}\n")
        return 1
    return 0


def _run(name: str, stand: Stand, options: Options, folder: Path) -> None:
    sys.stderr.write(f"{name}: {PARTS[name].__doc__}\n")
    scenes = [scene.document() for scene in PARTS[name](stand, options)]
    folder.mkdir(parents=True, exist_ok=True)
    document = {"part": name, "measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "scenes": scenes}
    (folder / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    for scene in scenes:
        print(f"\n{scene['title']}")
        for each in scene["medians"].values():
            print(
                f"  {each['label']:26} {each['seconds']:8.2f} s  {each['of_ceiling'] or 0:6.2f} x ceiling  "
                f"{each['of_humansync'] or 0:6.2f} x humansync  CPU {each['cpu_s']:6.2f} s  {each['peak_mib']:6.0f} MiB"
            )
        for what, value in scene["figures"].items():
            print(f"  {what}: {value}")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number.replace("_", "")) for number in text.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    sys.exit(main())
