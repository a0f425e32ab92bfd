"""`make chaos`: break live deployments in every way there is, and hold their databases to the truth."""

import argparse
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos import faults
from tests.chaos.run import PROMISED_S, Result, run, say


@dataclass(frozen=True, slots=True)
class Setting:
    """One of the deployments that are tormented."""

    database: str
    append_only: bool
    faults: tuple[faults.Fault, ...]

    @property
    def name(self) -> str:
        """Database and persistence in a few letters."""
        return f"{self.database}{', AOF' if self.append_only else ''}"


WITHOUT_POSTGRES = tuple(fault for fault in faults.ALL if fault not in faults.OF_POSTGRES)
#: Every fault on either database; with what Redis keeps, and without, where that makes a difference.
SETTINGS = (
    Setting("postgresql", append_only=False, faults=faults.ALL),
    Setting("postgresql", append_only=True, faults=faults.OF_MEMORY),
    Setting("sqlite", append_only=True, faults=WITHOUT_POSTGRES),
    Setting("sqlite", append_only=False, faults=faults.OF_MEMORY),
)


def line() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="order of the faults, whom they hit, the records (default: any)")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="this one alone")
    named = ", ".join(fault.__name__ for fault in faults.ALL)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"of {named} (default: all)")
    return parser


def table(results: dict[str, list[Result]]) -> str:
    """Return the seconds to recover, a row for each fault, a column for each deployment."""
    rows = [["seconds until interrupted work was under way again", *results]]
    for fault in faults.ALL:
        took = [next((each for each in some if each.fault == fault.__name__), None) for some in results.values()]
        if any(took):
            rows.append(
                [fault.__name__.replace("_", " "), *(f"{each.recovery_s:.0f}" if each else "" for each in took)]
            )
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]])


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; return 0 when nothing was lost and everything came back in time."""
    parser = line()
    wishes = parser.parse_args(argv)
    names = {fault.__name__: fault for fault in faults.ALL}
    if unknown := set(wishes.faults) - names.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    seed = wishes.seed if wishes.seed is not None else random.SystemRandom().randrange(1_000_000)
    again = " ".join([*([f"--database {wishes.database}"] if wishes.database else []), *wishes.faults])
    say(f"seed {seed}; again: make chaos SEED={seed}{f' ARGS={again!r}' if again else ''}")
    results: dict[str, list[Result]] = {}
    wrong: list[str] = []
    for setting in SETTINGS:
        chosen = [fault for fault in setting.faults if not wishes.faults or fault.__name__ in wishes.faults]
        if not chosen or wishes.database not in (None, setting.database):
            continue
        say(f"--- {setting.name}")
        report = run(setting.database, chosen, append_only=setting.append_only, seed=seed)
        results[setting.name] = report.results
        wrong += [f"{setting.name}: {kind}: {counts}" for kind, counts in report.differences.items()]
        wrong += [f"{setting.name}: {each.fault} took over {PROMISED_S:.0f} s" for each in report.late]
    print(f"\n{table(results)}\n", flush=True)
    for each in wrong:
        say(each)
    say("something is wrong" if wrong else "0 missing, 0 stale, 0 extra; everything was back within a minute")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
