"""The command line: a table of commands, each a few lines that call the module which does the work.

Start-up is lazy: a command imports what it needs when it runs, so that `--help` and usage errors are instant.
"""
# ruff: noqa: PLC0415 -- see above

import gc
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from humansync.errors import ConfigError, HumansyncError
from humansync.redaction import one_line
from workers import terminated

#: exit statuses; `verify` adds 3, for differences
DONE, FAILED, USAGE = 0, 1, 2

#: Objects made, and not freed by themselves, before garbage is looked for.
GARBAGE_AFTER = 100_000

Command = TypeVar("Command", bound=Callable[..., Any])

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
TIME_HELP = "2026-01-31, 2026-01-31T12:00:00Z, or a span back from now such as 30d or 12h."


def options(*decorators: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return one decorator for several, in the order in which `--help` lists them."""

    def decorate(command: Command) -> Command:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


def kinds_argument(*, required: bool = False) -> Callable[[Any], Any]:
    """Return the argument that names kinds."""
    return click.argument("kinds", nargs=-1, required=required, metavar="KIND..." if required else "[KIND]...")


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else there.")
bounds = options(
    click.option("--since", metavar="T", help="From when on: " + TIME_HELP),
    click.option("--before", metavar="T", help="Up to when (not included); needs --since."),
)


class InOrder(click.Group):
    """A group that lists its commands as they stand in this file, the first steps first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of definition."""
        del ctx
        return list(self.commands)


@click.group(cls=InOrder, context_settings=CONTEXT, invoke_without_command=True)
@click.version_option(package_name="humansync", message="%(prog)s %(version)s")
@click.pass_context
def command(context: click.Context) -> None:
    """Keep a database complete with the records of a Human API app.

    `humansync run` brings everything in once, on this machine alone. `humansync up` keeps it fresh. `sync`, `status`
    and the others work on a deployment of workers that share REDIS_URL and DATABASE_URL.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@command.command(short_help="Everything on this machine, one pass, stop.")
@kinds_argument()
@bounds
@as_json
def run(kinds: Sequence[str], since: str | None, before: str | None, as_json: bool) -> int:
    """Bring every KIND (default: all) into the database, then stop.

    Starts a Redis and workers of its own; without credentials also the API simulator. Run again, it goes on from
    where it was. With both bounds it reads that range again and leaves the cursor alone.
    """
    from workers.arguments import scope

    asked = scope(kinds, since, before)
    from workers.crew import summoned

    with summoned() as workers:
        from workers import run as work

        return work.run(asked, workers, as_json=as_json)


@command.command(short_help="Everything on this machine, until Ctrl-C.")
def up() -> int:
    """Keep the database fresh: workers, beat and Flower on this machine, until Ctrl-C."""
    from workers.crew import summoned

    with summoned() as workers:
        from workers import up as work

        return work.up(workers)


@command.command(short_help="Ask the deployed workers for a pass.")
@kinds_argument()
@bounds
@click.option("--wait", is_flag=True, help="Stay until it is done, then print the report.")
@as_json
def sync(kinds: Sequence[str], since: str | None, before: str | None, wait: bool, as_json: bool) -> int:
    """Ask the workers at REDIS_URL to bring every KIND (default: all) up to now.

    With bounds it is a backfill, which leaves the cursor alone.
    """
    from workers.arguments import scope

    asked = scope(kinds, since, before)
    if not wait:
        from workers import operate

        return operate.sync(asked, as_json=as_json)
    from workers.messenger import summoned

    with summoned() as messenger:
        from workers import operate

        return operate.sync_and_wait(asked, messenger, as_json=as_json)


@command.command(short_help="How fresh every kind is, and who works on it.")
@click.option("--watch", is_flag=True, help="Show it again every two seconds, until Ctrl-C.")
@as_json
def status(watch: bool, as_json: bool) -> int:
    """Show how fresh every kind is, what is owed, and who works on it."""
    from workers import status as work

    return work.status(watch=watch, as_json=as_json)


@command.command(short_help="Compare the database with the API.")
@kinds_argument()
@click.option("--since", metavar="T", help="From when on (default: all that is kept): " + TIME_HELP)
@click.option("--before", metavar="T", help="Up to when, not included (default: all that is claimed to be complete).")
@click.option("--repair", is_flag=True, help="Mend what differs: store what is missing or stale, delete what is extra.")
@as_json
def verify(kinds: Sequence[str], since: str | None, before: str | None, repair: bool, as_json: bool) -> int:
    """Read the API again and compare it with the database, record by record, for every KIND (default: all).

    Names what is missing, stale (another version or other content) and extra (not to be had from the API). Safe
    beside running workers: records that change meanwhile are no differences. Exit status 0: equal, or all of it mended.
    3: there are differences.
    """
    from workers.arguments import scope

    asked = scope(kinds, since, before, before_alone=True)
    from workers import verify as work

    return work.verify(asked, repair=repair, as_json=as_json)


@command.command(short_help="Try again what was set aside.")
@kinds_argument()
@as_json
def retry(kinds: Sequence[str], as_json: bool) -> int:
    """Try again what was set aside of every KIND (default: all).

    Parked windows are owed again, at once; rejected records are given to this version's mapping, and stored where it
    can use them.
    """
    from workers.arguments import known_kinds

    named = known_kinds(kinds)
    from workers import retry as work

    return work.retry(named, as_json=as_json)


@command.command(short_help="Stop fetching a KIND.")
@kinds_argument(required=True)
def pause(kinds: Sequence[str]) -> int:
    """Stop fetching a KIND, on all hosts; what is owed stays in the ledger."""
    from workers.arguments import known_kinds

    named = known_kinds(kinds)
    from workers import operate

    return operate.pause(named)


@command.command(short_help="Go on with a KIND.")
@kinds_argument(required=True)
def resume(kinds: Sequence[str]) -> int:
    """Go on with a KIND that was paused."""
    from workers.arguments import known_kinds

    named = known_kinds(kinds)
    from workers import operate

    return operate.resume(named)


@command.command(short_help="Set the cursor of a KIND back.")
@click.argument("kind")
@click.option("--to", metavar="T", required=True, help="Where the cursor goes: " + TIME_HELP)
def reset(kind: str, to: str) -> int:
    """Set the cursor of a KIND back, so that everything since T is read again."""
    from workers.arguments import known_kinds, moment

    named, instant = known_kinds([kind])[0], moment("--to", to)
    from workers import operate

    return operate.reset(named, instant)


@command.command(short_help="Check everything; say what to do about faults.")
def doctor() -> int:
    """Check configuration, credentials, API, Redis, database, schema and clock; say what to do about each fault."""
    from workers import doctor as work

    return work.doctor()


@command.command(short_help="Bring the database schema to this version.")
def migrate() -> int:
    """Bring the database's schema to this version."""
    from workers import operate

    return operate.migrate()


@command.command(
    short_help="Run the API simulator by itself.",
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulator(arguments: Sequence[str]) -> int:
    """Run the API simulator by itself; `humansync simulator --help` lists its switches."""
    from humansync.simulator.__main__ import main as simulate

    return simulate(arguments)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and exit with its status; whatever happens, the user reads a sentence."""
    terminated.listen()
    # Importing makes objects by the hundred thousand that all stay: looking for garbage among them, again and again,
    # is a fifth of a command's start.
    gc.set_threshold(GARBAGE_AFTER)
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe has left: not worth a word. Python would complain at exit if stdout stayed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 128 + signal.SIGPIPE
    except terminated.Terminated as stop:
        status = 128 + stop.number
    except (KeyboardInterrupt, click.Abort):
        status = 128 + signal.SIGINT
    # Python looks through all that was imported once more before it ends, for a fifth of a second: there is no need.
    gc.freeze()
    sys.exit(status)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        result = command.main(args=arguments, prog_name="humansync", standalone_mode=False)
    except click.UsageError as error:
        asked = error.ctx.command_path if error.ctx else "humansync"
        return _complain(f"{error.format_message().rstrip('.')} (see `{asked} --help`)", USAGE)
    except click.ClickException as error:
        return _complain(error.format_message(), USAGE)
    except HumansyncError as error:
        return _complain(str(error), USAGE if isinstance(error, ConfigError) else FAILED)
    except (BrokenPipeError, click.Abort):
        raise
    except OSError as error:
        return _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", FAILED)
    except Exception as error:  # noqa: BLE001 -- the last line of defence: no traceback, and no data, reaches a terminal
        return _complain(f"this is a fault of humansync itself ({_where(error)}); please report it", FAILED)
    return result if isinstance(result, int) else DONE


def _complain(sentence: str, status: int) -> int:
    print(f"humansync: {one_line(sentence)}", file=sys.stderr, flush=True)
    return status


def _where(error: Exception) -> str:
    """Return the kind of an unexpected error and the line it came from, without its message, which may hold data."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"


if __name__ == "__main__":
    main()
