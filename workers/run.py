"""`humansync run`: everything on this machine, one pass, stop."""

import json
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from config.settings import Settings, load
from humansync.errors import ApiError, StateUnavailable
from workers import dataset
from workers.arguments import Scope
from workers.embedded import Embedded
from workers.processes import Child
from workers.report import KindReport, Report, closing_table
from workers.tables import database

if TYPE_CHECKING:
    from humansync.store import Store

#: how often the ledger is looked at
POLL_S = 0.1
#: how long the API may take to tell its time
CLOCK_WITHIN_S = 3.0
#: how often lost work is looked for where nothing moves, which may be for want of it, and while other work goes on
SWEEP_WHEN_STILL_S, SWEEP_EVERY_S = 5.0, 60.0


def run(asked: Scope, workers: Child, *, as_json: bool) -> int:
    """Bring the kinds in and report; return the exit status. Raises HumansyncError.

    workers: a crew without orders.
    """
    began = time.monotonic()
    settings = load()
    days = (datetime.now(UTC) - asked.since).days + 1 if asked.since else 0
    with Embedded(settings, workers, lasting=False, say=say, days=days) as deployment:
        report = replace(_pass(deployment, asked, as_json=as_json), seconds=time.monotonic() - began)
        deployment.finished()
    print(json.dumps(report.document()) if as_json else closing_table(report))
    if report.ok and not as_json:
        where = database(deployment.settings.database_url)
        say(f"\nAll of it is in {where}. Run again to go on from here; `humansync up` keeps it fresh.")
    return 0 if report.ok else 1


def _pass(deployment: Embedded, asked: Scope, *, as_json: bool) -> Report:
    # The processes are starting; only now comes what is slow to import.
    from humansync.store import Store, make_engine, migrate  # noqa: PLC0415
    from workers.one_pass import Pass  # noqa: PLC0415
    from workers.progress import view  # noqa: PLC0415

    engine = make_engine(deployment.settings.database_url)
    migrate(engine)
    deployment.ready()
    with closing(Store(engine)) as store:
        store.set_meta(dataset.SIMULATED, "1" if deployment.simulated else "0")
        current = Pass(
            store, asked.kinds or deployment.settings.kinds, asked, deployment.ask, history=True, counted=not as_json
        )
        if not deployment.simulated:
            learn_clock(store, deployment.settings, current.kinds[0])
        current.begin()
        seen: Sequence[KindReport] = ()
        moved = swept = time.monotonic()
        with view() as shown:
            deployment.say = shown.note

            def each(kinds: Sequence[KindReport]) -> None:
                nonlocal seen, moved, swept
                shown.show(kinds)
                deployment.tend()
                now = time.monotonic()
                if kinds != seen:
                    seen, moved = kinds, now
                still = now - max(moved, swept) > SWEEP_WHEN_STILL_S
                if still or now - swept > SWEEP_EVERY_S:
                    swept = now
                    from workers import broker  # noqa: PLC0415 -- slow to import, and mostly not needed

                    with suppress(StateUnavailable):  # the embedded Redis is started again by `tend`
                        # Where others are at work it may have to wait for them.
                        broker.sweep(SWEEP_WHEN_STILL_S if still else SWEEP_EVERY_S)

            return current.watch(each, poll_s=POLL_S)


def learn_clock(store: "Store", settings: Settings, kind: str) -> None:
    """Ask for the API's time, where nobody knows it yet, while the workers are starting: they would ask before they plan.

    For a moment at most; without an answer they ask again, and say what is wrong.
    """
    from humansync import api_clock  # noqa: PLC0415 -- as above

    if api_clock.known_offset_s(store) is not None:
        return
    heard: list[float] = []
    # A name server that does not answer is waited for longer than any timeout says, and no signal is heard there.
    asking = threading.Thread(target=_ask_clock, args=(settings, kind, heard), name="clock", daemon=True)
    asking.start()
    asking.join(CLOCK_WITHIN_S)
    store.note_requests(kind, 1)
    if heard:
        api_clock.note_offset(store, heard[0])


def _ask_clock(settings: Settings, kind: str, heard: list[float]) -> None:
    from humansync import api_clock  # noqa: PLC0415 -- as above
    from humansync.api import Api  # noqa: PLC0415 -- as above

    client_id, app_key = settings.credentials()
    api = Api(
        base_url=settings.base_url,
        client_id=client_id,
        app_key=app_key,
        connect_timeout_s=CLOCK_WITHIN_S,
        total_timeout_s=CLOCK_WITHIN_S,
    )
    with closing(api), suppress(ApiError):
        api_time = api_clock.ask(api, kind, datetime.now(UTC))
        if api_time is not None:
            heard.append((api_time - datetime.now(UTC)).total_seconds())


def say(sentence: str) -> None:
    """Tell the user something that is not the result."""
    print(sentence, file=sys.stderr, flush=True)
