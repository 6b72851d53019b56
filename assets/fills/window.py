"""What the floor reads from the lake: a session's applied records, and the training sessions of a period.

A training session is replayed with predictions of the desk's model trained without its own week, so that the
policy is not chosen on predictions better than those it will trade on.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import polars as pl

from assets.books.continuous import read_continuous
from assets.books.rebuild import applied
from assets.calendar import Calendar
from assets.curves.forecast import model_of, read_trainings
from assets.curves.schema import prediction_of
from assets.desk import ALL, Desk
from assets.fills.backends import open_backend
from assets.fills.errors import FillsError
from assets.fills.journal import Replays, fingerprint, remembered
from assets.fills.policy import Policy
from assets.fills.replay import Session, make_rules, make_session
from assets.fills.tape import make_tape
from assets.hours import Window
from assets.lake import Lake


def read_records(lake: Lake, market: str, session: dt.date) -> pl.DataFrame:
    """The records of a session that were applied to its book.

    Raises:
        LakeError: `raw_ticks` or `quarantine` of the session is not in the lake.
    """
    raw = lake.read("raw_ticks", market=market, session=session)
    return applied(raw, lake.read("quarantine", ["row", "reason"], market=market, session=session))


def read_training_sessions(desk: Desk, lake: Lake, period: dt.date) -> dict[dt.date, Session]:
    """The sessions of a period's training window by trade date, in their order, with a signal by each of the desk's sets of indicators.

    Holidays are left out.

    Raises:
        FillsError: there are not two sessions, so that none could be predicted without itself.
        CurvesError: sessions of the window have no `curve_statistics`; the message names them.
        LakeError: another table of a session is not in the lake.
    """
    market, calendar, model = desk.traded, Calendar(desk), model_of(desk, lake, period)
    trainings = read_trainings(desk, lake, period)
    folds = _folds(trainings[ALL].sessions)
    if len(folds) < 2:
        raise FillsError(f"period {period} has {len(folds)} training sessions with data: tuning needs two, to predict each without itself")
    forecasts = {name: training.cross_fitted(model, folds) for name, training in trainings.items()}
    columns = ["ts_event", *dict.fromkeys(own.name for training in trainings.values() for own in training.indicators)]
    sessions = {}
    for k, fold in enumerate(folds):
        for day in fold:
            window = read_continuous(lake, calendar.window(market, day), market, day)
            if window is None:
                raise FillsError(f"{market} has statistics for {day}, which its calendar calls a holiday: `tickline demo` makes it anew")
            features = lake.read("feature_table", columns, market=market, session=day)
            tape = make_tape(read_records(lake, market, day), desk.markets[market])
            signals = {name: of_folds[k](features) for name, of_folds in forecasts.items()}
            sessions[day] = make_session(tape, features["ts_event"].to_numpy(), signals, window, desk.trading)
    return sessions


def read_traded_session(desk: Desk, lake: Lake, session: dt.date, window: Window, policies: Iterable[Policy]) -> Session:
    """A session of those hours with the predictions that these policies trade on.

    Raises:
        LakeError: its records or predictions are not in the lake.
    """
    market = desk.traded
    columns = {policy.indicators: prediction_of(policy.indicators) for policy in policies}
    moves = lake.read("predictions", ["ts_event", *columns.values()], market=market, session=session)
    tape = make_tape(read_records(lake, market, session), desk.markets[market])
    signals = {name: moves[column].to_numpy() for name, column in columns.items()}
    return make_session(tape, moves["ts_event"].to_numpy(), signals, window, desk.trading)


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
