"""Whose data a database holds: the simulator's or the real API's. The two are never mixed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from enum import StrEnum
from pathlib import Path

from config.settings import Settings
from humansync.errors import ConfigError

#: key in `sync_meta`; "1" in a database that the simulator fills
SIMULATED = "simulated"


class Origin(StrEnum):
    """Where the records of a database come from."""

    NOWHERE = "nowhere"  #: nothing is in it yet
    SIMULATOR = "simulator"
    REAL = "real"


def keep_apart(settings: Settings, *, simulated: bool, in_use: bool, say: Callable[[str], None]) -> bool:
    """See to it that simulated and real data do not meet; return whether the database was set aside for that.

    The default SQLite file is moved aside when it holds simulated data and the API is real now. Raises ConfigError
    where that is not ours to do.
    """
    found = origin(settings.database_url)
    if found is Origin.NOWHERE or (found is Origin.SIMULATOR) == simulated:
        return False
    if simulated:
        raise ConfigError(
            "the database holds data of the real API and no credentials are set: set HUMANAPI_CLIENT_ID and "
            "HUMANAPI_APP_KEY, or name another database for the simulator's data in DATABASE_URL"
        )
    if "database_url" in settings.given:
        raise ConfigError(
            "the database at DATABASE_URL holds data of the simulator, which must not mix with those of the real API: "
            "name an empty database in DATABASE_URL"
        )
    if in_use:
        raise ConfigError("another humansync works with the simulator in this folder: stop it first")
    old = _file(settings.database_url)
    if old is None:
        return False
    aside = old.with_name(f"{old.stem}.simulated{old.suffix}")
    for ending in ("", "-wal", "-shm"):
        part = old.with_name(old.name + ending)
        if part.exists():
            part.replace(aside.with_name(aside.name + ending))
        else:
            aside.with_name(aside.name + ending).unlink(missing_ok=True)
    say(f"{old} held data of the simulator: moved aside to {aside}")
    return True


def origin(database_url: str) -> Origin:
    """Return whose data a database holds. Raises StoreUnavailable where it cannot be reached."""
    file = _file(database_url)
    mark, used = _look_sqlite(file) if file is not None else _look(database_url)
    if mark == "1":
        return Origin.SIMULATOR
    return Origin.REAL if used else Origin.NOWHERE


def _file(database_url: str) -> Path | None:
    """Return the file of a SQLite URL, None for another database."""
    scheme, _, path = database_url.partition(":///")
    return Path(path.partition("?")[0]) if scheme.startswith("sqlite") and path else None


def _look_sqlite(file: Path) -> tuple[str | None, bool]:
    """Return the mark and whether any kind was ever begun. Without SQLAlchemy, so that `run` starts at once."""
    if not file.exists():
        return None, False
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as database:
            mark = database.execute("SELECT value FROM sync_meta WHERE key = ?", (SIMULATED,)).fetchone()
            used = database.execute("SELECT 1 FROM sync_kinds WHERE planned_at IS NOT NULL LIMIT 1").fetchone()
    except sqlite3.OperationalError:  # no such table: it was never migrated
        return None, False
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{file} is no SQLite database: move it away, or set DATABASE_URL") from error
    return (mark[0] if mark else None), used is not None


def _look(database_url: str) -> tuple[str | None, bool]:
    from humansync.store import Store, make_engine, schema_version  # noqa: PLC0415 -- only for a server

    engine = make_engine(database_url)
    try:
        if schema_version(engine)[0] is None:
            return None, False
        store = Store(engine)
        return store.meta(SIMULATED), any(kind.planned_at is not None for kind in store.kinds().values())
    finally:
        engine.dispose()
