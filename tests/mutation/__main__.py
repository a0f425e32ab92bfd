"""Switch off one safety mechanism at a time and see that its tests go red: `python -m tests.mutation -k lease`."""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.mutation.mechanisms import MUTANTS
from tests.mutation.mutant import Mutant, Verdict, copied, judged, tried

#: Each of them may start servers of its own.
AT_ONCE = 2
#: All tests together, on packages that are whole.
WHOLE_LIMIT_S = 1800
_WORDS_OF_A_SURVIVOR = 2000


def main(argv: list[str] | None = None) -> int:
    """Return 0 if no mechanism can be off without its tests noticing."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("-k", default="", metavar="WORDS", help="only mechanisms whose name or file holds these words")
    parser.add_argument("--document", action="store_true", help="print docs/mechanisms.md")
    asked = parser.parse_args(argv)
    if asked.document:
        print(document(), end="")
        return 0
    chosen = [mutant for mutant in MUTANTS if asked.k in mutant.name or asked.k in mutant.file]
    if not chosen:
        print(f"no mechanism is called like {asked.k!r}", file=sys.stderr)
        return 2
    began = time.monotonic()
    whole = healthy(chosen)
    if whole.status:
        print(whole.said, "\nNothing is switched off, and not all is green: what follows would prove nothing.")
        return 1
    print(f"{'-':<4} {'nothing':<48} {whole.seconds:5.1f} s  all green", flush=True)
    alive = missed(chosen)
    for mutant, verdict in alive:
        print(f"\n--- {mutant.name}: pytest ended with {verdict.status}\n{verdict.said[-_WORDS_OF_A_SURVIVOR:]}")
    noticed, seconds = len(chosen) - len(alive), time.monotonic() - began
    print(f"\n{noticed} of {len(chosen)} mechanisms cannot be off without a test going red; {seconds:.0f} s")
    return 1 if alive else 0


def healthy(mutants: Sequence[Mutant]) -> Verdict:
    """Run all the tests named on packages of which nothing is switched off."""
    tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests)
    with copied() as folder:
        return tried(folder, list(tests), "-n", str(AT_ONCE), "--dist", "worksteal", limit_s=WHOLE_LIMIT_S)


def missed(mutants: Sequence[Mutant]) -> list[tuple[Mutant, Verdict]]:
    """Try every mutant and print its line; return those that a test missed."""
    alive = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for mutant, verdict in zip(mutants, pool.map(judged, mutants), strict=True):
                print(line(mutant, verdict), flush=True)
                if verdict.missed_by(mutant.tests):
                    alive.append((mutant, verdict))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return alive


def line(mutant: Mutant, verdict: Verdict) -> str:
    """Return a line of the table: promise, mechanism, time, and who noticed."""
    missed_by = verdict.missed_by(mutant.tests)
    who = ", ".join(missed_by or mutant.tests).replace("tests/", "")
    return f"{mutant.promise:<4} {mutant.name:<48} {verdict.seconds:5.1f} s  {'SURVIVED ' if missed_by else ''}{who}"


HEAD = """# Mechanisms

What each [promise](architecture.md#promises) rests on, piece by piece. `make mutants` switches them off, one at a time,
in a copy of the packages, and sees that tests go red; a slice of that runs with `make test`. The table is printed from
the one that it works by, `tests/mutation/mechanisms.py`:

```
.venv/bin/python -m tests.mutation --document > docs/mechanisms.md
```

| | mechanism | what holds thanks to it | where |
|---|---|---|---|
"""


def document() -> str:
    """Return `docs/mechanisms.md`."""
    by_promise = sorted(MUTANTS, key=lambda mutant: int(mutant.promise[1:]))
    rows = (f"| {each.promise} | {each.name} | {each.guards} | `{each.file}` |" for each in by_promise)
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
