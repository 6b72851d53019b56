"""What a person sees of a run of the desk: a bar for each floor, then the weeks."""

from pathlib import Path

from assets.desk import load_desk
from assets.reports.asset import read_desk
from assets.reports.statistics import sessions_a_year, weekly_table
from pipelines.bars import bars
from pipelines.output import print_json, print_table
from pipelines.run import run_desk


def demo(desk_file: Path, *, as_json: bool = False) -> None:
    """Run the desk with its bars on standard error, print the table of the weeks and where the results are."""
    desk = load_desk(desk_file)
    with bars("partitions", kernels="halves compiled or loaded", publish="tables and pages") as shown:
        run_desk(desk_file.resolve(), shown)
    weeks = weekly_table(read_desk(desk).reports, sessions_a_year(desk))
    if as_json:
        print_json({"report": desk.reports / "index.html", "warehouse": desk.warehouse, "weeks": weeks})
        return
    print_table(weeks, title=f"{desk.name}: {desk.traded} on {desk.provenance}, net of fees")
    print(f"report     {desk.reports / 'index.html'}")
    print(f"warehouse  {desk.warehouse}")
