"""The kernels compiled before the first session needs them: each once, and two of them at a time.

numba keeps what it has compiled for every later process. But two workers that meet a new kernel at the same moment both
compile it, so a run of the desk begins with this work in two halves. A kernel is compiled for the kinds of its arguments:
each is called on next to nothing. Where all is compiled already, a half takes as long as loading it (half a second).
"""

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from assets.books.rebuild import rebuild
from assets.books.schema import CleanBooks, Trades
from assets.calendar import Calendar
from assets.curves.lab.readings import read_session
from assets.curves.model import fit, predict
from assets.curves.statistics import session_statistics
from assets.desk import NS, Desk, Market, SimulatedSource, Trading
from assets.features.build import build
from assets.features.chosen import desk_indicators, desk_series
from assets.fills.live import Surroundings, trade_live
from assets.fills.policy import Policy
from assets.fills.simulate import simulate
from assets.fills.tape import make_tape
from assets.fills.truth.shadow import fidelity
from assets.hours import Window
from assets.ticks.dbn import to_frame
from assets.ticks.exchange.engine import MBO
from assets.ticks.source import SimulatedExchange

_EVENTS: Final = 100
"""Of a session that is made for its kernels' sake."""


def of_markets(desk: Desk) -> None:
    """The kernels of the exchange, the books and the replay."""
    market, (day, window) = desk.markets[desk.traded], _first(desk)
    exchange = _exchange(desk)
    raw = to_frame(exchange.simulate(day)[desk.traded].records if exchange else np.empty(0, MBO))
    rebuild(raw, capacity=1)  # it grows, too
    fidelity(make_tape(raw, market), window)
    _replay(raw, market, desk.trading, window)


def of_replay() -> None:
    """The kernels of the replay alone, for a market that is not known yet."""
    market = Market(symbol="NONE", tick_size=Decimal(1), multiplier=Decimal(1), maker_fee=Decimal(0), taker_fee=Decimal(0))
    _replay(to_frame(np.empty(0, MBO)), market, Trading(), Window(0, NS))


def _replay(raw: pl.DataFrame, market: Market, trading: Trading, window: Window) -> None:
    simulate(raw, np.empty(0, np.int64), np.empty(0), market=market, trading=trading, policy=Policy(), window=window)


def of_models(desk: Desk) -> None:
    """The kernels of the features and the curves, and those that trade by both inside the exchange."""
    market, (day, window), horizon_ns = desk.markets[desk.traded], _first(desk), desk.horizon_ns
    chosen, series = desk_indicators(desk), desk_series(desk)
    books, trades = _books(window.open_ns, market.tick, horizon_ns), Trades.empty()
    leaders, ticks = dict.fromkeys(desk.leaders, (books, trades)), {name: desk.markets[name].tick for name in desk.leaders}
    features = build(
        books, trades, leaders, tick=market.tick, leader_ticks=ticks, horizon_ns=horizon_ns, chosen=chosen, series=series, continuous=window
    )
    sums = session_statistics(features, chosen, horizon_ns=horizon_ns)
    model = fit([sums], chosen, horizon_ns=horizon_ns, first_session=day, last_session=day)
    predict(model, features)
    read_session(features, chosen, desk=len(chosen), tick=market.tick)
    exchange = _exchange(desk)
    if exchange:
        around = Surroundings(chosen, leaders, ticks, series, model)
        trade_live(exchange.course(day, window), around, market=market, trading=desk.trading, policy=Policy(), window=window)


HALVES: Final[tuple[Callable[[Desk], None], ...]] = (of_models, of_markets)
"""Of about equal length, the longer first."""


@contextmanager
def replay_beside() -> Iterator[Callable[[], None]]:
    """Compile what a replay needs in a process of its own, while this one compiles and does what comes before; what is yielded waits.

    Half of what a first `tickline try` compiles is the replay. Where it has been compiled before, no process is started.
    """
    if any(Path(os.environ["NUMBA_CACHE_DIR"]).glob("*/replay._run-*.nbi")):
        yield lambda: None
        return
    command = [sys.executable, "-c", f"from {__name__} import of_replay; of_replay()"]
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ready() -> None:
        child.wait()  # should it have failed, this process compiles what is missing

    try:
        yield ready
    finally:
        child.terminate()
        child.wait()


def _first(desk: Desk) -> tuple[dt.date, Window]:
    calendar = Calendar(desk)
    windows = ((day, calendar.window(desk.traded, day)) for day in calendar.sessions())
    return next((day, window) for day, window in windows if window)


def _exchange(desk: Desk) -> SimulatedExchange | None:
    if not isinstance(desk.source, SimulatedSource):
        return None
    return SimulatedExchange(desk, desk.source.model_copy(update={"events_per_session": _EVENTS}))


def _books(open_ns: int, tick: int, step_ns: int) -> pl.DataFrame:
    """A market that goes up one tick and down again by turns."""
    k = pl.int_range(_EVENTS, eager=True)
    known = {"ts_event": open_ns + k * step_ns, "bid_px_00": (1 + k % 2) * tick, "ask_px_00": (2 + k % 2) * tick}
    return pl.DataFrame([known.get(name, 0 * k + 1).cast(kind).alias(name) for name, kind in CleanBooks.empty().schema.items()])
