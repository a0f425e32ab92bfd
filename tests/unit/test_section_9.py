"""Each row of section 9 of docs/human-api.md has a test that names it, by the marker `section9`."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.deployment import REPOSITORY

_SECTION = (REPOSITORY / "docs/human-api.md").read_text().partition("\n## 9.")[2].partition("\n## 10.")[0]
ROWS = [int(number) for number in re.findall(r"^\| (\d+) \|", _SECTION, re.MULTILINE)]


def marks(file: Path) -> Iterator[tuple[int, str]]:
    """Yield each row that a test of the file names, with the test's name."""
    for node in ast.walk(ast.parse(file.read_text())):
        for mark in node.decorator_list if isinstance(node, ast.FunctionDef) else ():
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.section9":
                assert isinstance(node, ast.FunctionDef)
                assert node.name.startswith("test_"), node.name
                assert mark.args, node.name
                yield from ((int(ast.literal_eval(row)), f"{file.name}: {node.name}") for row in mark.args)


def proofs() -> dict[int, list[str]]:
    """Return the tests of each row that is named anywhere."""
    found = defaultdict(list)
    for file in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        for row, test in marks(file):
            found[row].append(test)
    return found


def test_every_row_has_a_test_that_names_it() -> None:
    named = proofs()
    assert [row for row in ROWS if row not in named] == []


def test_no_test_names_a_row_that_there_is_not() -> None:
    assert {row: tests for row, tests in proofs().items() if row not in ROWS} == {}
