import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import report
from benchmarks.goals import GOALS
from benchmarks.parts import PARTS
from tests.deployment import REPOSITORY

WITHOUT_DLT = "humansync,bare,bare-copy,celery"


def run(folder: Path, *words: str) -> list[dict[str, Any]]:
    """Run a part in a process of its own, which adopts orphans, and return its scenes."""
    command = [sys.executable, "-P", "-m", "benchmarks", *words, "--repeat", "1", "--results", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100, cwd=folder)
    assert done.returncode == 0, done.stderr[:6000]
    scenes: list[dict[str, Any]] = json.loads((folder / f"{words[0]}.json").read_text())["scenes"]
    return scenes


@pytest.mark.slow
def test_a_race_brings_every_contender_the_same_records_and_says_what_it_cost(tmp_path: Path) -> None:
    [scene] = run(tmp_path, "throughput", "--records", "1000", "--contenders", WITHOUT_DLT)

    assert set(scene["medians"]) == set(WITHOUT_DLT.split(","))
    for each in scene["medians"].values():
        assert each["records"] == 1000
        assert each["requests"] >= 3  # 500 records a page at most, and no window is exactly full
        assert each["seconds"] > 0
        if sys.platform == "linux":
            assert each["cpu_s"] > 0.1
            assert each["peak_mib"] > 20
    ceiling = min(scene["medians"][name]["seconds"] for name in ("bare", "bare-copy"))
    ours = scene["medians"]["humansync"]
    assert ours["of_ceiling"] == pytest.approx(ours["seconds"] / ceiling, abs=0.01)


@pytest.mark.slow
def test_a_crash_is_survived_and_measured(tmp_path: Path) -> None:
    [scene] = run(tmp_path, "crash", "--records", "8000", "--contenders", "humansync")

    assert 4000 <= scene["figures"]["humansync: sent before the crash"] <= 8000
    assert scene["figures"]["humansync: fetched by the second run"] >= scene["figures"]["humansync: missing"]


@pytest.mark.slow
def test_standing_workers_are_asked_and_waited_for(tmp_path: Path) -> None:
    scenes = run(tmp_path, "nothing-new", "--records", "20", "--contenders", "humansync")

    assert [scene["key"] for scene in scenes] == ["again", "standing"]


def test_every_goal_is_about_a_scene_that_is_measured() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "benchmarks" / "parts").glob("*.py"))
    keys = set(re.findall(r'Scene\(\s*f?"([\w-]+)', sources))

    assert {
        goal.scene.replace("throughput-500000", "throughput-").replace("throughput-100000", "throughput-")
        for goal in GOALS
    } <= keys


def test_the_page_shows_what_was_measured_against_what_was_promised() -> None:
    medians = {
        "humansync": median("humansync", 12.0, of_ceiling=1.2, of_humansync=1.0),
        "bare": median("bare loop", 10.0, of_ceiling=1.0, of_humansync=0.83),
        "dlt": median("dlt", 24.0, of_ceiling=2.4, of_humansync=2.0),
    }
    scene = {"key": "throughput-500000", "title": "500,000 records", "medians": medians, "figures": {"odd": 1234}}
    part = {
        "part": "throughput",
        "machine": "2 cores",
        "measured_at": "2026-01-31T12:00:00+00:00",
        "load_before": 0.5,
        "scenes": [scene],
    }

    page, plot = report.page({"throughput": part}), report.plot({"throughput": part})

    assert "on 2 cores" in page
    assert "| 500,000 records | time, as a multiple of the bare loop's | at most 1.4 | 1.20 | yes |" in page
    assert "| 500,000 records | times as fast as dlt | at least 2.4 | 2 | **no** |" in page
    assert "- odd: 1,234" in page
    assert "{{" not in page
    assert plot.count("<rect") == 1 + len(medians)


def test_the_page_in_docs_is_the_one_that_its_results_make() -> None:
    results = json.loads((REPOSITORY / "docs" / "performance.json").read_text())

    assert (REPOSITORY / "docs" / "performance.md").read_text() == report.page(results)
    assert (REPOSITORY / "docs" / "performance.svg").read_text() == report.plot(results)


def test_every_part_says_what_it_measures() -> None:
    assert all(part.__doc__ for part in PARTS.values())


def median(label: str, seconds: float, **ratios: float) -> dict[str, Any]:
    costs = {"cpu_s": 1.0, "database_cpu_s": 1.0, "peak_mib": 100.0, "requests": 10}
    return {"label": label, "seconds": seconds, **costs, **ratios}
