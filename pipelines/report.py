"""`tickline report`: one page from what the lake holds now, without Dagster."""

import datetime as dt
from pathlib import Path

from assets.calendar import Calendar
from assets.desk import Desk
from assets.provenance import open_lake
from assets.reports.asset import read_desk, write_session_page
from assets.reports.history import desk_page, week_page, weeks
from assets.reports.page import ReportError, write


def write_report(desk: Desk, *, session: dt.date | None = None, week: dt.date | None = None) -> Path:
    """Write the page of a session, of the week that holds a date, or of the desk; returns where it is.

    Raises:
        UserError: there is nothing to tell of that time, or a table of it has not been published.
    """
    if session is not None:
        return write_session_page(desk, open_lake(desk), _traded(desk, session))[0]
    tables = read_desk(desk)
    known = weeks(tables)
    if not known:
        raise ReportError(f"no session of desk {desk.name!r} has been reported yet: run `tickline demo` with this desk file first")
    if week is None:
        path = desk.reports / "index.html"
        write(path, desk_page(tables))
        return path
    monday = week - dt.timedelta(days=week.weekday())
    if monday not in known:
        nearest = min(known, key=lambda other: abs(other - monday))
        raise ReportError(f"no session of the week of {monday} has been reported: the nearest week that has is that of {nearest}")
    path = desk.reports / f"week-{monday}.html"
    write(path, week_page(tables, monday))
    return path


def _traded(desk: Desk, session: dt.date) -> dt.date:
    calendar = Calendar(desk)
    days = calendar.traded_sessions()
    if session not in days:
        span = f"{days[0]} to {days[-1]}, without weekends" if days else "none yet"
        raise ReportError(f"{session} is no session that desk {desk.name!r} trades: those are {span}")
    if calendar.window(desk.traded, session) is None:
        raise ReportError(f"{session} is a holiday of {desk.traded}: there is nothing to tell of it")
    return session
