"""What the documents name is there: links, files, targets, commands, variables, tests."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from config.settings import FROM_FILE, VARIABLES, Settings
from humansync.kinds import KINDS
from tests.deployment import REPOSITORY
from workers.cli import command

DOCUMENTS = sorted(REPOSITORY.glob("*.md")) + sorted(REPOSITORY.glob("docs/**/*.md"))
README = (REPOSITORY / "README.md").read_text()
TESTS_FOR_PROMISES = (REPOSITORY / "docs/architecture.md").read_text()


def name(document: Path) -> str:
    return str(document.relative_to(REPOSITORY))


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(document: Path) -> list[str]:
    """Return the code of a document: spans, and the lines of blocks without their prompts."""
    text = document.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`]+)`", re.sub(r"(?<!\n)\n(?!\n)", " ", prose))
    return [*spans, *(line.removeprefix("$ ") for block in blocks for line in block.splitlines())]


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        assert file.is_relative_to(REPOSITORY), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_files_that_are_named_exist(document: Path) -> None:
    named = re.findall(
        r"`((?:humansync|tasks|workers|config|tests|benchmarks|docs|requirements)/[\w./-]*)", document.read_text()
    )
    missing = [path for path in named if not (REPOSITORY / path).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_make_targets_and_commands_that_are_named_exist(document: Path) -> None:
    targets = set(re.findall(r"^\.PHONY: (\S+)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    assert isinstance(command, click.Group)
    known = {"make": targets, "humansync": set(command.commands)}
    for words in (each.split() for each in code(document)):
        if len(words) > 1 and words[0] in known and re.fullmatch(r"[a-z]+", words[1]):
            assert words[1] in known[words[0]], words


def test_the_readme_lists_every_command_and_every_option_it_names_exists() -> None:
    assert isinstance(command, click.Group)
    for each, found in command.commands.items():
        assert re.search(rf"`humansync {each}\b", README), each
        options = {option for parameter in found.params for option in parameter.opts}
        for usage in re.findall(rf"`humansync {each}\b([^`]*)`", README):
            assert set(re.findall(r"--[a-z-]+", usage)) <= options, usage


def test_the_readme_explains_every_variable_and_no_other() -> None:
    table = README.partition("## Environment")[2].partition("\n## ")[0]
    known = {variable.name for variable in VARIABLES.values()}
    named = set(re.findall(r"`((?:HUMANAPI|HUMANSYNC|DATABASE|REDIS)_[A-Z_]+)[`=]", table))
    every = {each for each in named if each.startswith("HUMANSYNC_EVERY_S__")}
    assert known <= named
    assert named - every - known <= {f"{each}_FILE" for each in FROM_FILE}


def test_the_readme_lists_every_kind() -> None:
    assert [kind for kind in KINDS if f"`{kind}`" not in README] == []


def test_the_defaults_in_the_readme_are_those_of_the_settings() -> None:
    for field, variable in VARIABLES.items():
        default = getattr(Settings(), field)
        if isinstance(default, int | float):
            row = re.search(rf"^\| `{variable.name}` \| `([^`]*)`", README, re.MULTILINE)
            assert row, variable.name
            assert row[1] == f"{default:g}"


def test_every_ambiguity_of_the_api_has_its_row() -> None:
    section = (REPOSITORY / "docs/human-api.md").read_text().partition("\n## 9.")[2].partition("\n## 10.")[0]
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)] == list(range(1, 48))


def test_every_promise_names_its_tests() -> None:
    rows = re.findall(r"^\| P(\d+) \|.*\|(.*)\|$", TESTS_FOR_PROMISES, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 11))
    assert all("`tests/" in tests for _, tests in rows)


def test_decisions_are_numbered_and_listed() -> None:
    folder = REPOSITORY / "docs/decisions"
    pages = sorted(page for page in folder.glob("*.md") if page.name != "README.md")
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    listed = (folder / "README.md").read_text()
    for page in pages:
        assert page.read_text().startswith(f"# {page.name[:4]}. ")
        assert f"]({page.name})" in listed


def test_the_demonstration_of_the_readme_runs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.naive_readers", "--costs"],
        check=True,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert "a month of 0 rows, a new kind" in done.stdout
