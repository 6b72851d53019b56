"""`make bench-reports`: how long a person waits for a page, the warehouse, an answer, and how that grows.

The lake is made, not traded: a busy desk (30,000 requests and 1,500 fills a session) on market data of the
demo's size. Ours against the stated limit, so a ratio below 1 is a miss.
"""

import datetime as dt
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from assets.calendar import Calendar
from assets.desk import Desk, load_desk
from assets.reports.asset import read_desk
from assets.reports.history import desk_page
from assets.reports.page import write
from assets.reports.session import session_page
from benchmarks.made import Size, make_lake, session_tables
from benchmarks.table import Line, close
from pipelines.query import open_warehouse
from pipelines.sql_models import Project, load
from pipelines.warehouse import MATERIALISED, build, sources

YEAR: Final = 260
FIRST: Final = dt.date(2025, 10, 6)
"""A Monday, so that weeks are whole."""

SESSION_LIMIT, DESK_LIMIT, WAREHOUSE_LIMIT, MART_LIMIT, HELP_LIMIT = 2.0, 5.0, 30.0, 1.0, 0.3


def main() -> None:
    """Measure everything and close with the table."""
    with tempfile.TemporaryDirectory() as folder:
        desk = load_desk("desk.toml").model_copy(
            update={"home": Path(folder), "first_session": FIRST - dt.timedelta(weeks=4), "last_session": FIRST + dt.timedelta(days=363)}
        )
        sessions = [session for session in Calendar(desk).sessions() if session >= FIRST]
        assert len(sessions) == YEAR
        lines = [_help(), *_session_pages(desk)]
        project, made = load(sources()), 0
        for length in (YEAR // 4, YEAR // 2, YEAR):
            make_lake(desk, sessions[made:length], linked=True)
            made = length
            lines += [_desk_pages(desk, length), _warehouse(desk, project, length)]
        lines += _marts(desk, project)
    close("reports", lines)


def _help() -> Line:
    tickline = Path(sys.executable).with_name("tickline")
    times = [_timed(lambda: subprocess.run([tickline, "--help"], check=True, capture_output=True)) for _ in range(7)]
    return _line("`tickline --help`, median of 7", statistics.median(times), HELP_LIMIT)


def _session_pages(desk: Desk) -> list[Line]:
    lines = []
    # The first page of a process compresses plotly.js as well: that is what a page alone costs.
    for events in (125_000, 250_000, 500_000):
        tables = session_tables(desk, FIRST, Size(quotes=events))
        path = desk.home / "session.html"

        def page(tables=tables, path=path) -> None:
            write(path, session_page(tables, tables.summarise(), warehouse=True))

        lines.append(_line(f"page of a session of {events:,} quotes", _timed(page), SESSION_LIMIT))
    return lines


def _desk_pages(desk: Desk, sessions: int) -> Line:
    def index() -> None:
        write(desk.reports / "index.html", desk_page(read_desk(desk)))

    return _line(f"page of the desk over {sessions // 5} weeks", _timed(index), DESK_LIMIT)


def _warehouse(desk: Desk, project: Project, sessions: int) -> Line:
    return _line(f"warehouse of {sessions} sessions, tests included", _timed(lambda: build(desk, project)), WAREHOUSE_LIMIT)


def _marts(desk: Desk, project: Project) -> list[Line]:
    computed, read = {}, {}
    marts = [model for model in project.models.values() if model.kind in MATERIALISED]
    with open_warehouse(desk) as con:
        con.execute("SET threads = 1")  # as the publication does
        for model in marts:
            computed[model.name] = _timed(lambda sql=model.sql: con.execute(f"CREATE OR REPLACE TEMP TABLE made AS {sql}"))
            read[model.name] = _timed(lambda name=model.name: con.sql(f"FROM {name}").pl())
    order = sorted(computed, key=computed.__getitem__, reverse=True)
    slowest = max(read, key=read.__getitem__)
    return [
        *(_line(f"mart {name} computed over {YEAR} sessions", computed[name], MART_LIMIT) for name in order[:4]),
        _line(f"the other {len(order) - 4} marts, together", sum(computed[name] for name in order[4:]), MART_LIMIT),
        _line(f"slowest mart to read whole: {slowest}", read[slowest], MART_LIMIT),
    ]


def _line(work: str, seconds: float, limit: float) -> Line:
    return Line(work, f"{seconds:.2f} s" if seconds >= 0.01 else f"{seconds * 1000:.1f} ms", f"limit {limit:g} s", limit / seconds, 1.0)


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
