"""TERM and HUP as an exception, so that everything is cleaned up on the way out, as after Ctrl-C."""

import signal
from typing import NoReturn


class Terminated(BaseException):
    """TERM or HUP arrived."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


#: what the latest signal has raised
_raised: BaseException | None = None


def listen() -> None:
    """Raise Terminated, or KeyboardInterrupt, in the main thread from now on when a signal asks the process to end."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` has its reason
            signal.signal(number, _raise)


def mind() -> None:
    """Raise again what a signal has raised where Python lets nothing through: in a destructor, or a callback of the like."""
    if _raised is not None:
        raise _raised


def _raise(number: int, _frame: object) -> NoReturn:
    global _raised  # noqa: PLW0603 - signals are the process's
    _raised = KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)
    raise _raised
