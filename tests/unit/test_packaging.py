"""What is installed, locked and deployed is what the repository says."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from config.queues import Queue
from config.settings import VARIABLES
from humansync import __version__
from tests.deployment import REPOSITORY, VariableRequired, compose, compose_commands, procfile

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
LOCKS = sorted((REPOSITORY / "requirements").glob("*.txt"))
PACKAGES = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def _pins(lock: Path) -> dict[str, str]:
    """Return version by name."""
    found = re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def _without_pythonpath() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


# --- names ------------------------------------------------------------------------------------------------------------


def test_top_level_names_come_from_this_repository() -> None:
    """`config`, `tasks` and `workers` are names that a stray file of some dependency would shadow without a word."""
    body = "import sys, importlib\nfor name in sys.argv[1:]: print(importlib.import_module(name).__file__)"
    command = [sys.executable, "-P", "-c", body, *PACKAGES]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/", env=_without_pythonpath())
    assert done.stdout.split() == [str(REPOSITORY / name / "__init__.py") for name in PACKAGES]


def test_every_package_ships_and_tests_do_not(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    (wheel,) = tmp_path.glob("humansync-*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], check=True, capture_output=True, text=True, cwd=REPOSITORY)
    assert f"-{__version__}-" in wheel.name
    assert set(tracked.stdout.split()) <= shipped
    assert {name.split("/")[0] for name in shipped} == set(PACKAGES)


# --- locks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.stem))
def test_a_lock_names_versions_and_hashes_and_no_place(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
    starts = [index for index, line in enumerate(lines) if not line.startswith(" ")]
    assert starts
    for index in starts:
        assert re.match(r"[\w.-]+==\S+( ; .+)? \\$", lines[index]), lines[index]
        assert re.match(r" +--hash=sha256:[0-9a-f]{64}", lines[index + 1]), lines[index]
    assert "://" not in lock.read_text()


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        ("runtime", PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["build"]),
        ("dev", PROJECT["dependency-groups"]["dev"]),
        ("browser", PROJECT["dependency-groups"]["browser"]),
    ],
)
def test_a_lock_serves_what_the_project_asks_for(lock: str, wanted: list[str]) -> None:
    pins = _pins(REPOSITORY / "requirements" / f"{lock}.txt")
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), f"{requirement}: make lock"


def test_locks_agree_with_each_other() -> None:
    """They are installed one after the other into one environment."""
    together: dict[str, set[str]] = {}
    for lock in LOCKS:
        for name, version in _pins(lock).items():
            together.setdefault(name, set()).add(version)
    assert {name: versions for name, versions in together.items() if len(versions) > 1} == {}


# --- deployment -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Give the compose file's services."""
    found: dict[str, Any] = compose({"FLOWER_BASIC_AUTH": "user:password"})["services"]
    return found


def test_the_compose_file_follows_the_compose_specification() -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        "docker-compose.yml",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout


def test_flower_does_not_start_without_a_password() -> None:
    with pytest.raises(VariableRequired, match="FLOWER_BASIC_AUTH"):
        compose({})


def test_nothing_but_flower_is_published_and_that_to_this_host_alone(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"flower": ["127.0.0.1:5555:5555"]}


def test_the_queue_survives_a_restart_and_is_never_thinned_out(services: dict[str, Any]) -> None:
    words = services["redis"]["command"]
    assert words[words.index("--appendonly") + 1] == "yes"
    assert words[words.index("--maxmemory-policy") + 1] == "noeviction"
    assert services["redis"]["volumes"]


@pytest.mark.parametrize("commands", [procfile(), compose_commands()], ids=["Procfile", "docker-compose.yml"])
def test_every_queue_has_a_worker_and_the_live_one_has_its_own(commands: list[Any]) -> None:
    workers = [command.words for command in commands if command.role == "worker"]
    served = [set(words[words.index("--queues") + 1].split(",")) for words in workers]
    assert set().union(*served) == {str(queue) for queue in Queue}
    assert {str(Queue.LIVE)} in served


def test_both_deployments_start_the_same_processes() -> None:
    roles = [sorted(command.role for command in commands) for commands in (procfile(), compose_commands())]
    roles[1].remove("simulator")
    assert roles[0] == roles[1]


def test_every_setting_is_explained_and_passed_on(services: dict[str, Any]) -> None:
    settings = {variable.name for variable in VARIABLES.values()}
    explained = set(re.findall(r"^#?([A-Z_]+)=", (REPOSITORY / ".env.example").read_text(), re.MULTILINE))
    assert settings <= explained
    assert settings <= services["worker-live"]["environment"].keys()


def test_the_demo_needs_nothing_but_its_own_file() -> None:
    lines = (REPOSITORY / "demo.env").read_text().splitlines()
    demo = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    services = compose(demo)["services"]
    address = f"http://simulator:{services['simulator']['command'][-1]}/v1"
    assert services["simulator"]["profiles"] == [demo["COMPOSE_PROFILES"]]
    assert services["worker-live"]["environment"]["HUMANAPI_BASE_URL"] == address


# --- make -------------------------------------------------------------------------------------------------------------


def test_make_explains_every_target_that_is_for_people() -> None:
    text = (REPOSITORY / "Makefile").read_text()
    shown = subprocess.run(["make", "help"], check=True, capture_output=True, text=True, cwd=REPOSITORY).stdout
    for target in re.findall(r"^\.PHONY: (\S+)", text, re.MULTILINE):
        assert f"make {target} " in shown
