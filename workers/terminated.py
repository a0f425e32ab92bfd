"""TERM and HUP as an exception, so that everything is cleaned up on the way out, as after Ctrl-C."""

import signal
from typing import NoReturn


class Terminated(BaseException):
    """TERM or HUP arrived."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def listen() -> None:
    """Raise Terminated in the main thread from now on when a signal asks the process to end."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` has its reason
            signal.signal(number, _raise)


def _raise(number: int, _frame: object) -> NoReturn:
    raise Terminated(number)
