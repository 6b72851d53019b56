"""The best forecast that the simulated exchange allows, and how near the desk's own predictions come to it.

    python -m benchmarks.bound [--desk desk.toml] [--sessions 10]      after `make demo`

The exchange knows its own law, so the best forecast can be computed: the conditional expectation of the label given what a book
shows and the week's parameters (`docs/simulated-exchange.md`). What is hidden is the gap, efficient price less mid. At each change
of the touch it is known to be zero; between them it is a symmetric walk on eighths of a tick, killed where the planned change would
have happened, and each order at the touch leans towards it with a known probability. So the law of (plan, gap) given the history is
a filter on 22 states, exact but for the time step. The expected move over a horizon is the gap less what will be left of it.

Three forecasts, each R2 on the rows and labels of `predictions`:

    own book      the filter on the traded market's own book: the best that its own history allows, exactly
    both books    the same, the leader's book filtered likewise: moves that the leader has made and the follower not yet taken drift its
                  gap. What one book says of the other's hidden state is not used, so this is the best but for that: from below
    insider       the same, the leader's efficient price known: nobody who sees books can pass it: from above
"""

import argparse
import datetime as dt
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.console import Console
from rich.table import Table

from assets.calendar import Calendar
from assets.curves.evaluation import Interval, ratio
from assets.desk import NS, Desk, SimulatedSource, load_desk
from assets.lake import Lake
from assets.ticks.exchange.parameters import Parameters, parameters
from assets.ticks.exchange.path import session_clock
from assets.ticks.exchange.session import Truth
from assets.ticks.source import SimulatedExchange
from benchmarks.hidden import FOLLOWER, LEADER, ROW, STEP, Book, Floats, forecasts

LARGEST_STEP_S: Final = 0.02
"""Of the time grid between two events."""

FORECASTS: Final = ("own_book", "both_books", "insider")

_BLOCKS: Final = 39
"""Stretches over which the walk's own rate is counted: those that have a volatility of their own."""


def read_book(
    lake: Lake, market: str, session: dt.date, tick: int, week: Parameters, alpha: float, pace: Floats, truth: Truth, open_ns: int
) -> Book:
    """From `clean_books` and `trades` of the lake, and the truth."""
    names = [f"{side}_{kind}_00" for kind in ("px", "ct", "sz") for side in ("bid", "ask")]
    books = lake.read("clean_books", ["ts_event", "row", *names], market=market, session=session)
    trades = lake.read("trades", ["row", "aggressor"], market=market, session=session)
    took = np.zeros(books.height, np.int64)
    took[np.searchsorted(books["row"].to_numpy(), trades["row"].to_numpy())] = trades["aggressor"].to_numpy()
    bid, ask, bid_orders, ask_orders, bid_size, ask_size = (books[name].cast(pl.Int64).to_numpy() for name in names)
    lean = alpha * week.information
    excited = (week.excite_same, week.excite_other, week.excite_decay)
    rates = np.array([lean, week.add_touch, week.add_thin, week.cancel_touch, week.trade, *excited])
    walk = _walk(truth, tick, pace, open_ns)
    return Book(books["ts_event"].to_numpy(), bid // tick, ask // tick, bid_orders, ask_orders, bid_size, ask_size, took, pace, walk, rates)


def _steps(truth: Truth, tick: int) -> tuple[npt.NDArray[np.int64], Floats]:
    """Times and sizes, in ticks, of the walk's steps; jumps left out."""
    size = np.diff(truth.price) / tick
    small = np.abs(size) < 1
    return truth.ts[1:][small], size[small]


def _walk(truth: Truth, tick: int, pace: Floats, open_ns: int) -> Floats:
    passed = np.concatenate([[0.0], np.cumsum(pace)])
    when = np.interp((_steps(truth, tick)[0] - open_ns) / NS, np.arange(len(passed)), passed)
    bounds = np.linspace(0, passed[-1], _BLOCKS + 1)
    rate = np.histogram(when, bounds)[0] / np.diff(bounds)
    return np.asarray(pace * rate[np.minimum(np.searchsorted(bounds, passed[:-1], "right") - 1, _BLOCKS - 1)])


def session_forecasts(desk: Desk, lake: Lake, session: dt.date, *, step_s: float = LARGEST_STEP_S) -> pl.DataFrame:
    """The rows of the session's feature table with their labels, the true gap, and what each forecast expects, in ticks."""
    source, follower = desk.source, desk.traded
    if not isinstance(source, SimulatedSource) or len(desk.leaders) != 1:
        raise SystemExit("the bound is that of the simulated exchange with one leader")
    window = Calendar(desk).window(follower, session)
    assert window is not None, f"{session} is a holiday"
    seconds = math.ceil((window.close_ns - window.open_ns) / NS)
    clock = session_clock((window.close_ns - window.open_ns) / NS, source.events_per_session)
    pace = np.diff(clock.to_exchange(np.arange(seconds + 1.0)))
    truths = {name: simulated.truth for name, simulated in SimulatedExchange(desk, source).simulate(session).items()}
    weeks = {name: parameters(source.seed, session, number) for number, name in enumerate(desk.all_markets, start=1)}
    books = {
        name: read_book(lake, name, session, desk.markets[name].tick, weeks[name], source.alpha, pace, truths[name], window.open_ns)
        for name in desk.all_markets
    }
    own, leader = books[follower], books[desk.leaders[0]]
    rows = lake.read("feature_table", ["ts_event", "row", "bid_px", "ask_px", "label"], market=follower, session=session)
    times, size = _steps(truths[desk.leaders[0]], desk.markets[desk.leaders[0]].tick)
    kinds = [(LEADER, leader.ts), (FOLLOWER, own.ts), (STEP, times), (ROW, rows["ts_event"].to_numpy())]
    moments = np.concatenate([ts for _, ts in kinds])
    order = np.argsort(moments, kind="stable")
    what = np.concatenate([np.full(len(ts), kind) for kind, ts in kinds])[order]
    which = np.concatenate([np.arange(len(ts)) for _, ts in kinds])[order]
    lag, common = weeks[follower].lag_s, weeks[follower].common * min(source.alpha, 1.0)
    mid = (rows["bid_px"] + rows["ask_px"]).to_numpy() / 2
    truth = truths[follower]
    at = np.searchsorted(truth.ts, rows["ts_event"].to_numpy(), "right") - 1
    table = rows.select("ts_event", "row", "label").with_columns(gap=pl.Series((truth.price[at] - mid) / desk.markets[follower].tick))
    for name, share, known in (("own_book", 0.0, False), ("both_books", common, False), ("insider", common, True)):
        move, gap = forecasts(
            moments[order], what, which, own, leader, size, lag, share, known, window.open_ns, desk.horizon_seconds, step_s
        )  # fmt: skip
        table = table.with_columns(pl.Series(name, move), pl.Series(f"{name}_gap", gap))
    return table


def compare(desk: Desk, lake: Lake, sessions: Sequence[dt.date]) -> dict[str, tuple[Interval, ...]]:
    """For the desk's predictions and each forecast: R2, the desk's as a share of it, and the slope of the true gap on the expected.

    Intervals by session. A slope of 1 says that the filter's law is the gap's.
    """
    sums: dict[str, list[float]] = {name: [] for name in ("moved", "predictions", *FORECASTS)}
    slopes: dict[str, list[tuple[float, float]]] = {name: [] for name in FORECASTS}
    for session in sessions:
        told = lake.read("predictions", ["ts_event", "row", "prediction"], market=desk.traded, session=session)
        table = session_forecasts(desk, lake, session).with_columns(predictions=told["prediction"].cast(pl.Float64)).drop_nulls("label")
        label = table["label"].cast(pl.Float64)
        moved = float((label**2).sum())
        sums["moved"].append(moved)
        for name in ("predictions", *FORECASTS):
            sums[name].append(moved - float(((label - table[name]) ** 2).sum()))
        for name in FORECASTS:
            gap = table[f"{name}_gap"]
            slopes[name].append((float((table["gap"] * gap).sum()), float((gap**2).sum())))
    gained = {name: np.array(values) for name, values in sums.items()}
    found: dict[str, tuple[Interval, ...]] = {}
    for name in ("predictions", *FORECASTS):
        found[name] = (ratio(gained[name], gained["moved"]), ratio(gained["predictions"], gained[name]))
        found[name] += (ratio(*np.array(slopes[name]).T),) if name in slopes else ()
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The desk's predictions against the best that the simulated exchange allows.")
    parser.add_argument("--desk", type=Path, default=Path(__file__).parents[1] / "desk.toml")
    parser.add_argument("--lake", type=Path, help="of a finished demo; the desk's own where left out")
    parser.add_argument("--sessions", type=int, default=10, help="of the traded sessions, the first so many")
    given = parser.parse_args()
    desk = load_desk(given.desk)
    lake = Lake(given.lake or desk.lake)
    sessions = Calendar(desk).traded_sessions()[: given.sessions]
    table = Table(
        "forecast", "R2, %", "the desk's share of it, %", "slope of the gap, %", title=f"{len(sessions)} sessions from {sessions[0]}"
    )
    for name, figures in compare(desk, lake, sessions).items():
        table.add_row(name, *map(_told, figures))
    Console().print(table)


def _told(interval: Interval) -> str:
    value, _, low, high = (math.nan if figure is None else 100 * figure for figure in interval)
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
