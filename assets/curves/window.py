"""The statistics of a training window, read from the lake: every session of it, or none."""

import datetime as dt
from collections.abc import Sequence

from assets.curves.statistics import CurvesError, Statistics
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
            "`tickline demo` makes them; a model is not trained on a window with holes"
        )
    frames = {session: lake.read("curve_statistics", market=market, session=session) for session in sessions}
    return {session: Statistics.from_frame(frame) for session, frame in frames.items() if frame.height}
