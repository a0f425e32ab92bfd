"""One safety mechanism switched off: a copy of the packages with a small text replaced, and the tests run on it."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import cache_from_source
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.deployment import REPOSITORY
from tests.mutation.origin import FOLDER, PACKAGES

#: A test that hangs on a mutant has noticed nothing: it has missed it.
LIMIT_S = 300
#: pytest's own word for "tests were run, and some failed".
TESTS_FAILED = 1
_FAILED = re.compile(r"^FAILED (\S+::.+?)(?: - |$)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A mechanism, how to switch it off, and who is expected to notice."""

    name: str
    #: what holds thanks to it
    guards: str
    #: the promise of docs/architecture.md that would be broken without it
    promise: str
    file: str
    #: stands in the file exactly once ...
    text: str
    #: ... and becomes this
    instead: str
    #: node ids of pytest
    tests: tuple[str, ...]
    #: `-k` of pytest: some of their parameters are enough
    only: str = ""

    def applied(self, source: str) -> str:
        """Return the file's text with the mechanism switched off; ValueError where the text is not there once."""
        found = source.count(self.text)
        if found != 1:
            raise ValueError(f"{self.name}: its text stands {found} times in {self.file}, not once: {self.text!r}")
        return source.replace(self.text, self.instead)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the tests said of a copy."""

    #: pytest's exit status; -1 where it came to no end
    status: int
    #: node ids of the tests that failed
    failed: tuple[str, ...]
    seconds: float
    #: what pytest printed
    said: str

    def missed_by(self, tests: Sequence[str]) -> list[str]:
        """Return which of these tests did not notice: each must fail by itself, not for want of tests or fixtures."""
        failed = self.failed if self.status == TESTS_FAILED else ()
        return [test for test in tests if not any(each == test or each.startswith(f"{test}[") for each in failed)]


@contextmanager
def copied(mutant: Mutant | None = None) -> Iterator[Path]:
    """Give a folder with the packages as they are, one mechanism switched off if one is named."""
    with TemporaryDirectory(prefix="humansync-mutant-") as name:
        folder = Path(name)
        for package in PACKAGES:
            shutil.copytree(REPOSITORY / package, folder / package)  # with byte code: only one file is compiled anew
        if mutant is not None:
            file = folder / mutant.file
            file.write_text(mutant.applied(file.read_text("utf-8")), "utf-8")
            if file.suffix == ".py":
                Path(cache_from_source(str(file))).unlink(missing_ok=True)
        yield folder


def environment(folder: Path) -> Mapping[str, str]:
    """Return an environment in which the packages come from a folder, for pytest and for whatever tests start."""
    return {
        **os.environ,
        "PYTHONPATH": str(folder),
        FOLDER: str(folder),
        # What a mutant's property tests find must not come up in the ordinary runs.
        "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / ".hypothesis"),
    }


def tried(folder: Path, tests: Sequence[str], *options: str, limit_s: float = LIMIT_S) -> Verdict:
    """Run tests on the packages of a folder."""
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.mutation.origin"]
    command += ["--hypothesis-seed=0", *options, *tests]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=REPOSITORY,
            env=environment(folder),
            timeout=limit_s,
        )
        status, said = done.returncode, done.stdout
    except subprocess.TimeoutExpired:
        status, said = -1, f"no end within {limit_s:g} s"
    return Verdict(status, tuple(_FAILED.findall(said)), time.monotonic() - began, said)


def judged(mutant: Mutant) -> Verdict:
    """Return what a mechanism's tests say where it is switched off."""
    with copied(mutant) as folder:
        return tried(folder, mutant.tests, *(["-k", mutant.only] if mutant.only else []))
