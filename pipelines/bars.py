"""How far a long command has come: bars on a terminal, a line for each finished part in a log file, both on standard error."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Counts = Mapping[str, tuple[int, int]]
"""Of each part how many are done, and how many there are."""


@contextmanager
def bars(unit: str, **others: str) -> Iterator[Callable[[Counts], None]]:
    """A bar for each part that is told of.

    Args:
        unit: what a log file's line calls those that are done.
        others: the same of single parts, by their name.
    """
    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tasks: dict[str, TaskID] = {}
    said: set[str] = set()
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as shown:

        def tell(counts: Counts) -> None:
            for part, (done, planned) in counts.items():
                if part not in tasks:
                    tasks[part] = shown.add_task(part, total=planned)
                shown.update(tasks[part], completed=done)
                if shown.disable and done == planned and part not in said:
                    said.add(part)
                    print(f"{part:<9} {done}/{planned} {others.get(part, unit)}", file=sys.stderr)

        yield tell


@contextmanager
def doing(what: str) -> Iterator[Callable[[str], None]]:
    """Say what is being done, where it takes a while and its length is not known; what is yielded says what comes next.

    On a terminal one line with a sign that moves, gone at the end; in a log file a line for each thing.
    """
    console = Console(stderr=True)
    if not sys.stderr.isatty():
        print(what, file=sys.stderr)
        yield lambda following: print(following, file=sys.stderr)
        return
    with console.status(what) as shown:
        yield shown.update
