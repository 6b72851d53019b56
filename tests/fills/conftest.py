"""Markets written by hand: a stream of MBO records, and orders of our own sent into it without a policy."""

from dataclasses import dataclass, field
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from assets.books import codes
from assets.desk import ALL, Market, Trading
from assets.fills import heard, trader, wire
from assets.fills.exchange import advance, expire
from assets.fills.policy import Policy
from assets.fills.replay import Session, make_rules, make_session
from assets.fills.tape import Tape, make_tape
from assets.hours import Window

MS = 1_000_000
OPEN = 1_790_000_040 * 1_000_000_000
HOUR = 3_600_000 * MS
TICK = 250_000_000
BUY, SELL = 1, -1


HOURS = Window(OPEN, OPEN + HOUR)
"""A session of one hour; tests tell the time in milliseconds from its open."""

MARKET = Market(symbol="TEST", tick_size=Decimal("0.25"), multiplier=Decimal(4), maker_fee=Decimal("0.1"), taker_fee=Decimal("0.3"))
"""One tick on one contract is worth 1 of the currency."""


@dataclass
class Stream:
    """Records as a venue sends them; prices in ticks, times in milliseconds from the open."""

    records: list[dict[str, int]] = field(default_factory=list)
    sizes: dict[int, tuple[int, int, int]] = field(default_factory=dict)

    def add(self, at: float, side: int, px: int, size: int, order: int, *, flags: int = codes.F_LAST) -> "Stream":
        self.sizes[order] = (side, px, size)
        return self._write(at, "A", side, px, size, order, flags)

    def cancel(self, at: float, order: int, size: int | None = None) -> "Stream":
        side, px, whole = self.sizes[order]
        size = whole if size is None else size
        self.sizes[order] = (side, px, whole - size)
        return self._write(at, "C", side, px, size, order)

    def modify(self, at: float, order: int, *, px: int | None = None, size: int | None = None) -> "Stream":
        side, old_px, old_size = self.sizes[order]
        new = (side, old_px if px is None else px, old_size if size is None else size)
        self.sizes[order] = new
        return self._write(at, "M", *new, order)

    def trade(self, at: float, aggressor: int, px: int, *met: tuple[int, int], unseen: int = 0) -> "Stream":
        """An aggressor meets resting orders (id, contracts), and contracts that no record explains."""
        self._write(at, "T", aggressor, px, sum(size for _, size in met) + unseen, 0, 0 if met else codes.F_LAST)
        for order, size in met:
            self._write(at, "F", -aggressor, px, size, order, 0)
        for place, (order, size) in enumerate(met):
            side, px_of, whole = self.sizes[order]
            last = codes.F_LAST if place == len(met) - 1 else 0
            self.sizes[order] = (side, px_of, whole - size)
            if whole == size:
                self._write(at, "C", side, px_of, size, order, last)
            else:
                self._write(at, "M", side, px_of, whole - size, order, last)
        return self

    def clear(self, at: float) -> "Stream":
        return self._write(at, "R", 0, 0, 0, 0)

    def frame(self) -> pl.DataFrame:
        types = {"ts_event": pl.Int64, "action": pl.UInt8, "side": pl.UInt8, "price": pl.Int64, "size": pl.UInt32}
        return pl.DataFrame(self.records, schema={**types, "order_id": pl.UInt64, "flags": pl.UInt8})

    def tape(self) -> Tape:
        return make_tape(self.frame(), MARKET)

    def _write(self, at: float, action: str, side: int, px: int, size: int, order: int, flags: int = codes.F_LAST) -> "Stream":
        self.records.append(
            {
                "ts_event": OPEN + round(at * MS),
                "action": ord(action),
                "side": {BUY: codes.SIDE_BID, SELL: codes.SIDE_ASK, 0: codes.SIDE_NONE}[side],
                "price": px * TICK,
                "size": size,
                "order_id": order,
                "flags": flags,
            }
        )
        return self


def quiet_market(bid: int = 100, ask: int = 102, size: int = 5) -> Stream:
    """A book with one order of `size` at each of ten prices a side; ids 1.. on the bid from the touch down, 101.. on the ask."""
    stream = Stream()
    for level in range(10):
        stream.add(0, BUY, bid - level, size, 1 + level).add(0, SELL, ask + level, size, 101 + level)
    return stream


def swinging_market(swings: int, every: float, *, size: int, traded: int) -> Stream:
    """A market that rises and falls by three ticks in turn, every so many milliseconds, and trades on both sides just before."""
    stream, orders = quiet_market(ask=101, size=size), 1000
    standing = {**{1 + k: (BUY, 100 - k) for k in range(10)}, **{101 + k: (SELL, 101 + k) for k in range(10)}}
    for k in range(swings):
        at, step, bid = every * (k + 1), 3 if k % 2 == 0 else -3, 100 if k % 2 == 0 else 103
        stream.trade(at - 500, SELL, bid, unseen=traded).trade(at - 499, BUY, bid + 1, unseen=traded)
        for order in standing:
            stream.cancel(at, order)
        standing = {orders + place: (side, px + step) for place, (side, px) in enumerate(standing.values(), 1)}
        orders += len(standing)
        for order, (side, px) in standing.items():
            stream.add(at, side, px, size, order)
    return stream


class Wire:
    """Our end of the wire without a policy: what is sent when is up to the test."""

    def __init__(
        self, stream: Stream, *, latency_ms: float = 20, max_position: int = 100, post_only: bool = False, hours: Window = HOURS
    ) -> None:
        self.tape = stream.tape()
        session = make_session(self.tape, np.empty(0, np.int64), np.empty(0), hours)
        trading = Trading(latency_ms=latency_ms, max_position=max_position)
        self.rules = make_rules(MARKET, trading, session, post_only=post_only)
        self.rules["allowed_until"] = session.window.close_ns
        memory = wire.Memory(64)
        self.state, self.ours = memory.state, memory.ours
        self.room = memory.room(wire.make_ladder(self.tape.width), self.rules, Policy().record, len(self.tape.rows))
        self._row = 0

    def send(self, at: float, side: int, px: int, size: int = 1, *, immediate: bool = False) -> int:
        """Send an order; its id."""
        self.ours["now"] = OPEN + round(at * MS)
        trader._submit(side, px - self.tape.base, size, int(immediate), wire.SCORE, 0.0, self.room.trader)
        return int(self.ours["orders"][0]) - 1

    def cancel(self, at: float, order: int) -> int:
        """Send a cancel; the number of the request."""
        self.ours["now"] = OPEN + round(at * MS)
        trader._withdraw(order, wire.SCORE, 0.0, self.room.trader)
        return int(self.ours["sent"][0]) - 1

    def run(self, until: float | None = None) -> "Wire":
        """Let time pass up to `until`, or to the close."""
        close = OPEN + HOUR - 1
        self._row = advance(self.tape.rows, self._row, close if until is None else OPEN + round(until * MS), self.room)
        if until is None:
            expire(wire.NEVER, wire.CLOSED, self.room)
        return self

    def listen(self, at: float) -> "Wire":
        heard.listen(OPEN + round(at * MS), self.room)
        return self

    @property
    def fills(self) -> list[tuple[float, int, int, int]]:
        """(milliseconds, side, price in ticks, contracts) of each fill."""
        made = self.room.fills[: self.state["fills"][0]]
        return [((int(f["ts"]) - OPEN) / MS, int(f["side"]), int(f["px"]) + self.tape.base, int(f["quantity"])) for f in made]

    def filled(self, order: int) -> int:
        made = self.room.fills[: self.state["fills"][0]]
        return int(made["quantity"][made["order"] == order].sum())

    def ahead(self, order: int) -> int:
        return round(float(self.room.orders["ahead"][order]))

    def answer(self, request: int) -> int:
        return int(self.room.requests["answer"][request])

    @property
    def position(self) -> int:
        return int(self.state["position"][0])


def signal_of(*steps: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of a signal from (milliseconds, ticks)."""
    return np.array([OPEN + round(at * MS) for at, _ in steps], np.int64), np.array([value for _, value in steps], np.float64)


@pytest.fixture(scope="session")
def hand() -> SimpleNamespace:
    """What tests write markets with."""
    writers = {"Stream": Stream, "Wire": Wire, "quiet_market": quiet_market, "swinging_market": swinging_market, "signal_of": signal_of}
    return SimpleNamespace(**writers, market=MARKET, hours=HOURS, open=OPEN, tick=TICK, hour=HOUR)


@pytest.fixture(scope="session")
def swinging(hand):
    """Two sessions of swings every two seconds and a signal that knows; of the second only the first twenty seconds are quoted on."""
    steps = [(500.0 + 2_000 * k, 3.0 if k % 2 == 0 else -3.0) for k in range(60)]
    whole = make_session(swinging_market(60, 2_000, size=2, traded=9).tape(), *signal_of(*steps), hand.hours)
    return [whole, Session(whole.tape, whole.ts[:9], {ALL: whole.signals[ALL][:9]}, whole.window)]
