"""Switches: one table, read from text and JSON alike, and written down for users."""

from pathlib import Path

import pytest

from humansync.simulator import Fault, Odd, SwitchError, Switches
from humansync.simulator.__main__ import parser
from humansync.simulator.switches import specs

DOCUMENT = Path(__file__).parents[3] / "docs" / "simulator.md"


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("order", "random", "random"),
        ("page-cap", "50", 50),
        ("page_cap", 50, 50),
        ("lag_s", "2.5", 2.5),
        ("clock_skew_s", "-60", -60.0),
        ("truncate", "true", True),
        ("truncate", False, False),
        ("absent", "sleeps, meals", ("sleeps", "meals")),
        ("absent", ["sleeps"], ("sleeps",)),
        ("absent", "", ()),
        ("faults", "500,cut", ("500", "cut")),
    ],
)
def test_values_are_read_from_text_and_json(name: str, given: object, value: object) -> None:
    switches = Switches().changed({name: given})
    assert getattr(switches, name.replace("-", "_")) == value
    assert Switches().changed(switches.as_dict()) == switches


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("ordre", "random"),
        ("order", "sideways"),
        ("page_cap", 0),
        ("page_cap", 2.5),
        ("servers", 0),
        ("page_cap", True),
        ("page_cap", "many"),
        ("lag_s", -1),
        ("lag_s", "nan"),
        ("huge_mb", float("inf")),
        ("fault_rate", 1.5),
        ("truncate", "perhaps"),
        ("absent", "steps"),
        ("absent", 3),
        ("faults", "lightning"),
        ("odd_ways", ["odd"]),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, given: object) -> None:
    with pytest.raises(SwitchError, match=name.partition("_")[0]):
        Switches().changed({name: given})


def test_every_switch_is_a_flag_of_the_command_line() -> None:
    text = parser().format_help()
    for spec in specs():
        assert f"--{spec.name.replace('_', '-')} " in text


def test_every_switch_fault_and_oddity_is_documented() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    for spec in specs():
        assert f"| `{spec.name}` |" in document
        assert spec.meaning.replace("|", "\\|") in document
    for name in (*Fault, *Odd):
        assert f"`{name}`" in document
