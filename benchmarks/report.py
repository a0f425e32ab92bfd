"""`docs/performance.md`, its plot and its JSON, from the results of the parts."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.goals import GOALS, Document

DOCS = Path(__file__).resolve().parent.parent / "docs"
T = TypeVar("T", str, float)
TEMPLATE = Path(__file__).with_name("page.md")


def write(results: Path, docs: Path = DOCS) -> None:
    """Bring the page, the plot and the JSON up to the latest results; parts not measured again stay as they are."""
    path = docs / "performance.json"
    known: Document = json.loads(path.read_text()) if path.exists() else {}
    known |= {document["part"]: document for document in map(_load, sorted(results.glob("*.json")))}
    path.write_text(json.dumps(known, indent=1) + "\n")
    (docs / "performance.md").write_text(page(known))
    (docs / "performance.svg").write_text(plot(known))


def _load(path: Path) -> Document:
    document: Document = json.loads(path.read_text())
    return document


def page(results: Document) -> str:
    """Return the page: the template's words, with tables for its marks."""
    text = TEMPLATE.read_text()
    machines = {document["machine"] for document in results.values()}
    marks = {
        "machine": "; ".join(sorted(machines)),
        "dates": " to ".join(_ends(document["measured_at"][:10] for document in results.values())),
        "load": " to ".join(f"{load:.1f}" for load in _ends(document["load_before"] for document in results.values())),
        "goals": _goals(scenes(results)),
        "scenes": "\n\n".join(_scene(scene) for scene in scenes(results).values()),
    }
    for mark, words in marks.items():
        text = text.replace(f"{{{{{mark}}}}}", words)
    return text


def _ends(values: Iterable[T]) -> list[T]:
    """Return the least and the greatest; one where they are the same."""
    ordered = sorted(values)
    return ordered[:1] if ordered[0] == ordered[-1] else [ordered[0], ordered[-1]]


def scenes(results: Document) -> dict[str, Document]:
    """Return every scene by its key, in the order of the parts."""
    order = ("throughput", "latency", "kinds", "sqlite", "nothing-new", "changes", "rate", "crash", "scale")
    parts = sorted(results, key=lambda part: (order.index(part) if part in order else len(order), part))
    return {scene["key"]: scene for part in parts for scene in results[part]["scenes"]}


def _goals(known: dict[str, Document]) -> str:
    rows = []
    for goal in GOALS:
        figure = goal.figure(known[goal.scene]) if goal.scene in known else None
        if figure is None:
            continue
        limit = f"{'at most' if goal.at_most else 'at least'} {goal.limit:g}"
        verdict = "yes" if goal.reached(figure) else "**no**"
        rows.append((known[goal.scene]["title"], goal.words, limit, f"{figure:.2f}".removesuffix(".00"), verdict))
    return _table(("scene", "figure", "goal", "measured", "reached"), rows)


def _scene(scene: Document) -> str:
    parts = [f"### {scene['title']}"]
    if scene["medians"]:
        parts.append(_table(_HEAD, (_row(each) for each in scene["medians"].values())))
    if scene["figures"]:
        parts.append("\n".join(f"- {name}: {_shown(value)}" for name, value in scene["figures"].items()))
    return "\n\n".join(parts)


_HEAD = ("", "seconds", "x bare loop", "x humansync", "CPU s", "database CPU s", "peak MiB", "requests")


def _row(each: Document) -> tuple[str, ...]:
    return (
        each["label"],
        f"{each['seconds']:.2f}",
        _ratio(each["of_ceiling"]),
        _ratio(each["of_humansync"]),
        f"{each['cpu_s']:.1f}",
        f"{each['database_cpu_s']:.1f}",
        f"{each['peak_mib']:.0f}",
        f"{each['requests']:.0f}",
    )


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# --- the plot -------------------------------------------------------------------------------------

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP = 760, 210, 90, 18, 6
_COLOURS = {"humansync": "#2563eb", "bare": "#94a3b8"}
_OTHER = "#d6a35c"


def plot(results: Document) -> str:
    """Return an SVG: for every race a panel, for every contender a bar of its seconds."""
    races = [
        scene for scene in scenes(results).values() if any(each["of_ceiling"] for each in scene["medians"].values())
    ]
    body, y = [], 10
    for scene in races:
        y += 24
        body.append(f'<text x="10" y="{y}" font-weight="bold">{_escaped(scene["title"])}</text>')
        y += 8
        longest = max(each["seconds"] for each in scene["medians"].values())
        for name, each in scene["medians"].items():
            width = (_WIDTH - _LEFT - _RIGHT) * each["seconds"] / longest
            colour = next((colour for start, colour in _COLOURS.items() if name.startswith(start)), _OTHER)
            middle = y + _BAR - 5
            body.append(f'<text x="{_LEFT - 8}" y="{middle}" text-anchor="end">{_escaped(each["label"])}</text>')
            body.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>')
            body.append(f'<text x="{_LEFT + width + 6:.1f}" y="{middle}">{each["seconds"]:.1f} s</text>')
            y += _BAR + _GAP
        y += 8
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y}" viewBox="0 0 {_WIDTH} {y}"'
    ground = f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>'
    return "\n".join([f'{head} font-family="sans-serif" font-size="13">', ground, *body, "</svg>"]) + "\n"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
