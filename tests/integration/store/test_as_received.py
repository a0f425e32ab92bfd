"""A page that PostgreSQL takes as its own text becomes the very rows that our reading of it would."""

from datetime import timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from humansync import answers
from humansync.kinds import KINDS, Kind, Read
from humansync.received import as_received
from humansync.records import Batch, parse
from humansync.store import Store
from humansync.store.tables import KIND_TABLES
from humansync.store.upsert import upsert
from tests.any_json import ANY_JSON
from tests.factories import START, record

WINDOWED = sorted(kind.name for kind in KINDS.values() if kind.read is Read.WINDOWED)
SECOND = timedelta(seconds=1)


def tables_after(store: Store, kind: Kind, *batches: Batch) -> list[tuple[Any, ...]]:
    """Return the rows of a kind after these pages, which are then forgotten."""
    table = KIND_TABLES[kind.name]
    with store.engine.connect() as connection:
        for number, batch in enumerate(batches):
            upsert(connection, kind, batch, START + number * SECOND)
        found = [tuple(row) for row in connection.execute(sa.select(table).order_by(table.c.id))]
        connection.rollback()
    return found


def read(kind: Kind, body: bytes) -> tuple[Batch, Batch | None]:
    """Return a page as we read it and, where that is safe, as its text."""
    decoded = answers.records(body, {}) or []
    return parse(kind, decoded), as_received(kind, body)


@pytest.mark.parametrize("name", WINDOWED)
def test_ordinary_pages_of_every_kind_go_as_they_came(postgresql: Store, name: str) -> None:
    kind = KINDS[name]
    sparse = [{"id": "f" * 24, "updatedAt": "2026-02-28T12:00:00.123Z"}]
    pages = [[record(name, i) for i in range(30, 0, -1)], sparse]
    pages.append([record(name, i, updated=START + SECOND * (i % 2), source="later") for i in range(20, 40)])
    ours, texts = zip(*(read(kind, orjson.dumps(page)) for page in pages), strict=True)
    assert all(text is not None and not text.rows for text in texts)
    assert [text.identities for text in texts if text] == [batch.identities for batch in ours]
    assert [text.updated for text in texts if text] == [batch.updated for batch in ours]
    assert tables_after(postgresql, kind, *ours) == tables_after(postgresql, kind, *filter(None, texts))


# The mechanism: the WHERE of ON CONFLICT in store/upsert.py, `received`.
def test_a_page_that_goes_as_it_came_never_brings_an_older_version_back(postgresql: Store) -> None:
    kind = KINDS["heart_rates"]
    pages = [[record(number=i, updated=START + age * SECOND, value=age) for i in range(20)] for age in (5, 4, 5)]
    newer, older, again = (read(kind, orjson.dumps(page))[1] for page in pages)
    assert newer is not None
    assert older is not None
    assert again is not None
    assert tables_after(postgresql, kind, newer, older, again) == tables_after(postgresql, kind, newer)


CHANGED = st.one_of(
    ANY_JSON,
    st.sampled_from(
        [
            *(
                "",
                "1",
                "12.5",
                " 7 ",
                "NaN",
                "1e400",
                "true",
                "TRUE",
                "t",
                "2026-02-28",
                "2026-02-30",
                "20260228",
                "infinity",
            ),
            *("2026-02-28T24:00:00.000Z", "2026-02-28T23:59:60.000Z", "2026-02-30T00:00:00.000Z"),
            *("0000-01-01T00:00:00.000Z", "2026-02-28T12:00:00.000z", "2026-02-28T12:00:00Z", "{}", '{"a": 1}'),
            *(0, 1, -0.0, 1e308, 2**62, 2**63, 2**64, 10**30, True, False, [], {}, [1], {"a": None}),
        ]
    ),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_goes_as_it_came_becomes_the_same_rows(postgresql: Store, data: st.DataObject) -> None:
    kind = KINDS[data.draw(st.sampled_from(WINDOWED))]
    keys = st.sampled_from(sorted(record(kind.name)))
    changes = data.draw(st.lists(st.dictionaries(keys, CHANGED, max_size=2), min_size=1, max_size=4))
    page = [{**record(kind.name, number), **each} for number, each in enumerate(changes, start=1)]
    try:
        body = orjson.dumps(page)
    except TypeError:  # no JSON text of a server has it
        return
    ours, text = read(kind, body)
    if text is not None:
        assert not ours.rejected
        assert not ours.flags
        assert tables_after(postgresql, kind, ours) == tables_after(postgresql, kind, text)


@pytest.mark.parametrize(
    "body",
    [
        b'[{"id":"a","updatedAt":"2026-02-28T12:00:00.000Z","value":NaN}]',
        b'[{"id":"a","updatedAt":"2026-02-28T12:00:00.000Z","userId":"\\u0000"}]',
        b'[{"id":"a","updatedAt":"2026-02-28T12:00:00.000Z","userId":"\xff"}]',
        b'[{"id":"a","updatedAt":"2026-02-28T12:00:00.000Z"},{"id":"a","updatedAt":"2026-02-28T12:00:00.000Z"}]',
        b'[{"id":"a","updatedAt":"2026-02-28T12:00:00Z"}]',
        b'[{"id":"a","updatedAt":"2026-02-28T12:00:00.000Z","createdAt":"2026-02-28T24:00:00.000Z"}]',
        b'[{"id":"a","updatedAt":"2026-02-28T12:00:00.000Z","value":9223372036854775808}]',
        b'[{"id":"a","updatedAt":"2026-02-28T12:00:00.000Z","value":" 7"}]',
        b'[{"id":"a","updatedAt":"2026-02-28T12:00:00.000Z","unit":"kg"}]',
        b'[{"id":"a","updatedAt":"2026-02-28T12:00:00.000Z","sourceData":"{}"}]',
        b'[{"id":"%s","updatedAt":"2026-02-28T12:00:00.000Z"}]' % (b"a" * 129),
        b'[{"id":7,"updatedAt":"2026-02-28T12:00:00.000Z"}]',
        b'[{"updatedAt":"2026-02-28T12:00:00.000Z"}]',
        b'["a"]',
        b"[]",
    ],
)
def test_what_needs_mending_or_judging_does_not(body: bytes) -> None:
    assert as_received(KINDS["heart_rates"], body) is None
