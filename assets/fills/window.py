"""What the floor reads from the lake: a session's applied records, and the training sessions of a period.

A training session is replayed with predictions of the desk's model trained without its own week, so that the
policy is not chosen on predictions better than those it will trade on.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import polars as pl

from assets.books.rebuild import applied
from assets.calendar import Calendar
from assets.curves.forecast import cross_fitted_forecasts, read_training
from assets.desk import Desk
from assets.fills.backends import open_backend
from assets.fills.errors import FillsError
from assets.fills.journal import Replays, fingerprint, remembered
from assets.fills.replay import Session, make_rules, make_session
from assets.fills.tape import make_tape
from assets.lake import Lake


def read_records(lake: Lake, market: str, session: dt.date) -> pl.DataFrame:
    """The records of a session that were applied to its book.

    Raises:
        LakeError: `raw_ticks` or `quarantine` of the session is not in the lake.
    """
    raw = lake.read("raw_ticks", market=market, session=session)
    return applied(raw, lake.read("quarantine", ["row", "reason"], market=market, session=session))


def read_training_sessions(desk: Desk, lake: Lake, period: dt.date) -> dict[dt.date, Session]:
    """The sessions of a period's training window by trade date, in their order; holidays are left out.

    Raises:
        FillsError: there are not two sessions, so that none could be predicted without itself.
        CurvesError: sessions of the window have no `curve_statistics`; the message names them.
        LakeError: another table of a session is not in the lake.
    """
    market, calendar = desk.traded, Calendar(desk)
    training = read_training(desk, lake, period)
    folds = _folds(training.sessions)
    if len(folds) < 2:
        raise FillsError(f"period {period} has {len(folds)} training sessions with data: tuning needs two, to predict each without itself")
    forecasts = cross_fitted_forecasts(desk, lake, period, training, folds)
    columns = ["ts_event", *(indicator.name for indicator in training.indicators)]
    sessions = {}
    for fold, forecast in zip(folds, forecasts, strict=True):
        for day in fold:
            window = calendar.window(market, day)
            if window is None:
                raise FillsError(f"{market} has statistics for {day}, which its calendar calls a holiday: materialise the session anew")
            features = lake.read("feature_table", columns, market=market, session=day)
            tape = make_tape(read_records(lake, market, day), desk.markets[market])
            sessions[day] = make_session(tape, features["ts_event"].to_numpy(), forecast(features), window, desk.trading)
    return sessions


def read_traded_session(desk: Desk, lake: Lake, session: dt.date) -> Session | None:
    """A session with the predictions that it is traded on; None on a holiday.

    Raises:
        LakeError: its records or predictions are not in the lake.
    """
    market = desk.traded
    window = Calendar(desk).window(market, session)
    if window is None:
        return None
    moves = lake.read("predictions", ["ts_event", "prediction"], market=market, session=session)
    tape = make_tape(read_records(lake, market, session), desk.markets[market])
    return make_session(tape, moves["ts_event"].to_numpy(), moves["prediction"].to_numpy(), window, desk.trading)


def _folds(sessions: Sequence[dt.date]) -> list[list[dt.date]]:
    """The weeks of the sessions, or each session by itself where they are of one week."""
    weeks: dict[dt.date, list[dt.date]] = {}
    for session in sessions:
        weeks.setdefault(session - dt.timedelta(days=session.weekday()), []).append(session)
    return list(weeks.values()) if len(weeks) > 1 else [[session] for session in sessions]


@contextmanager
def open_search(desk: Desk, period: dt.date, sessions: Mapping[dt.date, Session]) -> Iterator[Replays]:
    """Replays of a period's training sessions on the desk's backend, remembered in its home: a search that was killed goes on.

    Raises:
        FillsError: the backend is not there, or what is found cannot be kept.
    """
    ruled = [(session, make_rules(desk.markets[desk.traded], desk.trading, session)) for session in sessions.values()]
    path = desk.home / "search" / f"{desk.traded}-{period}.jsonl"
    with open_backend(desk.trading.tuning_backend, ruled, desk.workers) as replays:
        yield remembered(replays, path, fingerprint(ruled))
