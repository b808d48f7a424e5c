"""SIGTERM ends a run as Ctrl-C does: with all the servers and processes that it has started."""

import asyncio
import signal
from typing import NoReturn

_ENDS = (signal.SIGINT, signal.SIGTERM)


def interrupted_by_signals() -> None:
    """The first raises KeyboardInterrupt; the next, of whoever signals a whole group, break no cleaning up off."""
    for number in _ENDS:
        signal.signal(number, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def cancelled_by_signals() -> None:
    """The same for the task that calls this, in the main thread of its process: the first cancels it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def cancel() -> None:
        for number in _ENDS:
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    for number in _ENDS:
        loop.add_signal_handler(number, cancel)
