"""What a person sees of a run of the desk: a bar for each floor, then the weeks."""

import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from assets.desk import load_desk
from assets.reports.asset import read_desk
from assets.reports.statistics import sessions_a_year, weekly_table
from pipelines.output import print_json, print_table
from pipelines.run import Progress as Counts
from pipelines.run import run_desk


def demo(desk_file: Path, *, as_json: bool = False) -> None:
    """Run the desk with its bars on standard error, print the table of the weeks and where the results are."""
    desk = load_desk(desk_file)
    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bars:
        run_desk(desk_file.resolve(), _Display(bars))
    weeks = weekly_table(read_desk(desk).reports, sessions_a_year(desk))
    if as_json:
        print_json({"report": desk.reports / "index.html", "warehouse": desk.warehouse, "weeks": weeks.to_dicts()})
        return
    print_table(weeks, title=f"{desk.name}: {desk.traded} on {desk.provenance}, net of fees")
    print(f"report     {desk.reports / 'index.html'}")
    print(f"warehouse  {desk.warehouse}")


class _Display:
    """Moves the bars on a terminal; in a log file says a line when a floor is complete."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}
        self._said: set[str] = set()

    def __call__(self, counts: Counts) -> None:
        for floor, (published, planned) in counts.items():
            if floor not in self._tasks:
                self._tasks[floor] = self._bars.add_task(floor, total=planned)
            self._bars.update(self._tasks[floor], completed=published)
            if self._bars.disable and published == planned and floor not in self._said:
                self._said.add(floor)
                print(f"{floor:<9} {published}/{planned} partitions", file=sys.stderr)
