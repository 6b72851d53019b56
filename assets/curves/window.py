"""The statistics of a training window, read from the lake: every session of it, or none."""

import datetime as dt
from collections.abc import Sequence

from assets.calendar import Calendar
from assets.curves.statistics import CurvesError, Statistics
from assets.desk import Desk
from assets.features.chosen import series_seen
from assets.lake import Lake


def read_window(lake: Lake, market: str, sessions: Sequence[dt.date]) -> dict[dt.date, Statistics]:
    """Statistics by session; one that nobody trains on (a holiday, an incomplete recording) has no rows and is left out.

    Raises:
        CurvesError: names the sessions of the window that have not been materialised. Dagster passes over such holes in silence.
        LakeError: a partition is damaged.
    """
    missing = [session.isoformat() for session in sessions if not lake.exists("curve_statistics", market=market, session=session)]
    if missing:
        raise CurvesError(
            f"the training window {sessions[0]} to {sessions[-1]} of {market} lacks curve_statistics for {', '.join(missing)}: "
            "materialise them first; a model is not trained on a window with holes"
        )
    frames = {session: lake.read("curve_statistics", market=market, session=session) for session in sessions}
    return {session: Statistics.from_frame(frame) for session, frame in frames.items() if frame.height}


def check_series(desk: Desk, lake: Lake, sessions: Sequence[dt.date]) -> None:
    """Hold the sums of sessions against the user's own tables as they are now.

    Raises:
        CurvesError: a table has changed in what a session had seen of it, so that its sums are of other values; names the sessions.
    """
    if not desk.indicators.series:
        return
    calendar = Calendar(desk)
    windows = {session: calendar.window(desk.traded, session) for session in sessions}
    closes = {session: window.close_ns for session, window in windows.items() if window}
    now = dict(zip(closes, series_seen(desk, list(closes.values())), strict=True))
    summed = {day: lake.read("curve_statistics", columns=["series"], market=desk.traded, session=day)["series"] for day in closes}
    changed = [day.isoformat() for day, seen in summed.items() if seen.len() and seen[0] != now[day]]
    if changed:
        raise CurvesError(
            f"the desk's own series ({', '.join(desk.indicators.series)}) have changed in what {', '.join(changed)} had seen of them: "
            "materialise feature_table and curve_statistics of these sessions anew"
        )
