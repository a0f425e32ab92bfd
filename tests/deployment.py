"""What the Procfile and the compose file say, read as the programs that use them do."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parent.parent

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


class VariableRequired(Exception):
    """The compose file insists on a variable that is not set."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of ours that a deployment starts."""

    #: where it stands: `Procfile` or `docker-compose.yml`
    source: str
    name: str
    #: a line for the shell, or the words themselves
    argv: str | list[str]
    #: what the compose file adds to the environment, and how it looks after the container
    environment: dict[str, str] = field(default_factory=dict)
    healthcheck: list[str] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """The command's words, variables of the shell as written."""
        return self.argv.split() if isinstance(self.argv, str) else self.argv

    @property
    def role(self) -> str:
        """What kind of process it is: `worker`, `beat`, `flower`, `migrate`, `simulator`."""
        program, *rest = self.words
        return rest[rest.index("-A") + 2] if program == "celery" else rest[0]


def procfile() -> list[Command]:
    """Return the Procfile's lines."""
    lines = (REPOSITORY / "Procfile").read_text().splitlines()
    return [Command("Procfile", name, line.strip()) for name, _, line in (line.partition(":") for line in lines)]


def compose(environment: dict[str, str]) -> dict[str, Any]:
    """Return the compose file with variables filled in. Raises VariableRequired."""

    def value(match: re.Match[str]) -> str:
        found = environment.get(match["name"], "")
        if not found and match["kind"] == "?":
            raise VariableRequired(match["name"])
        return found or (match["rest"] or "")

    def filled(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: filled(child) for key, child in node.items()}
        if isinstance(node, list):
            return [filled(child) for child in node]
        return _VARIABLE.sub(value, node) if isinstance(node, str) else node

    document: dict[str, Any] = filled(yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text()))
    return document


def compose_commands() -> list[Command]:
    """Return the commands of those services that run our image."""
    services: dict[str, Any] = compose({"FLOWER_BASIC_AUTH": "user:password"})["services"]
    return [
        Command(
            "docker-compose.yml",
            name,
            service["command"],
            service["environment"],
            service.get("healthcheck", {}).get("test", []),
        )
        for name, service in services.items()
        if service["image"] == "humansync"
    ]
