"""A pass as the ledger shows it: when it is over, what it counts, what it asks for again."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from humansync.errors import StateUnavailable
from humansync.kinds import KINDS
from humansync.ledger import KindState, Purpose, State, Walk, WindowRow
from humansync.pages import Step
from humansync.plan import Planned
from humansync.records import parse
from humansync.store import Store, Totals, make_engine, migrate
from humansync.windows import Window, format_instant
from workers import one_pass, status
from workers.arguments import Scope
from workers.one_pass import LEFT_SHARE, POLL_SHARE, SOON_S, STILL_SHARE, Pass, pause_s
from workers.report import KindReport, Phase

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
WINDOW = Window(NOW - DAY, NOW)


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    engine = make_engine(database_url)
    migrate(engine)
    opened = Store(engine)
    yield opened
    opened.close()


class Asked(list[tuple[str, str | None, str | None]]):
    """What was asked for; with `away` nothing can be."""

    away = False

    def __call__(self, kind: str, since: str | None = None, before: str | None = None) -> None:
        if self.away:
            raise StateUnavailable("away")
        self.append((kind, since, before))


def planned(store: Store, kind: str, *windows: Window, purpose: Purpose = Purpose.LIVE) -> list[WindowRow]:
    """Do what a planner does."""
    at = datetime.now(UTC)
    changes: dict[str, object] = {"planned_at": at, "start": store.kind(kind).start or NOW - DAY}
    return store.plan(kind, lambda *_: Planned([(window, purpose) for window in windows], changes), at)


def phases(current: Pass) -> list[Phase]:
    return [kind.phase for kind in current.look()]


def test_a_pass_ends_when_every_kind_was_planned_and_owes_nothing(store: Store) -> None:
    planned(store, "sleeps")  # by an earlier pass: no proof for this one
    asked = Asked()
    current = Pass(store, ["sleeps", "meals"], Scope(), asked, history=True)
    current.begin()
    assert asked == [("sleeps", None, None), ("meals", None, None)]
    assert phases(current) == [Phase.PLANNING, Phase.PLANNING]
    planned(store, "sleeps")
    planned(store, "meals", WINDOW)
    assert phases(current) == [Phase.DONE, Phase.SYNCING]
    store.drop_windows("meals")
    report = current.watch(lambda _: None, poll_s=0.0)
    assert report.ok
    assert [kind.phase for kind in report.kinds] == [Phase.DONE, Phase.DONE]


def test_the_ledger_is_looked_at_more_often_near_the_end() -> None:
    def pause(done: int, owed: int, elapsed_s: float, *others: KindReport, still_s: float = 0.0) -> float:
        kinds = [KindReport("meals", Phase.SYNCING, windows=done, owed=owed), *others]
        return pause_s(kinds, elapsed_s, still_s, 0.1)

    assert pause(10, 90, 1.0) == 0.1
    assert pause(10, 90, 60.0) == 60.0 * POLL_SHARE
    assert pause(98, 2, 9.8) == pytest.approx(LEFT_SHARE * 0.2)
    assert pause(999, 1, 9.99) == SOON_S
    assert pause(999, 1, 9.99, still_s=0.5) == pytest.approx(STILL_SHARE * 0.5)
    assert pause(2000, 1, 600.0, still_s=120.0) == 600.0 * POLL_SHARE
    assert pause(0, 1, 1.0) == 0.1  # nothing is known of the pace
    assert pause(999, 1, 9.99, KindReport("bmis", Phase.PLANNING)) == 0.1


def test_a_parked_window_a_paused_kind_and_one_not_offered_are_told_apart(store: Store) -> None:
    current = Pass(store, ["sleeps", "meals", "bmis"], Scope(), Asked(), history=True)
    current.begin()
    row = planned(store, "sleeps", WINDOW)[0]
    store.fail(row, error="the API answered 500", now=NOW + DAY, not_before=None, state=State.OWED)
    assert current.look()[0].error == "the API answered 500"
    row = replace(row, epoch=row.epoch + 1)
    store.fail(row, error="the API answered 500", now=NOW + DAY, not_before=NOW + DAY, state=State.FAILED)
    store.set_kind("meals", paused=True)
    store.disable("bmis", "the API answered 404", NOW)
    report = current.watch(lambda _: None, poll_s=0.0)
    assert not report.ok
    assert [(kind.phase, kind.error) for kind in report.kinds] == [
        (Phase.FAILED, "the API answered 500"),
        (Phase.FAILED, "it is paused: `humansync resume meals`"),
        (Phase.DISABLED, "the API does not offer it: the API answered 404"),
    ]
    assert [kind.requests for kind in report.kinds] == [2, 0, 0]


def test_a_kind_that_is_refused_during_a_look_is_not_done(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    current = Pass(store, ["sleeps"], Scope(), Asked(), history=True)
    current.begin()
    planned(store, "sleeps", WINDOW)
    totals = store.totals

    def refused_first(*, records: bool) -> dict[str, Totals]:
        store.disable("sleeps", "the API answered 404", NOW)
        return totals(records=records)

    monkeypatch.setattr(store, "totals", refused_first)
    assert phases(current) == [Phase.DISABLED]


def test_a_wish_that_is_not_heard_is_sent_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "ASK_AGAIN_S", 0.0)
    asked = Asked()
    current = Pass(store, ["sleeps"], Scope(), asked, history=True)
    current.begin()
    asked.away = True
    current.look()  # Redis is away for a moment: no reason to give up
    asked.away = False
    current.look()
    assert asked == [("sleeps", None, None)] * 2


def test_a_queue_that_was_never_there_is_an_error(store: Store) -> None:
    asked = Asked()
    asked.away = True
    with pytest.raises(StateUnavailable):
        Pass(store, ["sleeps"], Scope(), asked, history=True).begin()


def test_a_kind_that_begins_later_owes_what_lies_before_once(store: Store) -> None:
    planned(store, "sleeps")
    asked, since = Asked(), NOW - 3 * DAY
    current = Pass(store, ["sleeps", "meals"], Scope(since=since), asked, history=True)
    current.begin()
    assert store.kind("meals").start == since
    for kind in ("sleeps", "meals"):
        planned(store, kind)
    assert phases(current) == [Phase.PLANNING, Phase.DONE]
    assert asked[2:] == [("sleeps", format_instant(since), format_instant(NOW - DAY))]
    planned(store, "sleeps", Window(since, NOW - DAY), purpose=Purpose.BACKFILL)
    assert phases(current) == [Phase.SYNCING, Phase.DONE]
    found = store.find("sleeps", Window(since, NOW - DAY))
    assert found is not None
    done = Step(state=State.DONE, walk=Walk(), read_at=NOW, why="all read")
    store.commit(found[0], KINDS["sleeps"], parse(KINDS["sleeps"], []), lambda _: done, NOW)
    assert phases(current) == [Phase.DONE, Phase.DONE]
    assert len(asked) == 3


def test_a_backfill_by_hand_waits_for_its_own_windows_only(store: Store) -> None:
    asked = Asked()
    current = Pass(store, ["sleeps"], Scope(since=NOW - 3 * DAY, before=NOW - DAY), asked, history=True)
    current.begin()
    assert asked == [("sleeps", format_instant(NOW - 3 * DAY), format_instant(NOW - DAY))]
    planned(store, "sleeps", WINDOW)  # by a tick: no sign that the wish was heard
    assert phases(current) == [Phase.PLANNING]
    row = planned(store, "sleeps", Window(NOW - 3 * DAY, NOW - DAY), purpose=Purpose.BACKFILL)[0]
    assert phases(current) == [Phase.SYNCING]
    done = Step(state=State.DONE, walk=Walk(), read_at=NOW, why="all read")
    store.commit(row, KINDS["sleeps"], parse(KINDS["sleeps"], []), lambda _: done, NOW)
    assert phases(current) == [Phase.DONE]


def test_a_pass_in_which_nothing_moves_fails_in_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_pass, "STALLED_S", 0.0)
    current = Pass(store, ["sleeps"], Scope(), Asked(), history=True)
    current.begin()
    report = current.watch(lambda _: None, poll_s=0.0)
    assert [(kind.phase, kind.error) for kind in report.kinds] == [(Phase.FAILED, "nothing has moved for over an hour")]


def test_status_says_in_one_word_where_a_kind_stands(store: Store) -> None:
    def words() -> dict[str, str]:
        return {fact.kind: fact.state for fact in status.facts(store, NOW, 900)}

    assert set(words().values()) == {"idle"}
    row = planned(store, "sleeps", WINDOW)[0]
    store.set_kind("meals", paused=True)
    store.disable("bmis", "the API answered 404", NOW)
    assert {words()[kind] for kind in ("sleeps",)} == {"syncing"}
    assert words()["meals"] == "paused"
    assert words()["bmis"] == "disabled"
    store.fail(row, error="the API answered 500", now=NOW, not_before=None, state=State.OWED)
    failing = next(fact for fact in status.facts(store, NOW, 900) if fact.kind == "sleeps")
    assert (failing.state, failing.last_error) == ("failing", "the API answered 500")


def test_the_ledger_gives_cursor_and_lag(store: Store) -> None:
    row = planned(store, "activities", Window(NOW - DAY, NOW - timedelta(seconds=130)))[0]
    done = Step(state=State.DONE, walk=Walk(), read_at=NOW, why="all read")
    store.commit(row, KINDS["activities"], parse(KINDS["activities"], []), lambda _: done, NOW)
    fact = status.facts(store, NOW, 900)[0]
    assert (fact.cursor, fact.lag_s) == (NOW - timedelta(seconds=130), 130.0)
    assert status.Picture(NOW, [fact]).document() == {
        "kinds": [
            {
                "kind": "activities",
                "cursor": format_instant(NOW - timedelta(seconds=130)),
                "lag_s": 130.0,
                "state": "idle",
                "records": 0,
                "windows": {"owed": 0, "walking": 0, "done": 1, "failed": 0},
                "last_error": None,
                "proven": {"share": 0.0, "oldest_at": None, "latest_at": None, "differences": 0},
                "parked": [],
                "rejected": 0,
                "rejected_reasons": {},
                "late": None,
            }
        ],
        "workers": [],
        "queues": {},
    }


def test_a_kind_without_news_is_idle() -> None:
    assert status.standing(KindState("sleeps"), Totals()) == "idle"
