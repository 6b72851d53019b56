"""One session of all markets: from a seed and a date to the records that a vendor would have captured."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from assets.ticks.exchange import flow
from assets.ticks.exchange.engine import F_BAD_TS_RECV, F_LAST, F_SNAPSHOT, MBO, ROW_MARGIN, ROWS, Exchange, new_exchange
from assets.ticks.exchange.parameters import BACK, GRID, parameters
from assets.ticks.exchange.participants import open_book
from assets.ticks.exchange.path import Clock, Steps, delayed, draw_steps, merged, session_clock

UNDEF_PRICE: Final = 2**63 - 1
"""DBN's price of a record that has none."""

_RTYPE_MBO: Final = 160

PUBLISHER_ID: Final = 0
"""No venue of Databento's list: the exchange is ours."""

_LEVELS_SPARE: Final = 256
"""Empty price levels kept beyond the extremes of the efficient price: more than the deepest order is away from the touch."""

_FEED_NS: Final = 120_000
_FEED_SPREAD: Final = 0.35
"""Median of ts_recv - ts_event and the standard deviation of its logarithm, near what a CME file of Databento's shows."""

_SEND_NS: Final = 15_000
"""Median of ts_in_delta: the part of the delay that is the venue's sending to capture."""

_LATER_PACKET_NS: Final = 8_000
"""By how much a record follows the one before it when both belong to one event but not to one message."""

_SNAPSHOT_AGE_NS: Final = 1_000_000_000
"""The book at the open is stamped a second before it, as a snapshot carries the times of what it shows."""

_START_TICKS: Final = 20_000
_NIGHT_TICKS: Final = 60.0
_NIGHTS: Final = 20
"""First prices: a level, and the sum of the last twenty nights' moves, so that a date alone tells its price."""

_ALL_MARKETS: Final = 0
"""In place of a market's number: what they have in common."""

_SESSION_STREAM: Final = 2
_NIGHT_STREAM: Final = 3
"""Keep the draws of sessions, of nights and of weeks (parameters.py) apart."""


@dataclass(frozen=True)
class Instrument:
    """One market of the exchange."""

    number: int
    """From 1 up; its instrument id, and what keeps its random numbers its own."""
    tick: int
    """Price step, units of 1e-9."""
    follows: bool
    """Whether it takes the common moves later than a leader does."""


@dataclass(frozen=True)
class Truth:
    """What only the exchange knows of a market: its efficient price, at the start and after each of its moves."""

    ts: np.ndarray
    """i64[n], UTC nanoseconds, never falling; the first is the open."""
    price: np.ndarray
    """f64[n], units of 1e-9."""


@dataclass(frozen=True)
class Simulated:
    """One market's session: its records as captured (dtype MBO) and the truth behind them."""

    records: np.ndarray
    truth: Truth


@dataclass(frozen=True)
class Course:
    """A market's session as far as chance has settled it before anybody trades."""

    instrument: Instrument
    clock: Clock
    steps: Steps
    """Of the efficient price."""
    rates: flow.Rates
    random: np.ndarray
    """u64[1], what the flow's generator starts from."""
    start: int
    """Price of the opening bid, ticks."""
    rng: np.random.Generator
    """For what is drawn after the trading: the capture."""
    first_id: int
    """Order id of the exchange's first slot."""
    rows: int
    """Records that a tape should have room for at first; it is doubled, and the session run anew, when they do not suffice."""

    @property
    def low(self) -> int:
        """Level 0 of the book, ticks above the opening bid; it is negative."""
        return int(np.cumsum(self.steps.size).min(initial=0)) // GRID - _LEVELS_SPARE

    @property
    def path(self) -> flow.Path:
        """The efficient price as the flow takes it."""
        return flow.Path(self.clock.to_exchange(self.steps.seconds), self.steps.size)

    def opened(self, rows: int) -> tuple[Exchange, np.ndarray]:
        """An exchange with room for so many records, its book opened; and the state of the generator then."""
        high = int(np.cumsum(self.steps.size).max(initial=0)) // GRID + _LEVELS_SPARE
        exchange, random = new_exchange(high - self.low, rows), self.random.copy()
        open_book(exchange, random, -self.low)
        return exchange, random


def courses(
    seed: int,
    session: dt.date,
    instruments: Sequence[Instrument],
    *,
    open_ns: int,
    close_ns: int,
    events: int,
    alpha: float,
    back: float = BACK,
) -> list[Course]:
    """The course of each market's session; arguments as for `simulate`."""
    seconds = (close_ns - open_ns) / 1e9
    clock = session_clock(seconds, events)
    day = session.toordinal()
    shared = parameters(seed, session, _ALL_MARKETS)
    share = shared.common * min(alpha, 1.0)
    common = draw_steps(np.random.default_rng([seed, day, _SESSION_STREAM, _ALL_MARKETS]), clock, share, shared)
    out = []
    for instrument in instruments:
        rng = np.random.default_rng([seed, day, _SESSION_STREAM, instrument.number])
        own = parameters(seed, session, instrument.number)
        taken = delayed(common, own.lag_s, rng) if instrument.follows else common
        steps = merged(taken, draw_steps(rng, clock, 1 - share, own), seconds)
        rates = flow.Rates(alpha * own.information, back, *(getattr(own, name) for name in flow.Rates._fields[2:]))
        random = rng.integers(0, 2**63, 1, dtype=np.uint64)
        start = _START_TICKS + round(_NIGHT_TICKS * float(_night_moves(seed, day, instrument.number).sum()))
        out.append(Course(instrument, clock, steps, rates, random, start, rng, (day << 32) + 1, events + events // 4 + 3 * ROW_MARGIN))
    return out


def simulate(
    seed: int,
    session: dt.date,
    instruments: Sequence[Instrument],
    *,
    open_ns: int,
    close_ns: int,
    events: int,
    alpha: float,
    back: float = BACK,
) -> list[Simulated]:
    """Simulate a session of all markets, which have one latent price in common. A pure function of its arguments.

    Args:
        seed: of the whole exchange.
        session: trade date; its week chooses the parameters.
        instruments: the markets, in a fixed order.
        open_ns: UTC nanoseconds of the first trading.
        close_ns: end of the session, exclusive.
        events: records a market, about: snapshot not counted.
        alpha: how much order flow knows of the price to come; at 0 nothing, and the markets have nothing in common.
        back: chance that a cancel takes the last order of its queue; else the one before it has the same chance, and so on.

    Returns:
        One `Simulated` a market, in the order given.
    """
    made = courses(seed, session, instruments, open_ns=open_ns, close_ns=close_ns, events=events, alpha=alpha, back=back)
    return [Simulated(captured(*_trade(course), course, open_ns, close_ns), _truth(course, open_ns)) for course in made]


def _trade(course: Course) -> tuple[np.ndarray, int]:
    """The records of a session and how many of them opened the book, on a tape that turns out long enough."""
    path, rows = course.path, course.rows
    while True:
        exchange, random = course.opened(rows)
        snapshot, state = int(exchange.state[ROWS]), np.zeros(1, flow.FLOW)[0]
        if flow.run(exchange, state, random, course.rates, path, course.clock.length):
            return exchange.tape[: exchange.state[ROWS]], snapshot
        rows *= 2


def captured(written: np.ndarray, snapshot: int, course: Course, open_ns: int, close_ns: int) -> np.ndarray:
    """What the engine wrote as a vendor would have it: UTC stamps, prices in 1e-9, the opening book as a snapshot behind a clear.

    Args:
        written: MBO records of a whole session or some of them; times are the exchange's clock, prices levels, orders slots.
        snapshot: how many of them, in front, are the opening book.
        course: of the session; its `rng` is drawn from.
        open_ns, close_ns: the session, UTC nanoseconds.
    """
    records = written.copy()
    records["price"] = (records["price"] + course.low + course.start) * course.instrument.tick
    records["order_id"] += np.uint64(course.first_id)
    live = records[snapshot:]
    live["ts_event"] = open_ns + np.rint(1e9 * course.clock.to_wall(live["ts_event"] / 1e9)).astype(np.uint64)
    _stamp(live, course.rng)
    out = np.zeros(1 + snapshot + _captured_before(close_ns, live), MBO)
    out[1:] = records[: out.size - 1]
    out["length"], out["rtype"], out["publisher_id"] = MBO.itemsize // 4, _RTYPE_MBO, PUBLISHER_ID
    out["instrument_id"] = course.instrument.number
    out[0]["price"], out[0]["action"], out[0]["side"] = UNDEF_PRICE, ord("R"), ord("N")
    head = out[: snapshot + 1]
    head["ts_event"], head["ts_recv"] = open_ns - _SNAPSHOT_AGE_NS, open_ns
    head["flags"] = F_SNAPSHOT | F_BAD_TS_RECV
    head["flags"][-1] |= F_LAST
    return out


def _stamp(records: np.ndarray, rng: np.random.Generator) -> None:
    """Set what the capture adds: later stamps, never falling, alike within a message."""
    last = (records["flags"] & F_LAST) > 0
    event = np.concatenate([[0], np.cumsum(last[:-1])]) if last.size else np.zeros(0, np.int64)
    message = records["sequence"] - records["sequence"][np.searchsorted(event, event)]
    events = int(event[-1]) + 1 if last.size else 0
    delay = np.rint(_FEED_NS * np.exp(_FEED_SPREAD * rng.standard_normal(events))).astype(np.uint64)
    sent = np.rint(_SEND_NS * np.exp(_FEED_SPREAD * rng.standard_normal(events))).astype(np.int32)
    arrival = records["ts_event"] + delay[event] + message * np.uint64(_LATER_PACKET_NS)
    records["ts_recv"] = np.maximum.accumulate(arrival)
    records["ts_in_delta"] = sent[event]


def _captured_before(close_ns: int, records: np.ndarray) -> int:
    """Rows of the events that were captured as a whole before the session's end."""
    ends = np.flatnonzero((records["flags"] & F_LAST) > 0) + 1
    whole = int(np.searchsorted(records["ts_recv"][ends - 1], np.uint64(close_ns)))
    return int(ends[whole - 1]) if whole else 0


def _truth(course: Course, open_ns: int) -> Truth:
    steps = course.steps
    ts = open_ns + np.rint(1e9 * np.concatenate([[0.0], steps.seconds])).astype(np.int64)
    ticks = course.start + 0.5 + np.concatenate([[0], np.cumsum(steps.size)]) / GRID
    return Truth(ts, ticks * course.instrument.tick)


def _night_moves(seed: int, day: int, number: int) -> np.ndarray:
    return np.array([np.random.default_rng([seed, day - back, _NIGHT_STREAM, number]).standard_normal() for back in range(_NIGHTS)])
