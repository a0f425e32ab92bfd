"""The table of mechanisms fits the code, names all there are, and the tests it names really notice."""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.deployment import REPOSITORY
from tests.mutation.__main__ import document, main
from tests.mutation.mechanisms import MUTANTS
from tests.mutation.mutant import Mutant, copied, judged, tried
from tests.mutation.origin import PACKAGES

ARCHITECTURE = (REPOSITORY / "docs/architecture.md").read_text()
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
#: Pure ones, one of each module: `make mutants` tries all.
QUICK = (
    "anchor",
    "rows older than asked for",
    "overlap behind the cursor",
    "a gap stops the cursor",
    "where lists are given a hollow answer is a slip",
)
#: How a test says which mechanism it is about.
_SAYS = re.compile(r"# The mechanism:|\b[Ss]witch off\b|\b[Bb]reaks without\b|\bDrop `")


def name(mutant: Mutant) -> str:
    return mutant.name


# --- the table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mutant", MUTANTS, ids=name)
def test_each_mechanism_can_be_switched_off(mutant: Mutant) -> None:
    changed = mutant.applied((REPOSITORY / mutant.file).read_text("utf-8"))
    if mutant.file.endswith(".py"):
        compile(changed, mutant.file, "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=name)
def test_the_tests_that_are_to_notice_are_there(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        file, _, function = test.partition("::")
        assert f"def {function.partition('[')[0]}(" in (REPOSITORY / file).read_text()


def test_no_mechanism_is_named_twice() -> None:
    assert len(BY_NAME) == len(MUTANTS)
    assert len({(mutant.file, mutant.text) for mutant in MUTANTS}) == len(MUTANTS)


# --- is it complete? ----------------------------------------------------------------------------------


def test_every_promise_rests_on_some_mechanism() -> None:
    promised = re.findall(r"^\| (P\d+) \|", ARCHITECTURE, re.MULTILINE)
    assert {mutant.promise for mutant in MUTANTS} == set(promised)


def test_every_file_that_keeps_a_promise_has_a_mechanism() -> None:
    kept_by = re.findall(r"^\| P\d+ \|[^|]*\|([^|]*)\|", ARCHITECTURE, re.MULTILINE)
    files = {file for cell in kept_by for file in re.findall(r"`([\w/]+\.\w+)`", cell)}
    assert len(files) > 10
    assert files - {mutant.file for mutant in MUTANTS} == set()


def test_every_script_that_runs_within_redis_has_a_mechanism() -> None:
    scripts = {str(file.relative_to(REPOSITORY)) for file in REPOSITORY.glob("humansync/state/*.lua")}
    assert scripts - {mutant.file for mutant in MUTANTS} == set()


def about_a_mechanism() -> Iterator[str]:
    """Yield the tests that say, in a comment above them or in their sentence, what they would fail without."""
    for file in sorted((REPOSITORY / "tests").glob("*/**/test_*.py")):
        lines = file.read_text().splitlines()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                if _SAYS.search(f"{lines[first - 2]} {ast.get_docstring(node)}"):
                    yield f"{file.relative_to(REPOSITORY)}::{node.name}"


def test_every_test_that_names_its_mechanism_is_held_to_it() -> None:
    named = {test.partition("[")[0] for mutant in MUTANTS for test in mutant.tests}
    found = set(about_a_mechanism())
    assert len(found) > 15
    assert found - named == set()


def test_the_document_lists_them_all() -> None:
    written = (REPOSITORY / "docs/mechanisms.md").read_text()
    assert written == document(), "python -m tests.mutation --document > docs/mechanisms.md"


# --- do they notice? ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("quick", QUICK)
def test_a_mechanism_that_is_off_turns_its_tests_red(quick: str) -> None:
    mutant = BY_NAME[quick]
    verdict = judged(mutant)
    assert verdict.missed_by(mutant.tests) == [], verdict.said


@pytest.mark.slow
def test_what_nobody_notices_survives() -> None:
    mutant = BY_NAME["overlap behind the cursor"]
    harmless = replace(mutant, instead=f"({mutant.text})")
    assert judged(harmless).missed_by(harmless.tests) == list(harmless.tests)


@pytest.mark.slow
def test_a_mutant_that_cannot_be_imported_is_noticed_by_nobody() -> None:
    mutant = BY_NAME["overlap behind the cursor"]
    broken = replace(mutant, instead="][")
    verdict = judged(broken)
    assert verdict.status not in (0, 1)
    assert verdict.missed_by(broken.tests) == list(broken.tests)


@pytest.mark.slow
def test_tests_of_other_packages_than_the_mutants_are_refused(tmp_path: Path) -> None:
    verdict = tried(tmp_path, BY_NAME["overlap behind the cursor"].tests)
    assert verdict.status == pytest.ExitCode.USAGE_ERROR
    assert f"not from the mutant's folder: {', '.join(PACKAGES)}" in verdict.said


def test_a_copy_differs_by_its_one_mechanism() -> None:
    mutant = BY_NAME["overlap behind the cursor"]
    with copied(mutant) as folder:
        differing = [
            str(file.relative_to(folder))
            for package in PACKAGES
            for file in (folder / package).rglob("*")
            if file.suffix in {".py", ".lua"}
            and file.read_bytes() != (REPOSITORY / file.relative_to(folder)).read_bytes()
        ]
    assert differing == [mutant.file]


def test_a_mechanism_that_is_not_there_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-k", "no such mechanism"]) == 2
    assert "no such mechanism" in capsys.readouterr().err
