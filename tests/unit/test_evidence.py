"""What `status` and `verify` say of a kind's data, in words and for scripts."""

from datetime import UTC, datetime, timedelta

import pytest

from humansync.check import Findings
from humansync.lateness import Late, class_of, summary
from humansync.ledger import Purpose, State, WindowRow
from humansync.proofs import Proof, standing
from humansync.windows import Window
from workers.evidence import Evidence
from workers.verify import document, report

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MONTH = Window(NOW - 30 * DAY, NOW)


def late(longest_s: float) -> Evidence:
    found = summary([Late(class_of(longest_s), 3, longest_s, NOW)], NOW)
    return Evidence(late=found, overlap_s=900)


def test_a_kind_of_which_all_is_well_is_not_worth_a_word() -> None:
    assert list(Evidence().remarks("sleeps", NOW)) == []
    assert list(late(300).remarks("sleeps", NOW)) == []


@pytest.mark.parametrize(("longest_s", "says"), [(800, "up to 13 min late this month, near"), (1000, "beyond")])
def test_lateness_near_the_overlap_is_worth_one(longest_s: float, says: str) -> None:
    (remark,) = late(longest_s).remarks("sleeps", NOW)
    assert says in remark
    assert remark.endswith("HUMANSYNC_OVERLAP_S (15 min): raise it")
    assert late(longest_s).document()["late"] == {
        "records": 3,
        "p50_s": longest_s,
        "p99_s": longest_s,
        "max_s": longest_s,
        "recent_max_s": longest_s,
        "near_overlap": True,
    }


def test_parked_windows_are_named_with_their_reason() -> None:
    row = WindowRow(
        7, "sleeps", Window(NOW - DAY, NOW), Purpose.LIVE, State.FAILED, 3,
        not_before=NOW + timedelta(minutes=10), last_error="the API answered 500",
    )  # fmt: skip
    found = Evidence(parked=[row, row])
    (remark,) = found.remarks("sleeps", NOW)
    assert remark == (
        "sleeps: windows parked: 2, the first [2026-02-28T12:00:00Z, 2026-03-01T12:00:00Z): the API answered 500; "
        "tried again in 10 min, or now by `humansync retry sleeps`"
    )
    assert (
        found.document()["parked"]
        == [
            {
                "since": "2026-02-28T12:00:00Z",
                "before": "2026-03-01T12:00:00Z",
                "purpose": "live",
                "again_at": "2026-03-01T12:10:00Z",
                "error": "the API answered 500",
            }
        ]
        * 2
    )


def test_rejected_records_are_counted_by_reason() -> None:
    found = Evidence(rejected={"no id": 1200, "no time": 1})
    assert list(found.remarks("sleeps", NOW)) == ["sleeps: records rejected: no id (1,200), no time (1)"]
    assert found.document()["rejected"] == 1201


def test_a_proven_share_is_never_rounded_up_to_all() -> None:
    proofs = [Proof(Window(MONTH.since + timedelta(seconds=60), NOW), NOW)]
    found = Evidence(standing([MONTH], proofs), claims=True)
    assert found.share() == "99 %"
    assert found.document()["proven"] == {
        "share": 0.9999,
        "oldest_at": "2026-03-01T12:00:00Z",
        "latest_at": "2026-03-01T12:00:00Z",
        "differences": 0,
    }
    assert Evidence(standing([MONTH], [Proof(MONTH, NOW)]), claims=True).share() == "100 %"
    assert Evidence().share() == "-"


def test_differences_that_are_known_are_said() -> None:
    found = Evidence(standing([MONTH], [Proof(MONTH, NOW, 3)]), claims=True)
    assert "3 records differ" in next(found.remarks("sleeps", NOW))


# --- verify ---------------------------------------------------------------------------------------


def findings(kind: str, mended: int = 0, **sorts: set[str]) -> Findings:
    found = Findings(kind, upstream=10, stored=10, mended=mended, window=MONTH)
    for sort, names in sorts.items():
        setattr(found, sort, names)
    return found


def test_the_document_names_all_and_people_read_ten_of_a_sort() -> None:
    names = {f"{number:024x}" for number in range(12)}
    found = [findings("sleeps", missing=names), findings("genetic_traits", extra={"h\x1fEye Color"})]
    kinds = document(found, equal=False)["kinds"]
    assert kinds == [
        {"kind": "sleeps", "upstream": 10, "stored": 10, "missing": sorted(names), "stale": [], "extra": []},
        {
            "kind": "genetic_traits",
            "upstream": 10,
            "stored": 10,
            "missing": [],
            "stale": [],
            "extra": ["h\x1fEye Color"],
        },
    ]
    words = report(found, repair=False)
    assert "and 2 more (--json names all)" in words
    assert "genetic_traits, extra: h/Eye Color" in words
    assert words.endswith("13 records differ; --repair mends them.")


def test_what_a_repair_leaves_is_said() -> None:
    found = findings("sleeps", mended=1, missing={"a"}, extra={"b"})
    found.notes.append("1 extra records are kept: the reason")
    words = report([found], repair=True)
    assert "sleeps: 1 extra records are kept: the reason" in words
    assert words.endswith("1 records differ.")
    assert report([findings("sleeps", mended=1, stale={"a"})], repair=True).endswith("All 1 differences are mended.")


def test_a_kind_that_claims_nothing_is_equal() -> None:
    words = report([Findings("sleeps"), Findings("meals", disabled="the API answered 404")], repair=False)
    assert "nothing was compared" in words
    assert "meals: the API does not offer it: the API answered 404" in words
    assert words.endswith("Equal.")
