"""Where do the packages come from? A plugin of pytest that ends the session where the answer is wrong.

Without it, tests that ran on the installed packages in place of a mutant's would seem to say something about it.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

#: Names the folder that the packages must come from.
FOLDER = "MUTANT_FOLDER"
PACKAGES = ("config", "humansync", "tasks", "workers")


def elsewhere(folder: Path) -> list[str]:
    """Return the packages that would not be imported from a folder."""
    specs = {name: find_spec(name) for name in PACKAGES}
    places = {name: Path(str(spec.origin)) for name, spec in specs.items() if spec is not None}
    return [name for name in PACKAGES if not (name in places and places[name].is_relative_to(folder))]


def pytest_configure() -> None:
    """Refuse to test anything else than what was asked for."""
    folder = Path(os.environ[FOLDER])
    if wrong := elsewhere(folder) or elsewhere_in_a_child(folder):
        raise pytest.UsageError(f"not from the mutant's folder: {', '.join(wrong)}")


def elsewhere_in_a_child(folder: Path) -> list[str]:
    """Return the same of a process that is started as tests start the product's own."""
    command = [sys.executable, "-P", "-m", __name__, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd="/")
    return done.stdout.split()


if __name__ == "__main__":
    print(*elsewhere(Path(sys.argv[1])))
