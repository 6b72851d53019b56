"""The live log: a session traded inside the simulated exchange, as the tables that a broker's log would fill.

The market of a live session is not the recorded one: it has had us in it (`inside.py`). It comes of the same draws, and
is the recorded one, byte for byte, until our first order reaches the engine. So the log is replayed on the records of
that market, with our own orders taken out of them: what a recorder would have kept, to whom they are nobody's.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from assets.books.schema import LEVELS, CleanBooks, Trades
from assets.curves.forecast import read_curves
from assets.curves.model import curves
from assets.desk import Desk, Market, Trading
from assets.features.build import Ticks, feed, within
from assets.features.chosen import desk_indicators, desk_series
from assets.features.indicators.base import Indicator
from assets.features.kernel import Feed
from assets.features.state import prepare
from assets.fills.inside import FINISHED, SHORT_TAPE, Sight, Venue, trade
from assets.fills.policy import Policy
from assets.fills.replay import Session, make_rules, outcome_of
from assets.fills.rows import ROW
from assets.fills.simulate import Simulation, tables
from assets.fills.tape import Tape
from assets.fills.wire import Memory, make_ladder
from assets.lake import Lake
from assets.ticks.dbn import to_frame
from assets.ticks.exchange import Course, captured
from assets.ticks.exchange.engine import F_LAST, NOBODY, ROWS, Exchange
from assets.ticks.exchange.flow import FLOW

if TYPE_CHECKING:
    from assets.hours import Window

_FIRST_LOG: Final = 1 << 14
"""Requests that a log has room for at first; it is doubled, and the session traded anew, when they do not suffice."""

_TRADE, _FILL = ord("T"), ord("F")


@dataclass(frozen=True)
class Surroundings:
    """What the policy sees beside the traded market, and what it makes of both."""

    chosen: Sequence[Indicator]
    leaders: Mapping[str, Ticks]
    """`clean_books` and `trades` of each."""
    leader_ticks: Mapping[str, int]
    series: Mapping[str, pl.DataFrame]
    """The user's own tables, as for `assets.features.build.build`."""
    model: pl.DataFrame
    """Rows of `curve_model`, or those of a set in `set_curves`."""


def read_surroundings(desk: Desk, lake: Lake, session: dt.date, period: dt.date, indicators: str) -> Surroundings:
    """What the policy of a period sees beside the traded market on a session, and the curves of its set of indicators.

    Raises:
        LakeError: a leader's books or trades, or the period's curves, are not in the lake.
        FeaturesError: a table of the user's own cannot be read.
    """

    def ticks(leader: str) -> Ticks:
        return lake.read("clean_books", market=leader, session=session), lake.read("trades", market=leader, session=session)

    leaders = {name: ticks(name) for name in desk.leaders}
    model = read_curves(lake, desk.traded, period, indicators)
    return Surroundings(desk_indicators(desk), leaders, {name: desk.markets[name].tick for name in desk.leaders}, desk_series(desk), model)


@dataclass(frozen=True)
class Live:
    """A live session: its tables, and the exchange as it was left."""

    simulation: Simulation
    exchange: Exchange
    marks: np.ndarray
    """ROW records: time and the best prices without ours, after each event of the market."""
    ticks: pl.DataFrame
    """The market's records without our orders, in the columns of `raw_ticks`."""


def trade_live(course: Course, around: Surroundings, *, market: Market, trading: Trading, policy: Policy, window: "Window") -> Live:
    """Trade a session inside the exchange's matching engine. A pure function of its arguments.

    Args:
        course: of the traded market's session.
        around: leaders, indicators and curves.
        market, trading: tick, fees, delays and limits.
        policy: the setting to trade with.
        window: the session's hours.
    """
    rows, places = course.rows, _FIRST_LOG
    while True:
        exchange, random = course.opened(rows)
        snapshot = int(exchange.state[ROWS])
        marks = np.zeros(rows, ROW)
        tape = Tape(marks, course.start + course.low, exchange.head.size)
        nothing = np.empty(0, np.int64)
        rules = make_rules(market, trading, Session(tape, nothing, {}, window))
        memory = Memory(places)
        room = memory.room(make_ladder(tape.width), rules, policy.record)
        clock, flow = course.clock, np.zeros(1, FLOW)[0]
        venue = Venue(
            exchange, flow, random, course.rates, course.path, clock.length, clock.wall, clock.exchange,
            window.open_ns, market.tick, np.zeros(places, np.int64), marks,
        )  # fmt: skip
        ended, count = trade(venue, *_sight(around, market, window), room)
        if ended == FINISHED:
            break
        rows, places = (2 * rows, places) if ended == SHORT_TAPE else (rows, 2 * places)
    tape = tape._replace(rows=marks[:count])
    session = Session(tape, nothing, {}, window)
    log = tables(memory.sent, memory.filled, session, market, outcome_of(memory, tape, market.tick_value))
    return Live(log, exchange, tape.rows, _ticks(exchange, snapshot, course, window))


def _ticks(exchange: Exchange, snapshot: int, course: Course, window: "Window") -> pl.DataFrame:
    """The session's records without our orders.

    A trade that met an order of ours stays, of its full size. A trade of our own goes, and the contracts that it took
    leave their queues as if cancelled, a nanosecond later: a replay that sends our order again still finds them.
    """
    written = exchange.tape[: exchange.state[ROWS]]
    ours, action = exchange.owner[written["order_id"].astype(np.int64)] != NOBODY, written["action"]
    ends = written["flags"] & F_LAST > 0
    event: np.ndarray = np.cumsum(ends) - ends
    taken = np.isin(event, event[ours & (action == _TRADE)])
    kept = np.flatnonzero(~(taken & np.isin(action, (_TRADE, _FILL))) & ~(ours & (action != _TRADE)))
    records = written[kept]
    records["flags"][np.diff(event[kept], append=-1) != 0] |= F_LAST
    ticks = captured(records, snapshot, course, window.open_ns, window.close_ns)
    ticks["ts_event"][1:] += taken[kept[: len(ticks) - 1]]
    return to_frame(ticks)


def _sight(around: Surroundings, market: Market, window: "Window") -> tuple[Sight, Feed]:
    names = list(around.leaders)
    state = prepare(around.chosen, names, [market.tick, *(around.leader_ticks[name] for name in names)])
    ours: Ticks = (CleanBooks.empty(), Trades.empty())  # it comes from the engine
    hours = window.open_ns, window.close_ns
    leaders = [(within(books, *hours), within(trades, *hours)) for books, trades in around.leaders.values()]
    known = feed([ours, *leaders], around.chosen, around.series, state)
    ready = curves(around.model)
    own = [indicator.name for indicator in around.chosen]
    values = np.zeros(len(ready.names), np.float32)
    sight = Sight(
        state, np.zeros((1 + len(names), 6, LEVELS), np.int64), np.zeros((6, LEVELS), np.int64),
        np.zeros((len(own), 1), np.float32), np.array([own.index(name) for name in ready.names]),
        values, values.view(np.int32), ready.where.cells, ready.where.uppers, ready.value,
        known.books.start[:-1].copy(), known.tape.start[:-1].copy(),
    )  # fmt: skip
    return sight, known
