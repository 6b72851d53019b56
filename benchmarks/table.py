"""The one table that every benchmark prints and keeps in docs/performance.md."""

import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"


@dataclass(frozen=True)
class Line:
    """One measured piece of work: ours beside a peer or a limit, both measured in this run.

    `ratio` is how many times better ours is (below 1: worse); `target` is the least ratio allowed, None where none is stated.
    """

    work: str
    ours: str
    peer: str
    ratio: float | None = None
    target: float | None = None

    @property
    def missed(self) -> bool:
        """Whether a stated target was not reached."""
        return self.target is not None and (self.ratio is None or self.ratio < self.target)


def close(name: str, lines: Sequence[Line]) -> None:
    """Print the table, replace the section `name` of docs/performance.md with it, and exit: 1 where a target is missed."""
    heads = ("work", "ours", "peer", "ratio", "target")
    rows = [
        (line.work, line.ours, line.peer, _number(line.ratio), _number(line.target) + (" missed" if line.missed else "")) for line in lines
    ]
    table = Table(*heads, title=f"{name}, {machine()}")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    body = "\n".join("| " + " | ".join(row) + " |" for row in (heads, ("---",) * len(heads), *rows))
    _keep(name, f"## {name}\nOn {machine()}: `make bench-{name}`.\n\n{body}\n")
    sys.exit(any(line.missed for line in lines))


def machine() -> str:
    """What the figures were measured on, in words that do not name the machine."""
    cpu = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()) if Path("/proc/cpuinfo").exists() else None
    return f"{os.cpu_count()} cores of {cpu[1] if cpu else platform.processor() or platform.machine()}, Python {platform.python_version()}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _keep(name: str, section: str) -> None:
    text = (
        PAGE.read_text()
        if PAGE.exists()
        else "# Performance\n\nThe last table of each benchmark. Ratios are of one run; absolute figures are this machine's.\n"
    )
    found = re.search(rf"^## {name}\n.*?(?=^## |\Z)", text, re.M | re.S)
    text = text.replace(found[0], section + "\n") if found else f"{text.rstrip()}\n\n{section}"
    PAGE.write_text(text.rstrip() + "\n")
