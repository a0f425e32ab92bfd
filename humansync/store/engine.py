"""Engines for SQLite and PostgreSQL, and the one place where their errors become ours."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import sqlalchemy as sa
from sqlalchemy import exc

from humansync.errors import ConfigError, StoreRefused, StoreUnavailable

#: A writer waits this long for another one (SQLite), a statement for a lock (PostgreSQL).
LOCK_WAIT_S = 30
#: Who waits for another process that writes to SQLite tries again so soon.
TRY_AGAIN_S = 0.001
#: No statement of ours takes nearly as long; one that does hangs, and its slot must come free.
STATEMENT_LIMIT_S = 60
CONNECT_LIMIT_S = 10
#: A connection that nobody used for this long may have died.
IDLE_S = 5.0
#: Connections of one process: idle ones are kept up to the first number, which is more than most have threads. One that
#: is closed is soon opened again, at its price on both sides.
POOL_KEPT, POOL_MORE = 16, 48
#: RETURNING, since 2021.
_SQLITE_OLDEST = (3, 35, 0)
#: Execution option of transactions that write: SQLite must take its lock at the beginning, a reader
#: that becomes a writer half-way is refused without waiting.
WRITES = "humansync_writes"

_POSTGRESQL_NAMES = ("postgresql", "postgres", "postgresql+psycopg")
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}


def make_engine(url: str) -> sa.Engine:
    """Return an engine for a SQLite or PostgreSQL URL. Raises ConfigError for any other; connects to nothing."""
    try:
        parsed = sa.make_url(url)
        if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
            return _sqlite(parsed)
        if parsed.drivername in _POSTGRESQL_NAMES:
            return _postgresql(parsed.set(drivername="postgresql+psycopg"))
    except (exc.ArgumentError, ValueError, TypeError):  # the latter two: a port or an option that is no number
        raise ConfigError("DATABASE_URL is no database URL (sqlite:///file or postgresql://user@host/name)") from None
    raise ConfigError(f"DATABASE_URL: {parsed.drivername} is not supported; use sqlite or postgresql")


def _common() -> dict[str, Any]:
    return {
        "json_serializer": lambda value: orjson.dumps(value).decode(),
        "json_deserializer": _loads,
        # parameters are health data: never in an exception's text
        "hide_parameters": True,
    }


def _loads(stored: object) -> object:
    # a JSON column of SQLite turns the text of a number into that number
    return orjson.loads(stored) if isinstance(stored, str | bytes) else stored


def _pool() -> dict[str, Any]:
    return {
        "pool_size": POOL_KEPT,
        "max_overflow": POOL_MORE,
        "pool_timeout": LOCK_WAIT_S,
        "pool_use_lifo": True,  # idle connections stay idle and may be closed
    }


def _sqlite(url: sa.URL) -> sa.Engine:
    if sqlite3.sqlite_version_info < _SQLITE_OLDEST:
        raise ConfigError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
    in_memory = url.database in (None, "", ":memory:")
    if not in_memory:
        try:
            Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"DATABASE_URL: the database's folder cannot be made ({error.strerror})") from error
    arguments = {"timeout": LOCK_WAIT_S, "check_same_thread": False}
    # a database in memory is its one connection: threads take turns
    pool = {**_pool(), **({"pool_size": 1, "max_overflow": 0} if in_memory else {})}
    engine = sa.create_engine(url, poolclass=sa.QueuePool, connect_args=arguments, **pool, **_common())

    @sa.event.listens_for(engine, "connect")
    def connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = None  # the driver's own idea of BEGIN is in the way
        cursor = connection.cursor()
        # readers never wait for the writer
        wal = "PRAGMA journal_mode = WAL"
        # Of two processes that make a new file at once, SQLite may refuse one without waiting: it is tried again here,
        # and here alone, lest one wait twice.
        cursor.execute("PRAGMA busy_timeout = 0")
        if _when_free(connection, wal) != sqlite3.SQLITE_OK:
            cursor.execute(wal)  # fails likewise, with an error that `translated` knows
        cursor.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_S * 1000}")
        # a crash of the machine may lose the last transactions whole, rows and ledger alike: never a part
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        if connection.get_execution_options().get(WRITES):
            _begin_writing(connection)
        else:
            connection.exec_driver_sql("BEGIN")

    return engine


def _begin_writing(connection: sa.Connection) -> None:
    """Take SQLite's lock: who writes later than at the beginning is refused without waiting.

    SQLite itself lets who waits sleep for longer and longer, up to a tenth of a second: of two processes at work one
    would sleep while nobody writes.
    """
    driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        if _when_free(driver, "BEGIN IMMEDIATE") != sqlite3.SQLITE_OK:
            connection.exec_driver_sql("BEGIN IMMEDIATE")  # fails likewise, with an error that `translated` knows
    finally:
        driver.execute(f"PRAGMA busy_timeout = {LOCK_WAIT_S * 1000}")


def _when_free(driver: sqlite3.Connection, statement: str) -> int:
    """Execute a statement, again and again while another process is in the way; return SQLite's result code."""
    deadline = time.monotonic() + LOCK_WAIT_S
    while (code := _attempt(driver, statement)) == sqlite3.SQLITE_BUSY and time.monotonic() < deadline:
        time.sleep(TRY_AGAIN_S)
    return code


def _attempt(driver: sqlite3.Connection, statement: str) -> int:
    try:
        driver.execute(statement).fetchall()  # to its end: it may fail behind its first row
    except sqlite3.Error as error:
        return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # the rest of a code says where
    return sqlite3.SQLITE_OK


def _postgresql(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(
        url,
        connect_args={"connect_timeout": CONNECT_LIMIT_S, "application_name": "humansync", **_KEEPALIVE},
        **_pool(),
        **_common(),
    )

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        settings = {
            "TimeZone": "UTC",
            "statement_timeout": f"{STATEMENT_LIMIT_S}s",
            "lock_timeout": f"{LOCK_WAIT_S}s",
            "idle_in_transaction_session_timeout": f"{STATEMENT_LIMIT_S}s",
        }
        with connection.cursor() as cursor:
            calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
            cursor.execute(f"SELECT {calls}", [part for pair in settings.items() for part in pair])
        connection.commit()

    _replace_dead_connections(engine)
    return engine


def _replace_dead_connections(engine: sa.Engine) -> None:
    """Ask connections that have been idle whether they live, before they are used.

    `pool_pre_ping` asks every time, which costs a busy worker two more round trips a page.
    """

    @sa.event.listens_for(engine, "checkin")
    def returned(_connection: Any, record: Any) -> None:
        record.info["used_at"] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def taken(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("used_at", time.monotonic()) < IDLE_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise exc.InvalidatePoolError from error


# --- errors ---------------------------------------------------------------------------------------

#: SQLSTATEs, beside those psycopg calls operational, that another attempt may mend: a fail-over made
#: the server read-only; tables or columns are not there yet.
_READ_ONLY, _NO_SCHEMA = "25006", ("42P01", "42703")
#: SQLSTATE classes of refused values: data exceptions, violated constraints, limits such as an index entry's size.
_OF_A_VALUE = ("22", "23", "54")
_SCHEMA_MISSING = "the database has no tables yet, or older ones: run `humansync migrate`"


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the drivers' errors into StoreUnavailable or StoreRefused; neither carries anybody's data."""
    try:
        yield
    except exc.DBAPIError as error:
        ours = _ours(error)
        # what a server says of a refused value repeats the value: that cause is not kept
        raise ours from (error if isinstance(ours, StoreUnavailable) else None)
    except (OverflowError, UnicodeError) as error:  # the driver's own, before anything is sent; they quote the value
        raise StoreRefused(f"the database driver refused a value: {type(error).__name__}", of_a_value=True) from None
    except exc.TimeoutError as error:
        raise StoreUnavailable("no database connection came free in time") from error


def _ours(error: exc.DBAPIError) -> StoreUnavailable | StoreRefused:
    original = error.orig
    name, code = type(original).__name__, getattr(original, "sqlstate", None)
    if code in _NO_SCHEMA or (isinstance(original, sqlite3.OperationalError) and "no such" in str(original)):
        return StoreUnavailable(_SCHEMA_MISSING)
    of_a_value = code is not None and code[:2] in _OF_A_VALUE
    # psycopg calls limits operational, too
    if not of_a_value and (
        isinstance(error, exc.OperationalError | exc.InterfaceError) or error.connection_invalidated
    ):
        # without a code it is a matter of connecting, or SQLite: the text is about files and hosts
        detail = f"SQLSTATE {code}" if code else str(original).split("\n", 1)[0]
        return StoreUnavailable(f"the database is not available: {name}, {detail}")
    if code == _READ_ONLY:
        return StoreUnavailable("the database is read-only at the moment")
    sqlite_value = isinstance(original, sqlite3.IntegrityError | sqlite3.DataError)
    return StoreRefused(
        f"the database refused a statement: {name}" + (f", SQLSTATE {code}" if code else ""),
        of_a_value=sqlite_value or of_a_value,
    )
