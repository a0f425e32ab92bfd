"""A page whose text PostgreSQL refuses is read by us, and nothing of it is lost."""

import contextlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from unittest.mock import create_autospec

import pytest

from humansync import plan, reading
from humansync.api import Page
from humansync.kinds import KINDS, Kind
from humansync.ledger import Purpose
from humansync.parts import Parts
from humansync.received import as_received
from humansync.state.shared import Admission, Shared
from humansync.store import Store
from humansync.sync import Outcome
from humansync.windows import Window
from tests.factories import START
from tests.integration.store.ledgers import owe, rows

KIND = KINDS["heart_rates"]


class OnePage:
    """An API that has one page, and the clock of a day later."""

    def __init__(self, body: bytes) -> None:
        batch = as_received(KIND, body)
        assert batch is not None
        self.page = Page([], None, None, self.now(), len(body), 0.0, body=body, batch=batch)

    def fetch(
        self, kind: Kind, *, since: datetime, before: datetime, limit: int, offset: int, as_text: bool = False
    ) -> Page:
        assert (kind, offset) == (KIND, 0)
        assert since < before
        assert limit
        assert as_text
        return self.page

    def now(self) -> datetime:
        return datetime.now(UTC).replace(year=2026, month=3, day=2)

    def sleep(self, seconds: float) -> None:
        assert not seconds

    def random(self) -> float:
        return random.random()


def read(store: Store, body: bytes) -> Outcome:
    """Bring one window on by this page."""
    api = OnePage(body)
    (row,) = owe(store, Window(START, START + timedelta(hours=1)), kind=KIND.name, purpose=Purpose.BACKFILL)
    shared = create_autospec(Shared, instance=True)
    shared.admit.return_value = Admission(granted=True, wait_s=0.0, busy=False)
    parts = Parts(api, store, shared, api, plan.Policy(0, 0, "30d"), "test")
    return reading.read(parts, row.id, row.epoch)


# The mechanism: `reading._stored`.
@pytest.mark.parametrize("odd", [b'"much":1e200000', b'"sourceData":{"much":1e200000}'])
def test_what_the_database_cannot_read_is_read_by_us(postgresql: Store, odd: bytes) -> None:
    body = b'[{"id":"a","updatedAt":"2026-03-01T00:00:01.000Z"},{"id":"b","updatedAt":"2026-03-01T00:00:02.000Z",%s}]'
    outcome = read(postgresql, body % odd)
    assert (outcome.received, outcome.changed) == (2, 2)
    assert [each["id"] for each in rows(postgresql, KIND.name)] == ["a", "b"]


@contextlib.contextmanager
def limited(store: Store, refused: str) -> Iterator[None]:
    """Let the database exceed a limit by one record; other tests share its tables."""
    error = "RAISE EXCEPTION 'too large' USING ERRCODE = '54000'"
    body = f"BEGIN IF new.id = '{refused}' THEN {error}; END IF; RETURN new; END"
    with store.engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE FUNCTION limited() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        connection.exec_driver_sql(
            f"CREATE TRIGGER limited BEFORE INSERT ON {KIND.name} FOR EACH ROW EXECUTE FUNCTION limited()"
        )
    try:
        yield
    finally:
        with store.engine.begin() as connection:
            connection.exec_driver_sql("DROP FUNCTION limited CASCADE")


# The mechanism: SQLSTATE class 54 in store/engine.py, which psycopg calls operational.
def test_a_record_beyond_a_limit_of_the_database_is_set_aside_and_the_others_are_stored(postgresql: Store) -> None:
    body = b'[{"id":"a","updatedAt":"2026-03-01T00:00:01.000Z"},{"id":"b","updatedAt":"2026-03-01T00:00:02.000Z"}]'
    with limited(postgresql, "b"):
        outcome = read(postgresql, body)
    assert (outcome.received, outcome.changed, outcome.rejected) == (2, 1, 1)
    assert [each["id"] for each in rows(postgresql, KIND.name)] == ["a"]
    assert sum(postgresql.rejected()[KIND.name].values()) == 1
