"""Processes that tasks run in, side by side: each alone in its pool, so that one that is killed takes no other task with it."""

import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from threading import Thread
from types import TracebackType
from typing import Any, Self

Killed = BrokenProcessPool
"""What the result of a task raises whose process was killed."""


class Workers:
    """So many processes; a task is given to the one with the least to do.

    Where the block ends with an error, tasks that are running are let finish and those that wait are dropped; where it ends
    because the whole command is stopped, the processes end at once.
    """

    def __init__(self, count: int) -> None:
        context = get_context("spawn")  # polars and numba hold threads that a fork would lose
        ends, self._go_on = context.Pipe(duplex=False)
        self._pools = [ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(ends,)) for _ in range(count)]
        self._given: list[list[Future[Any]]] = [[] for _ in range(count)]

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """The future of a call; `Killed` is its error where the process was."""
        open_calls = [sum(not future.done() for future in given) for given in self._given]
        least = open_calls.index(min(open_calls))
        try:
            future = self._pools[least].submit(function, *arguments)
        except Killed as error:  # while it had nothing to do
            future = Future()
            future.set_exception(error)
        self._given[least] = [*(given for given in self._given[least] if not given.done()), future]
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None and not issubclass(kind, Exception):
            self._go_on.close()
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(ends: connection.Connection) -> None:
    """A worker leaves Ctrl-C to its parent, and ends when the parent says so or is no more; it would wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        Thread(target=lambda: (connection.wait([parent.sentinel, ends]), os._exit(1)), daemon=True).start()
