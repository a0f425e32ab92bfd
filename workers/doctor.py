"""`humansync doctor`: one line per check, and what to do about each fault."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from config.settings import Settings
from humansync.errors import ApiError, HumansyncError, NotOffered, StateUnavailable, Unauthorized
from humansync.kinds import KINDS
from humansync.redaction import redact_url
from workers import dataset, deployment
from workers.redis_server import find_binary
from workers.status import GONE_AFTER_S
from workers.tables import database, span, styled

#: Kombu uses `ZRANGE ... BYSCORE REV`
OLDEST_REDIS = (6, 2)
#: bounds are anchored on the API's clock, but leases, logs and back-off are not
MOST_SKEW_S = 60.0


class Verdict(Enum):
    """How a check came out: its mark and its style."""

    GOOD = ("✓", "green")
    ADVICE = ("!", "yellow")  #: works, and could be better
    FAULT = ("✗", "red")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check."""

    check: str
    verdict: Verdict
    text: str

    def __str__(self) -> str:
        mark, style = self.verdict.value
        return f"{styled(mark, style)} {self.check:<13} {self.text}"


def doctor() -> int:
    """Print what was found; returns 1 where something is at fault, else 0."""
    faults = 0
    for finding in findings():
        print(finding, flush=True)
        faults += finding.verdict is Verdict.FAULT
    print(f"\n{faults} {'fault' if faults == 1 else 'faults'} found" if faults else "\nNothing is wrong.")
    return 1 if faults else 0


def findings() -> Iterator[Finding]:
    """Yield what each check finds, as it is found."""
    try:
        settings = deployment.settings()
    except HumansyncError as error:
        yield Finding("configuration", Verdict.FAULT, str(error))
        return
    yield Finding("configuration", Verdict.GOOD, f"{len(settings.kinds)} kinds, {settings.rate:g} requests a second")
    yield from _api(settings)
    yield from _redis(settings)
    yield from _database(settings)


def _api(settings: Settings) -> Iterator[Finding]:
    if not settings.has_credentials:
        text = "none set: `run` and `up` use the bundled simulator; set HUMANAPI_CLIENT_ID and HUMANAPI_APP_KEY"
        yield Finding("credentials", Verdict.ADVICE, text)
        return
    from humansync.api import Api  # noqa: PLC0415 -- only where there is something to ask

    client_id, app_key = settings.credentials()
    api = Api(base_url=settings.base_url, client_id=client_id, app_key=app_key)
    now = datetime.now(UTC)
    try:
        kind = KINDS[settings.kinds[0]]
        page = api.fetch(kind, since=now - timedelta(minutes=1), before=now, limit=1, offset=0)
    except Unauthorized as error:
        yield Finding("credentials", Verdict.FAULT, f"{error}: check HUMANAPI_CLIENT_ID and HUMANAPI_APP_KEY")
        return
    except NotOffered as error:
        yield Finding("API", Verdict.ADVICE, f"{settings.base_url} answers, but {error}")
        return
    except ApiError as error:
        yield Finding("API", Verdict.FAULT, f"{settings.base_url}: {error}; check HUMANAPI_BASE_URL and the network")
        return
    finally:
        api.close()
    yield Finding("credentials", Verdict.GOOD, "accepted")
    yield Finding("API", Verdict.GOOD, f"{settings.base_url} answers in {page.elapsed_s * 1000:.0f} ms")
    if page.api_time is None:
        yield Finding("clock", Verdict.ADVICE, "the API sends no Date: this machine's own clock is used")
        return
    skew = (page.api_time - datetime.now(UTC)).total_seconds()
    if abs(skew) > MOST_SKEW_S:
        where = "behind" if skew > 0 else "ahead of"
        yield Finding("clock", Verdict.FAULT, f"this machine is {span(abs(skew))} {where} the API: set it by NTP")
    else:
        yield Finding("clock", Verdict.GOOD, "within a minute of the API's")


def _redis(settings: Settings) -> Iterator[Finding]:
    if not settings.has_redis:
        try:
            text = f"REDIS_URL is not set: `run` and `up` start one of their own ({find_binary().rpartition('/')[2]})"
            yield Finding("Redis", Verdict.GOOD, text)
        except HumansyncError as error:
            yield Finding("Redis", Verdict.FAULT, str(error))
        return
    from workers import broker  # noqa: PLC0415 -- only where there is one to ask

    try:
        facts = broker.server()
    except StateUnavailable as error:
        yield Finding("Redis", Verdict.FAULT, str(error))
        return
    version = str(facts.get("redis_version", "0"))
    address = redact_url(settings.redis_url)
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        yield Finding("Redis", Verdict.FAULT, f"{address} is version {version}: 6.2 or newer is needed")
    else:
        name = facts.get("server_name", "redis")
        yield Finding("Redis", Verdict.GOOD, f"{address} answers ({name} {facts.get('valkey_version', version)})")
    policy = str(facts.get("maxmemory_policy", "unknown"))
    if policy not in {"noeviction", "unknown"}:
        text = f"maxmemory-policy is {policy}, so that messages may vanish: set it to noeviction"
        yield Finding("Redis memory", Verdict.FAULT, text)
    if not int(facts.get("aof_enabled", 0)):
        text = "no append-only file: after a restart the sweep must find what was queued; set appendonly yes"
        yield Finding("Redis disk", Verdict.ADVICE, text)
    text = f"the message of a worker that died comes back after {span(broker.visibility_s())}"
    yield Finding("queue", Verdict.GOOD, text)
    with deployment.shared(settings) as shared:
        ticked = [name for name, ago in shared.ticks().items() if ago < GONE_AFTER_S]
    alive = ticked or broker.answering()
    if alive:
        yield Finding("workers", Verdict.GOOD, ", ".join(sorted(alive)))
    else:
        text = "none answers: start some with `celery -A workers.app worker`, or use `humansync up`"
        yield Finding("workers", Verdict.ADVICE, text)


def _database(settings: Settings) -> Iterator[Finding]:
    from humansync.store import make_engine, schema_version  # noqa: PLC0415 -- slow to import

    address = database(settings.database_url)
    engine = make_engine(settings.database_url)
    try:
        found, wanted = schema_version(engine)
        origin = dataset.origin(settings.database_url)
    except HumansyncError as error:
        yield Finding("database", Verdict.FAULT, f"{address}: {error}; check DATABASE_URL")
        return
    finally:
        engine.dispose()
    yield Finding("database", Verdict.GOOD, f"{address} answers")
    if found is None:
        yield Finding("schema", Verdict.ADVICE, "no tables yet: `run` and `up` make them, else `humansync migrate`")
    elif found != wanted:
        yield Finding("schema", Verdict.FAULT, f"at {found}, this version needs {wanted}: run `humansync migrate`")
    else:
        yield Finding("schema", Verdict.GOOD, f"at {found}, as this version needs it")
    if origin is dataset.Origin.SIMULATOR and settings.has_credentials:
        text = "it holds data of the simulator: name another database in DATABASE_URL before the real API's come in"
        yield Finding("data", Verdict.FAULT, text)
