"""What a person sees of a run of the desk: a bar for each floor, then the weeks."""

from collections.abc import Callable
from pathlib import Path

from assets.desk import Desk, load_desk
from assets.reports.asset import read_desk
from assets.reports.statistics import sessions_a_year, weekly_table
from pipelines.able import RunError
from pipelines.bars import Counts, bars
from pipelines.noted import warnings
from pipelines.output import print_json, print_table
from pipelines.run import run_desk


def demo(desk_file: Path, *, as_json: bool = False) -> None:
    """Run the desk with its bars on standard error, print the table of the weeks and where the results are."""
    desk = load_desk(desk_file)
    with bars("partitions", kernels="halves compiled or loaded", publish="tables and pages") as shown:
        _run(desk, desk_file, shown)
    weeks = weekly_table(read_desk(desk).reports, sessions_a_year(desk))
    noted = warnings(desk)
    if as_json:
        print_json({"report": desk.reports / "index.html", "warehouse": desk.warehouse, "weeks": weeks, "warnings": noted})
        return
    print_table(weeks, title=f"{desk.name}: {desk.traded} on {desk.provenance}, {desk.markets[desk.traded].currency} net of fees")
    for warning in noted:
        print(f"warning    {warning}")
    print(f"report     {desk.reports / 'index.html'}")
    print(f"warehouse  {desk.warehouse}")


def _run(desk: Desk, desk_file: Path, shown: Callable[[Counts], None]) -> None:
    try:
        run_desk(desk_file.resolve(), shown)
    except RunError as error:
        noted = warnings(desk)  # what a check has seen before is often why
        raise RunError("\n".join([str(error), *(f"warning: {warning}" for warning in noted)])) from error
