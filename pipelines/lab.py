"""`tickline lab`: everything that can be tried on a period's training sessions, without Dagster."""

import datetime as dt
from pathlib import Path

import polars as pl

from assets.calendar import Calendar
from assets.curves.lab.run import Told, score_everything
from assets.curves.window import read_window
from assets.desk import Desk, UserError
from assets.lake import Lake
from assets.provenance import open_lake
from assets.reports.lab import write_lab_page


class LabError(UserError):
    """A period that cannot be scored; names it, and those that can."""


def run_lab(desk: Desk, period: dt.date | None, *, trials: int, workers: int | None, told: Told) -> tuple[Path, pl.DataFrame]:
    """Score and search, publish the lab's tables of the period, and write its page.

    The desk's own rows, and with them what the period's curves are fitted on, are those that the weekly asset writes; the others
    come beside them, and the test is stricter for their number.

    Args:
        desk: whose recorded sessions are used.
        period: whose training sessions; None: the last whose sessions are all there.
        trials: tries of the estimator for each formula and market after the grid; 0: the grid alone.
        workers: processes; None: one a core.
        told: hears how far it has come.

    Returns:
        The page, and the best value of each formula and market.

    Raises:
        UserError: sessions of the period's window are missing, or hold too little.
    """
    calendar, lake = Calendar(desk), open_lake(desk)
    known = [each for each in calendar.periods() if _recorded(desk, lake, calendar.training_sessions(each))]
    period = period or max(known, default=None)
    if period not in known:
        which = f"period {period} of {desk.name} has not all" if period else f"no period of {desk.name} has all"
        held = f"{', '.join(str(each) for each in known)} have" if known else "run `tickline demo` first"
        raise LabError(f"{which} its training sessions in the lake: {held}")
    sessions = list(read_window(lake, desk.traded, calendar.training_sessions(period)))
    found = score_everything(desk, lake, sessions, trials=trials, workers=workers, told=told)
    found.publish(desk, lake, period)
    best = found.trials.filter("best").sort("score", descending=True).select("indicator", "sampler", "score", "r2_alone")
    return write_lab_page(desk, period).resolve(), best


def _recorded(desk: Desk, lake: Lake, sessions: list[dt.date]) -> bool:
    there = {keys["session"] for keys in lake.current("curve_statistics")}
    return all(session.isoformat() in there for session in sessions)
