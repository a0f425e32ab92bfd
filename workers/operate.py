"""Operating a deployment: `sync`, `pause`, `resume`, `reset`, `migrate`."""

import json
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from config.settings import Settings
from humansync.windows import format_instant
from workers import deployment
from workers.arguments import Scope
from workers.report import KindReport, closing_table

if TYPE_CHECKING:
    from workers.messenger import Messenger

#: how often the ledger is looked at, at first; a long pass, or a database far away, is looked at less often
POLL_S = 0.02
#: when nothing has moved for this long, the user hears that no worker seems to be there
PATIENCE_S = 15.0


def sync(asked: Scope, *, as_json: bool) -> int:
    """Enqueue a pass; return the exit status."""
    settings = _settings()
    from workers import broker  # noqa: PLC0415 -- reads the settings as they are now

    kinds = asked.kinds or settings.kinds
    for kind in kinds:
        broker.ask(kind, **asked.bounds)
    text = f"asked for {len(kinds)} {'kind' if len(kinds) == 1 else 'kinds'}: {', '.join(kinds)}"
    print(json.dumps({"enqueued": list(kinds)}) if as_json else text)
    return 0


def sync_and_wait(asked: Scope, messenger: "Messenger", *, as_json: bool) -> int:
    """Enqueue a pass and stay until the ledger says that it is done; return the exit status."""
    settings = _settings()
    messenger.prepare()
    from workers.one_pass import Pass  # noqa: PLC0415
    from workers.progress import view  # noqa: PLC0415

    with deployment.store(settings) as store, view() as shown:
        current = Pass(store, asked.kinds or settings.kinds, asked, messenger.ask, history=False, counted=not as_json)
        current.begin()
        patience = _Patience()

        def each(reports: Sequence[KindReport]) -> None:
            shown.show(reports)
            if patience.spent(reports):
                shown.note("Nothing has moved for a while: is a worker running? `humansync status` lists them.")

        report = current.watch(each, poll_s=POLL_S)
    print(json.dumps(report.document()) if as_json else closing_table(report))
    return 0 if report.ok else 1


def _settings() -> Settings:
    """Return the settings of a deployment that has credentials: without them no worker could do what it is asked."""
    settings = deployment.settings()
    if settings.redis_url != deployment.embedded_url():  # `up` without credentials has the simulator's
        settings.credentials()
    return settings


class _Patience:
    """Notices that nothing moves, and says so once each time."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = time.monotonic()
        self._said = False

    def spent(self, reports: Sequence[KindReport]) -> bool:
        seen, now = list(reports), time.monotonic()
        if seen != self._seen:
            self._seen, self._since, self._said = seen, now, False
        if self._said or now - self._since < PATIENCE_S:
            return False
        self._said = True
        return True


def pause(kinds: Sequence[str]) -> int:
    """Stop fetching kinds."""
    return _set_paused(kinds, paused=True)


def resume(kinds: Sequence[str]) -> int:
    """Go on with kinds; the next tick or sweep finds what they owe."""
    return _set_paused(kinds, paused=False)


def _set_paused(kinds: Sequence[str], *, paused: bool) -> int:
    with deployment.store(deployment.settings()) as store:
        for kind in kinds:
            changed = store.kind(kind).paused != paused
            store.set_kind(kind, paused=paused)
            print(f"{kind} {'is' if changed else 'was already'} {'paused' if paused else 'going on'}")
    return 0


def reset(kind: str, to: datetime) -> int:
    """Set a kind's cursor back; what lies after it is owed again."""
    from humansync.sync import reset as set_back  # noqa: PLC0415 -- brings the whole engine along

    settings = deployment.settings()
    with deployment.store(settings) as store, deployment.shared(settings) as shared:
        set_back(store, shared, kind, to)
    print(f"{kind} starts again from {format_instant(to)} with the next pass")
    return 0


def migrate() -> int:
    """Bring the schema to this version."""
    from humansync.store import make_engine, schema_version  # noqa: PLC0415
    from humansync.store import migrate as bring  # noqa: PLC0415

    engine = make_engine(deployment.settings().database_url)
    try:
        before, _ = schema_version(engine)
        bring(engine)
        now, _ = schema_version(engine)
    finally:
        engine.dispose()
    print(f"the schema is at {now}" + ("" if before == now else f", it was {before or 'empty'}"), file=sys.stdout)
    return 0
