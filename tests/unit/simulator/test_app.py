"""Paths, credentials, users, and the endpoints of who runs the simulator."""

import base64
import gzip
from typing import Any

import orjson
import pytest

from humansync.kinds import KINDS
from humansync.simulator import Answer, App, Fault, Request
from tests.unit.simulator.conftest import Make

KEY = {"authorization": "Basic " + base64.b64encode(b"key:").decode(), "host": "127.0.0.1:8740"}


@pytest.fixture
def app(make: Make) -> App:
    return App(make(records=30, headers="link").world, client_id="client", app_key="key")


def get(app: App, target: str, **headers: str) -> Answer:
    return app.answer(Request("GET", target, {**KEY, **headers}))


def control(app: App, document: object) -> Answer:
    return app.answer(Request("POST", "/_control", {}, orjson.dumps(document)))


def body(answer: Answer) -> Any:
    return orjson.loads(answer.body)


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_has_its_path(app: App, kind: Any) -> None:
    answer = get(app, f"/v1/apps/client/users/{kind.path}?limit=5")
    assert answer.status == 200
    assert len(body(answer)) == (5 if kind.name == "activities" else 0)


def test_link_repeats_host_path_and_query(app: App) -> None:
    link = get(app, "/v1/apps/client/users/activities?limit=5&source=a%26b").header("Link")
    assert str(link).startswith(
        '<http://127.0.0.1:8740/v1/apps/client/users/activities?limit=5&source=a%26b&offset=5>; rel="next"'
    )


def test_credentials_are_checked_and_wrong_ones_counted(app: App) -> None:
    assert get(app, "/v1/apps/client/users/sleeps", authorization="Basic wrong").status == 401
    assert app.answer(Request("GET", "/v1/apps/client/users/sleeps", {})).status == 401
    assert body(get(app, "/_stats"))["by_kind"] == {"unauthorized": 2}


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v1/apps/client/users/steps", 404),
        ("/v1/apps/other/users/sleeps", 404),
        ("/v1/human/sleeps", 404),
        ("/", 404),
        ("/_truth/steps", 404),
        ("/_truth/sleeps?since=yesterday", 400),
        ("/_elsewhere", 404),
    ],
)
def test_other_paths_are_refused(app: App, target: str, status: int) -> None:
    assert get(app, target).status == status


def test_only_get_is_for_reading(app: App) -> None:
    assert app.answer(Request("POST", "/v1/apps/client/users/sleeps", KEY)).status == 405


def test_users_are_listed_and_found(app: App) -> None:
    users = body(get(app, "/v1/apps/client/users"))
    assert len(users) == 100
    assert users[0].keys() == {"humanId", "externalId", "appId", "createdAt", "updatedAt"}
    assert body(get(app, f"/v1/apps/client/users/{users[3]['humanId']}")) == users[3]
    assert get(app, f"/v1/apps/client/users/{'0' * 32}").status == 404


def test_truth_is_a_line_a_record(app: App) -> None:
    lines = get(app, "/_truth/activities").body.splitlines()
    truth = app.world.truth("activities")
    assert {name: (updated, digest) for name, updated, digest in map(orjson.loads, lines)} == truth
    assert get(app, "/_truth/activities?since=2026-03-01T12:00:00Z").body == b""


def test_stats_tell_what_happened_and_what_there_is(app: App) -> None:
    get(app, "/v1/apps/client/users/activities?limit=5")
    stats = body(get(app, "/_stats"))
    assert (stats["requests"], stats["rows"], stats["records"]["activities"]) == (1, 5, 30)
    assert stats["now"] == "2026-03-01T12:00:00.000Z"


def test_control_sets_switches_and_acts(app: App) -> None:
    acts = [
        {"act": "change", "kind": "activities", "n": 2},
        {"act": "add", "kind": "meals", "n": 3, "late_by_s": 60},
        {"act": "delete", "kind": "activities", "n": 4},
        {"act": "resync", "kind": "activities"},
        {"act": "delete_user", "human_id": app.world.humans()[0], "keep_records": True},
        {"act": "fail_next", "fault": "500"},
        {"act": "put", "kind": "weights", "record": {"id": "a", "updatedAt": "2026-02-28T00:00:00Z"}},
    ]
    answer = body(control(app, {"set": {"page_cap": 7}, "do": acts}))
    assert answer["switches"]["page_cap"] == 7
    assert [len(result) if isinstance(result, list) else result for result in answer["results"]] == [
        2, 3, 4, 26, 0, None, None,
    ]  # fmt: skip
    assert (app.world.count("activities"), app.world.count("meals"), app.world.count("weights")) == (26, 3, 1)
    assert get(app, "/v1/apps/client/users/activities").fault is Fault.E500
    assert body(get(app, "/_stats"))["by_fault"] == {"500": 1}
    assert len(body(get(app, "/v1/apps/client/users/activities?updated_since=20260201T000000Z"))) == 7
    assert body(get(app, "/_control"))["switches"]["page_cap"] == 7


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"set": {"order": "sideways"}}, 400),
        ({"set": []}, 400),
        ({"sets": {}}, 400),
        ([], 400),
        ({"do": [{"act": "explode"}]}, 400),
        ({"do": [{"act": "change"}]}, 400),
        ({"do": [{"act": "change", "kind": "steps"}]}, 404),
        ({"do": [{"act": "fail_next", "fault": "lightning"}]}, 400),
    ],
)
def test_wrong_orders_are_refused(app: App, document: object, status: int) -> None:
    answer = control(app, document)
    assert answer.status == status
    assert body(answer)["error"]


def test_answers_are_compressed_when_switched_on_and_accepted(app: App) -> None:
    target = "/v1/apps/client/users/activities"
    plain = get(app, target, **{"accept-encoding": "gzip"})
    app.world.set(gzip=True)
    assert get(app, target).header("Content-Encoding") is None
    packed = get(app, target, **{"accept-encoding": "gzip, deflate"})
    assert packed.header("Content-Encoding") == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    app.world.fail_next(Fault.CUT)
    cut = get(app, target, **{"accept-encoding": "gzip"})
    assert cut.cut_at == len(cut.body) // 2
    app.world.fail_next(Fault.BOMB)
    app.world.set(huge_mb=1)
    assert len(gzip.decompress(get(app, target, **{"accept-encoding": "gzip"}).body)) == 1_000_000
