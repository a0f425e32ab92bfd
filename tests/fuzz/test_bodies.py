"""Bodies, whatever they hold: a page or an error of ours; and of a page every record is stored, set aside or superseded."""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from humansync import answers, plan, reading, sync
from humansync.api import Api, Page
from humansync.errors import ApiError
from humansync.kinds import KINDS, Kind
from humansync.ledger import Purpose, State
from humansync.parts import Parts
from humansync.plan import Planned
from humansync.records import parse
from humansync.store import Store, make_engine, migrate
from humansync.store.tables import KIND_TABLES, metadata, rejected_records
from humansync.values import clean, json_text
from humansync.windows import Window
from tests.factories import START
from tests.fuzz.bodies import bodies
from tests.fuzz.counting import fuzzed
from tests.fuzz.raw_server import RawServer, http
from tests.integration.verify.places import NoRedis, WaitingClock

NOW = datetime(2026, 3, 2, tzinfo=UTC)
WINDOW = Window(START - timedelta(hours=1), START + timedelta(hours=1))
#: One kind of each sort: a reading with units, one with texts and dates, one with an inner object, one without times.
SORTS = ("blood_oxygens", "sleeps", "locations", "genetic_traits")
LEDGER = [table for name, table in metadata.tables.items() if name not in KINDS and name != "sync_meta"]
_KIND_AND_BODY = st.sampled_from(SORTS).flatmap(lambda kind: st.tuples(st.just(kind), bodies(kind)))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of bad pages would each leave warnings in the test's report."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    with RawServer() as running:
        yield running


class HeardApi(Api):
    """The real client, which remembers what it made of the last answer: a page, or None for an error."""

    page: Page | None = None

    def fetch(
        self, kind: Kind, *, since: datetime, before: datetime, limit: int, offset: int, as_text: bool = False
    ) -> Page:
        self.page = None
        self.page = super().fetch(kind, since=since, before=before, limit=limit, offset=offset, as_text=as_text)
        return self.page


@dataclass(frozen=True, slots=True)
class Place:
    """A database, an API that answers one body to everything, and a worker's way between them."""

    server: RawServer
    api: HeardApi
    store: Store

    def read(self, kind: str, body: bytes) -> sync.Outcome:
        """Bring one window of an empty database on by one page."""
        with self.store.engine.begin() as connection:
            for table in (KIND_TABLES[kind], *LEDGER):
                connection.execute(sa.delete(table))
        parts = Parts(self.api, self.store, NoRedis(), WaitingClock(NOW), plan.Policy(120, 900, "30d"), "test")
        (row,) = self.store.plan(kind, lambda *_: Planned([(WINDOW, Purpose.LIVE)]), NOW)
        self.server.answer = http(body, ("Date", "Mon, 02 Mar 2026 00:00:00 GMT"))
        return reading.read(parts, row.id, row.epoch)

    def stored(self, kind: str) -> set[tuple[str, ...]]:
        table = KIND_TABLES[kind]
        with self.store.engine.connect() as connection:
            rows = connection.execute(sa.select(*(table.c[name] for name in KINDS[kind].identity)))
            return {tuple(row) for row in rows}

    def set_aside(self) -> set[str]:
        with self.store.engine.connect() as connection:
            return set(connection.execute(sa.select(rejected_records.c.payload)).scalars())


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "humansync.db"
    engine = make_engine(f"sqlite:///{path}")
    migrate(engine)
    engine.dispose()
    return path


def _place(server: RawServer, url: str) -> Iterator[Place]:
    store, api = Store(make_engine(url)), HeardApi(base_url=server.url, client_id="client", app_key="key")
    yield Place(server, api, store)
    api.close()
    store.close()


@pytest.fixture
def sqlite(server: RawServer, migrated: Path, tmp_path: Path) -> Iterator[Place]:
    shutil.copy(migrated, tmp_path / "humansync.db")
    yield from _place(server, f"sqlite:///{tmp_path / 'humansync.db'}")


@pytest.fixture
def postgresql(server: RawServer, postgres_url: str) -> Iterator[Place]:
    engine = make_engine(postgres_url)
    migrate(engine)
    engine.dispose()
    yield from _place(server, postgres_url)


def identity(kind: Kind, record: object) -> tuple[str, ...] | None:
    """Return the key under which a record would be stored, by the plainest reading of it; None where it has none."""
    if not isinstance(record, dict):
        return None
    names = {"id": "id", "human_id": "humanId", "description": "description"}
    values = [record.get(names[column]) for column in kind.identity]
    if not all(isinstance(value, str | int) for value in values):
        return None
    return tuple(str(clean(str(value))) for value in values)


def assert_accounted(place: Place, kind: Kind, records: list[object]) -> None:
    """Each record has its row (or a newer version of it has), or stands among the rejected ones, whole."""
    stored, aside = place.stored(kind.name), place.set_aside()
    for record in records:
        assert identity(kind, record) in stored or {json_text(record), _payload(record)} & aside


def _payload(record: object) -> str:
    """Return what is kept of a record that the database refused: it was mended before."""
    try:
        return orjson.dumps(clean(record)).decode()
    except (TypeError, ValueError):
        return ""


def check(place: Place, kind: str, body: bytes) -> None:
    """Hold one body to the promise: a window is done only if all of its page is accounted for."""
    outcome = place.read(kind, body)
    page = place.api.page
    with place.store.engine.connect() as connection:
        windows = connection.execute(sa.text("SELECT state, last_error FROM sync_windows")).all()
    if page is None or page.hollow:
        assert outcome.what in {"retry", "shrink"}
        assert [(state, bool(error)) for state, error in windows] == [(State.OWED.value, True)]
        return
    if outcome.what == "retry":  # rows outside the window, say: nothing of the page is kept, and the window is owed
        assert (place.stored(kind), place.set_aside()) == (set(), set())
        assert [(state, bool(error)) for state, error in windows] == [(State.OWED.value, True)]
        return
    records = answers.records(page.body, {}) or []
    assert outcome.received == len(records)
    assert_accounted(place, KINDS[kind], records)


@fuzzed("bodies", share=2, kind_and_body=_KIND_AND_BODY)
def test_no_record_of_any_body_is_lost_on_its_way_into_sqlite(sqlite: Place, kind_and_body: tuple[str, bytes]) -> None:
    check(sqlite, *kind_and_body)


@fuzzed("bodies", kind_and_body=_KIND_AND_BODY)
def test_no_record_of_any_body_is_lost_on_its_way_into_postgresql(
    postgresql: Place, kind_and_body: tuple[str, bytes]
) -> None:
    check(postgresql, *kind_and_body)


@pytest.mark.section9(37)
@fuzzed("bodies", share=4, kind_and_body=_KIND_AND_BODY, gzip=st.booleans())
def test_any_body_is_a_page_or_an_error(server: RawServer, kind_and_body: tuple[str, bytes], gzip: bool) -> None:
    kind, body = KINDS[kind_and_body[0]], kind_and_body[1]
    headers = [("Content-Encoding", "gzip")] if gzip else []
    server.answer = http(body, *headers)
    api = Api(base_url=server.url, client_id="client", app_key="key")
    try:
        page = api.fetch(kind, since=WINDOW.since, before=WINDOW.before, limit=500, offset=0, as_text=True)
    except ApiError as error:
        assert body[:40].decode("latin-1") not in str(error) or len(body) < 8  # noqa: PT017 -- a page is as good
        return
    finally:
        api.close()
    batch = page.batch or parse(kind, page.records)
    assert batch.received == len(answers.records(page.body, {}) or [])
