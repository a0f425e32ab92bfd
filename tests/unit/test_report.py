"""What a pass prints at its end."""

from datetime import UTC, datetime, timedelta

import pytest

from workers.report import KindReport, Phase, Report, closing_table
from workers.tables import Column, span, table

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DONE = KindReport(
    "sleeps",
    Phase.DONE,
    records=1204,
    windows=3,
    requests=4,
    rejected=1,
    stored=2000,
    complete_to=NOW - timedelta(minutes=2),
)
FAILED = KindReport("meals", Phase.FAILED, requests=10, error="the API answered 500")
DISABLED = KindReport("bmis", Phase.DISABLED, error="the API does not offer it: 404")


@pytest.mark.parametrize(
    ("kinds", "ok"),
    [
        ([DONE], True),
        ([DONE, DISABLED], True),
        ([DISABLED], True),
        ([DISABLED, DISABLED], False),
        ([DONE, FAILED], False),
        ([], True),
    ],
)
def test_a_kind_that_is_not_offered_is_fine_unless_all_of_several_are(kinds: list[KindReport], ok: bool) -> None:
    assert Report(kinds, 1.0, NOW).ok is ok


def test_the_document_has_the_keys_that_scripts_rely_on() -> None:
    assert Report([DONE, FAILED], 2.34567, NOW).document() == {
        "ok": False,
        "seconds": 2.346,
        "requests": 14,
        "records": 1204,
        "kinds": [
            {
                "kind": "sleeps",
                "state": "done",
                "records": 1204,
                "windows": 3,
                "requests": 4,
                "rejected": 1,
                "error": None,
            },
            {
                "kind": "meals",
                "state": "failed",
                "records": 0,
                "windows": 0,
                "requests": 10,
                "rejected": 0,
                "error": "the API answered 500",
            },
        ],
    }


def test_what_was_cut_short_is_never_reported_as_done() -> None:
    document = Report([KindReport("sleeps", Phase.SYNCING)], 1.0, NOW).document()
    assert [kind["state"] for kind in document["kinds"]] == ["failed"]  # type: ignore[attr-defined]  # a list of objects


def test_the_table_is_aligned_and_says_why_a_kind_failed() -> None:
    lines = closing_table(Report([DONE, FAILED], 2.3, NOW)).splitlines()
    assert lines[0] == "kind            records  stored  windows  requests  rejected  behind"
    assert lines[2] == "sleeps            1,204   2,000        3         4         1   2 min"
    assert lines[3] == "meals                 0       0        0        10         0  failed"
    assert lines[5] == "total in 2.3 s    1,204   2,000        3        14         1"
    assert lines[-1] == "meals: the API answered 500"


def test_a_column_is_as_wide_as_its_widest_cell() -> None:
    assert table([Column("a"), Column("n", number=True)], [("longer", "1")]).splitlines() == [
        "a       n",
        "---------",
        "longer  1",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-3, "0 s"),
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (5999, "100 min"),
        (6000, "2 h"),
        (172800, "2 d"),
    ],
)
def test_a_span_is_told_in_its_largest_fitting_unit(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


def test_the_closing_table_fits_a_narrow_terminal() -> None:
    widest = KindReport("heart_rate_summaries", Phase.DISABLED, 123_456, 12_345, 0, 12_345, 0, 1_234_567)
    assert max(len(line) for line in closing_table(Report([widest], 1234.5, NOW)).splitlines()) <= 80
