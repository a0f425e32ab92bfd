"""`python -m humansync.simulator`: the simulator as a process."""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from humansync.kinds import KINDS
from humansync.simulator.app import App
from humansync.simulator.data import RealisticFeed
from humansync.simulator.instants import from_ms, parse_iso
from humansync.simulator.server import Server
from humansync.simulator.switches import Spec, SwitchError, Switches, specs
from humansync.simulator.world import World

#: How often a simulator looks whether the process it belongs to still lives.
_PARENT_CHECK_S = 0.5
_DEFAULT_DAYS = 90.0
_DAYS_MAX = 36_500
_PORT_MAX = 65_535


def parser() -> argparse.ArgumentParser:
    """Return the command line: what to serve, where, and every switch."""
    line = argparse.ArgumentParser(
        prog="humansync simulator",
        description="A Human API to run against: the bundled simulator by itself. See docs/simulator.md.",
    )
    line.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    line.add_argument("--port", type=int, default=8740, help="port; 0 takes a free one (default: %(default)s)")
    line.add_argument("--client-id", default="simulator", help="(default: %(default)s)")
    line.add_argument("--app-key", default="simulator", help="(default: %(default)s)")
    line.add_argument("--seed", type=int, default=0, help="same seed, same API (default: %(default)s)")
    line.add_argument("--kinds", default="", metavar="KIND,…", help="kinds that have records (default: all)")
    line.add_argument("--records", type=int, metavar="N", help="plain load: N records a kind, evenly spread")
    line.add_argument("--days", type=float, default=_DEFAULT_DAYS, help="days of history (default: %(default)g)")
    line.add_argument("--until", metavar="T", help="end of the load's history, ISO 8601 (default: now)")
    line.add_argument("--parent-pid", type=int, metavar="PID", help="stop when this process is gone")
    switches = line.add_argument_group("switches", "How the API behaves. All can be set later by POST /_control.")
    for spec in specs():
        _add_switch(switches, spec)
    return line


def _add_switch(group: argparse._ArgumentGroup, spec: Spec) -> None:
    """Add one switch; values are checked where switches are, in one place for all ways to set them."""
    shown = ",".join(spec.default) if isinstance(spec.default, tuple) else spec.default
    meaning = f"{spec.meaning} (default: {shown if shown != '' else 'none'})".replace("%", "%%")
    flag = f"--{spec.name.replace('_', '-')}"
    if isinstance(spec.default, bool):
        group.add_argument(flag, nargs="?", const="true", metavar="BOOL", help=meaning, default=argparse.SUPPRESS)
        return
    short = spec.choices if spec.choices and isinstance(spec.default, str) else None
    metavar = "|".join(short) if short else type(spec.default).__name__.upper().replace("TUPLE", "NAME,…")
    group.add_argument(flag, metavar=metavar, help=meaning, default=argparse.SUPPRESS)


def build(arguments: argparse.Namespace) -> App:
    """Return the app that the command line describes; SwitchError or ValueError where it makes no sense."""
    given = {spec.name: getattr(arguments, spec.name) for spec in specs() if hasattr(arguments, spec.name)}
    switches = Switches().changed(given)
    kinds = [kind for kind in arguments.kinds.split(",") if kind] or list(KINDS)
    if wrong := [kind for kind in kinds if kind not in KINDS]:
        raise ValueError(f"--kinds: there is no {', '.join(wrong)}; there are: {', '.join(KINDS)}")
    if not 0 < arguments.days <= _DAYS_MAX or (arguments.records or 0) < 0:
        raise ValueError(f"--days and --records are above 0, --days is at most {_DAYS_MAX}")
    if not 0 <= arguments.port <= _PORT_MAX:
        raise ValueError(f"--port is a number from 0 to {_PORT_MAX}")
    if arguments.records is None:
        since = _now() - timedelta(days=arguments.days)
        feed = RealisticFeed(arguments.seed)
        world = World(_now, seed=arguments.seed, switches=switches, kinds=kinds, feed=feed, since=since)
    else:
        world = World(_now, seed=arguments.seed, switches=switches, kinds=kinds)
        world.load(kinds, arguments.records, arguments.days, until=_until(arguments.until))
    return App(world, client_id=arguments.client_id, app_key=arguments.app_key)


def _until(text: str | None) -> datetime | None:
    instant = None if text is None else parse_iso(text)
    if text is not None and instant is None:
        raise ValueError(f"--until is an ISO 8601 instant with an offset, not {text!r}")
    return None if instant is None else from_ms(instant)


def _now() -> datetime:
    return datetime.now(UTC)


async def serve(app: App, arguments: argparse.Namespace) -> None:
    """Serve until a signal comes or the parent is gone."""
    server, done = Server(app), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    port = await server.start(arguments.host, arguments.port)
    sys.stdout.write(
        f"simulator listening on http://{arguments.host}:{port}/v1\n"
        f"client id: {arguments.client_id}, app key: {arguments.app_key}\n"
    )
    sys.stdout.flush()
    watch = loop.create_task(_watch_parent(arguments.parent_pid, done)) if arguments.parent_pid else None
    await done.wait()
    if watch is not None:
        watch.cancel()
    await server.stop()


async def _watch_parent(pid: int, done: asyncio.Event) -> None:
    ours = os.getppid() == pid
    while _alive(pid) and (not ours or os.getppid() == pid):  # noqa: ASYNC110 - nobody tells of a parent's end
        await asyncio.sleep(_PARENT_CHECK_S)
    done.set()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _complain(message: str, status: int) -> int:
    sys.stderr.write(f"humansync simulator: {message}\n")
    return status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the simulator and return the exit status: 0 stopped, 1 cannot listen, 2 wrong usage."""
    line = parser()
    arguments = line.parse_args(argv)
    try:
        app = build(arguments)
    except (SwitchError, ValueError) as error:
        return _complain(str(error), 2)
    try:
        asyncio.run(serve(app, arguments))
    except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
        return _complain(f"cannot listen on {arguments.host}:{arguments.port}: {error}", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
