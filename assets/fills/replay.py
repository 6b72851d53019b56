"""One replay of a session: the event loop, its memory, and what came of it.

Three clocks run in one order of time. The *market* writes the tape's rows. Our *requests* arrive a delay after
they were decided, behind every row of the same nanosecond (`exchange.py`). The *policy* decides at each change of
its signal (`trader.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from assets.books.codes import ASK, BID, Int
from assets.desk import ALL, NS, PRICE_UNIT, Market, Trading
from assets.fills.delays import delay_slots
from assets.fills.errors import FillsError
from assets.fills.exchange import advance, expire, next_arrival, next_turn, react, stand
from assets.fills.heard import listen, next_news, nothing_out
from assets.fills.places import exposed, reach
from assets.fills.policy import Policy
from assets.fills.queues import QUEUES
from assets.fills.rows import ADDED, CLEARED, FILLED, REMOVED, TRADED, UNKNOWN
from assets.fills.settled import idle, idles, minds_queues, settled, stands, watch
from assets.fills.stretches import STRETCH, Stretches, jump, over, passes, tell
from assets.fills.tape import Tape, double_mids, last_double_mid
from assets.fills.trader import amend
from assets.fills.wire import ALARM, CLOSED, MOST_TURNS, NEVER, RULES, SLOT_BITS, SLOTS, STANDS, Memory, Room, kernel, make_ladder, part
from assets.hours import SCHEDULED, Window

FLAT_BEFORE_CLOSE_NS: Final = 30 * NS
"""The position is closed this long before the session's end: three prediction horizons, and a thousand round trips of the wire."""

_FIRST_LOG: Final = 1 << 18
"""Requests that a log has room for at first; it is doubled, and the session replayed, when they do not suffice. Places that are
never written take no memory."""

MOST_WORTH: Final = 1 << 62
"""What all that may be held can be worth, 1e-9 of the currency: the product that marks it is then below 2^63, and so is the cash."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@kernel
def _run(rows: np.ndarray, ts: np.ndarray, now: np.ndarray, signal: np.ndarray, seen: np.ndarray, stretches: Stretches, room: Room) -> bool:
    """Replay a session; False if a log was too short, and then nothing in `room` means anything."""
    r = 0
    for first in range(0, len(ts), STRETCH):
        if nothing_out(room):
            if over(room.trader):
                return True
            if passes(first // STRETCH, rows, ts, stretches, room.trader):
                continue
            r = jump(rows, r, seen[first], stretches, room)
        end = min(first + STRETCH, len(ts))
        r = _decide_each(rows, r, ts[first:end], now[first:end], signal[first:end], seen[first:end], room)
        if _full(room):
            return False
    advance(rows, r, room.rules.close_ns - 1, room)
    expire(NEVER, CLOSED, room)
    return not _full(room)


@part
def _full(room: Room) -> bool:
    """Whether a log is too short."""
    return room.state.full != 0 or room.trader.state.full != 0


@kernel
def _decide_each(rows: np.ndarray, r: Int, ts: np.ndarray, now: np.ndarray, signal: np.ndarray, seen: np.ndarray, room: Room) -> Int:
    """Go through some decisions, with rows before r done; return the next row."""
    watched, mattered = minds_queues(room.policy), False
    i, r = _next(0, rows, r, ts, signal, seen, room)
    until, hearing = _due(room)
    while i < len(ts):
        happened = ts[i] >= until
        if happened:
            before, r = r, advance(rows, r, ts[i], room)
            hearing = next_news(room)
            if watched:
                for k in range(before, r):
                    watch(rows[k], room.trader)
        else:
            i, r, mattered = _coast(rows, r, ts, now, signal, seen, i, until, hearing, room)
            if mattered:
                react(rows[r - 1], room)
                if watched:
                    watch(rows[r - 1], room.trader)
                hearing = next_news(room)  # of a fill, if there was one
            if i == len(ts) or ts[i] >= until or r < seen[i]:
                continue
        if hearing <= now[i]:
            listen(now[i], room)
            happened = True
        if r > 0 and not settled(rows[r - 1], ts[i], signal[i], room.trader):
            amend(rows[r - 1], ts[i], now[i], signal[i], room.trader)
            happened = True
        i += 1
        if happened:
            i, r = _next(i, rows, r, ts, signal, seen, room)
            until, hearing = _due(room)
    return r


@part
def _next(i: Int, rows: np.ndarray, r: Int, ts: np.ndarray, signal: np.ndarray, seen: np.ndarray, room: Room) -> tuple[Int, Int]:
    """The first decision from i on that may come to something, and the next row; where some come to nothing, nothing of ours is out."""
    first = i
    if not nothing_out(room):
        return i, r
    while idles(room.trader) and i < len(ts) and seen[i] > 0 and idle(rows[seen[i] - 1], ts[i], signal[i], room.trader):
        i += 1
    if first < i < len(ts):
        room.trader.state.settled[:] = 0  # what the queues have become was not watched
        while r < seen[i]:
            stand(rows[r], room.ladder)
            r += 1
    return i, r


@part
def _due(room: Room) -> tuple[Int, Int]:
    """When something is due that is not of the market (at once where each row and decision counts), and when news come."""
    if not stands(room.trader) or exposed(room.trader.state.bid, room.trader.state.ask, room):
        return np.iinfo(np.int64).min, next_news(room)
    return min(next_arrival(room), next_turn(room), room.rules.flatten_ns), next_news(room)


@part
def _coast(
    rows: np.ndarray,
    r: Int,
    ts: np.ndarray,
    now: np.ndarray,
    signal: np.ndarray,
    seen: np.ndarray,
    i: Int,
    until: Int,
    hearing: Int,
    room: Room,
) -> tuple[Int, Int, bool]:
    """Go over rows and decisions that come to nothing, as most do, up to what is due or heard.

    Returns the first decision that is left, the next row, and whether the last row mattered: then it is yet to be met.
    """
    # Read once: nothing here changes them, but for all the compiler knows writing the ladder does.
    ours, ladder, weight = room.trader.state, room.ladder, room.policy.prediction_weight
    bid, ask, pull, most = ours.bid, ours.ask, ours.pull, ours.most
    least = ours.least if stands(room.trader) else np.inf
    front_bid, front_ask = room.state.front[BID], room.state.front[ASK]
    while i < len(ts) and ts[i] < until:
        while r < seen[i]:
            row = rows[r]
            side, px, kind = row.side, row.px, row.kind
            moved = (row.bid != bid) | (row.ask != ask)
            stand(row, ladder)
            r += 1
            # One branch for all that can matter: a new touch, a trade that reaches us, a price that we mind.
            trade = (kind > REMOVED) & ((kind == CLEARED) | (reach(side, px) <= (front_bid if side == BID else front_ask)))
            if moved | trade | (ladder[side, px, ALARM] > ladder[side, px, STANDS]):
                return i, r, True
        if not least < weight * signal[i] + pull < most or hearing <= now[i]:
            break
        i += 1
    return i, r, False


@dataclass(frozen=True)
class Session:
    """What every replay of a session shares: the tape, the decisions' times (rising) and the signals then (ticks).

    A policy trades on the signal of its own set of indicators.
    """

    tape: Tape
    ts: Ints
    signals: Mapping[str, Floats]
    window: Window

    @cached_property
    def seen(self) -> Ints:
        """Rows of the tape that have happened at each decision."""
        return np.searchsorted(self.tape.rows["ts"], self.ts, side="right")

    def made_at(self, feed: Ints) -> Ints:
        """When each decision is made: once what it sees, and all that the feed brought before it, has reached us.

        Args:
            feed: delay of the feed by slot, ns (`delays.py`).
        """
        if not feed.any():
            return self.ts
        rows = self.tape.rows["ts"]
        known, came = (ts + feed[ts >> SLOT_BITS & SLOTS - 1] for ts in (self.ts, rows))
        before = np.append(np.maximum.accumulate(came), 0)[self.seen - 1]  # of no row: 0
        return np.maximum.accumulate(np.maximum(known, before))

    @cached_property
    def stretches(self) -> Mapping[str, Stretches]:
        """What every replay on a signal can go over at once."""
        return tell(self.tape.rows, self.tape.width, self.seen, self.signals)

    @cached_property
    def furthest(self) -> int:
        """Twice the price, in ticks without its sign, that is furthest from 0 of all that can be traded or marked at."""
        tape, mids = self.tape, double_mids(self.tape)
        return max(abs(2 * tape.base), abs(2 * (tape.base + tape.width)), int(np.abs(mids).max(initial=0)))

    @cached_property
    def anonymous(self) -> bool:
        """Whether no row says whose contracts left a queue, and none restores a queue that we could be in."""
        kind, priority = self.tape.rows["kind"][1:], self.tape.rows["priority"][1:]
        behind = priority > np.arange(len(kind))
        return bool(np.where(kind == ADDED, behind, (priority == UNKNOWN) & (kind != CLEARED)).all())


@dataclass(frozen=True)
class Outcome:
    """What a session came to; money in 1e-9 of the currency."""

    net_pnl: int
    contracts: int
    orders: int
    cancelled: int
    position: int
    """Left at the close; not zero only where nobody stood on the other side."""


def make_session(
    tape: Tape,
    signal_ts: Ints,
    signal: npt.NDArray[np.floating] | Mapping[str, npt.NDArray[np.floating]],
    window: Window,
    trading: Trading | None = None,
) -> Session:
    """Pair a tape with the signal's changes, or with several signals' by their sets of indicators.

    Outside continuous trading nothing is decided. The clock adds a decision each second from `FLAT_BEFORE_CLOSE_NS` before the close,
    so that a market that has fallen silent cannot leave us with a position, and one when a gap in the feed is noticed, of the two kinds
    that `trading` tells (None: none). While messages are lost there is no signal, so that nothing is quoted. Before a roll, and before
    a scheduled break where the desk asks, the clock does the same, and the signal is infinite: the position is taken off. A roll is
    known from the records themselves, whether or not the window tells it.

    Raises:
        FillsError: the signal is not a number somewhere, or its times fall.
    """
    signals = signal if isinstance(signal, Mapping) else {ALL: signal}
    for each in signals.values():
        if len(signal_ts) != len(each):
            raise FillsError(f"the signal has {len(each)} values at {len(signal_ts)} times: they must be one to one")
        if not np.isfinite(each).all():
            first = signal_ts[~np.isfinite(each)][0]
            raise FillsError(f"the signal is not a number at {first} ns: a prediction must be a number, 0 where there is no opinion")
    if (np.diff(signal_ts) < 0).any():
        raise FillsError("the signal's times fall: sort the predictions by ts_event")
    window = window.rolled(tape.instruments)
    inside = window.within(signal_ts)
    ending = _endings(window, trading is None or trading.flat_before_break)
    closes = max(window.scheduled_end - FLAT_BEFORE_CLOSE_NS, window.continuous[-1].begin_ns), window.scheduled_end
    clock = np.concatenate([np.arange(begin, end, NS, dtype=np.int64) for begin, end in (*ending, closes)])
    clock = clock[window.within(clock)]
    silences = _silences(tape.rows["ts"], window, NEVER if trading is None else gap_ns(trading))
    began, ended = _losses(tape, 0 if trading is None else round(trading.gap_pause_seconds * NS))
    ts = np.concatenate([signal_ts[inside], clock, silences, began[window.within(began)]])
    order, blind = np.argsort(ts, kind="stable"), np.zeros(len(ts), bool)
    if len(began):
        last = np.searchsorted(began, ts, side="right") - 1
        blind = (last >= 0) & (ts < ended[last])
    silent = np.zeros(len(ts) - len(signal_ts[inside]))
    values = {name: np.where(blind, np.nan, np.concatenate([each[inside], silent], dtype=np.float64)) for name, each in signals.items()}
    for begin, end in ending:
        for each in values.values():
            each[(ts >= begin) & (ts < end)] = np.inf
    return Session(tape, ts[order], {name: each[order] for name, each in values.items()}, window)


def gap_ns(trading: Trading) -> int:
    """How long the market's feed may be silent; NEVER where the desk does not ask."""
    return NEVER if trading.max_gap_seconds is None else round(trading.max_gap_seconds * NS)


def _silences(ts: Ints, window: Window, max_gap_ns: int) -> Ints:
    """The moments within the session at which the market's last row is one nanosecond older than a gap may be."""
    if max_gap_ns == NEVER or not len(ts):
        return np.empty(0, np.int64)
    long = np.diff(ts, append=max(window.close_ns, ts[-1])) > max_gap_ns
    noticed = ts[long] + max_gap_ns + 1
    return noticed[window.within(noticed)]


def _endings(window: Window, breaks: bool) -> list[tuple[int, int]]:
    """From when to when the position is taken off within the session: before each roll, and before scheduled breaks if asked."""
    scheduled = [stretch for stretch in window.admitting[:-1] if stretch.ends == "roll" or (breaks and stretch.ends in SCHEDULED)]
    return [(max(stretch.end_ns - FLAT_BEFORE_CLOSE_NS, stretch.begin_ns), stretch.end_ns) for stretch in scheduled]


def _turns(window: Window, market: Market) -> Ints:
    """When continuous trading ends and begins within the session, in turn, as RULES hold it."""
    stretches = window.admitting
    moments = [window.open_ns] if stretches[0].begin_ns > window.open_ns else []
    for stretch in stretches:
        moments += [stretch.begin_ns] if moments else []
        moments += [stretch.end_ns] if stretch.end_ns < window.scheduled_end else []
    if len(moments) > MOST_TURNS:
        raise FillsError(
            f"{market.symbol}: {len(stretches)} stretches of continuous trading are more than the {MOST_TURNS // 2} of a session"
        )
    turns = np.full(MOST_TURNS, NEVER)
    turns[: len(moments)] = moments
    return turns


def _losses(tape: Tape, pause_ns: int) -> tuple[Ints, Ints]:
    """When messages were found to be lost, and when the book is believed again: after a pause, or once it was sent anew."""
    began = np.unique(tape.lost)
    anew = np.append(tape.rows["ts"][tape.rows["kind"] == CLEARED], NEVER)
    ended = np.minimum(began + pause_ns, anew[np.searchsorted(anew, began)])
    return began[ended > began], ended[ended > began]


def make_rules(market: Market, trading: Trading, session: Session, *, post_only: bool = False) -> np.ndarray:
    """RULES of one session of a market, an array of one record.

    Raises:
        FillsError: what may be held can be worth more than is counted exactly.
    """
    _hold_to_money(market, trading, session)
    rules, limits = np.zeros(1, RULES), market.limits
    values = {
        "base": session.tape.base,
        "tick_value": market.tick_value,
        "maker_fee": _money(market.maker_fee),
        "taker_fee": _money(market.taker_fee),
        "loss_limit": _money(trading.daily_loss_limit),
        "allowed_loss": _money(trading.daily_loss_limit),
        **_positions(trading, session.tape),
        "max_gap": gap_ns(trading),
        "messages_per_second": limits.messages_per_second or 0,
        "order_to_trade": limits.order_to_trade or 0,
        "order_to_trade_free": NEVER if limits.order_to_trade is None else limits.order_to_trade_free,
        "timeless": trading.high_volume is None and trading.max_gap_seconds is None and limits.messages_per_second is None,
        "order_size": trading.order_size,
        "post_only": post_only,
        "flatten_ns": session.window.scheduled_end - FLAT_BEFORE_CLOSE_NS,
        "allowed_until": session.window.scheduled_end - FLAT_BEFORE_CLOSE_NS,
        "close_ns": session.window.scheduled_end,
        "turns": _turns(session.window, market),
        "from_behind": session.anonymous and trading.queue in ("exact", "pessimist"),
        "queue": QUEUES.index(trading.queue),
        "queue_exponent": trading.queue_exponent,
        "skew": trading.skew,
        **delay_slots(trading, session.window.open_ns),
    }
    for name, value in values.items():
        rules[name] = value
    return rules


def _hold_to_money(market: Market, trading: Trading, session: Session) -> None:
    """Refuse positions whose worth, in 1e-9 of the currency, an int64 does not hold."""
    one = session.furthest * market.tick_value // 2 + _money(max(abs(market.maker_fee), abs(market.taker_fee)))
    if trading.most_position * one <= MOST_WORTH:
        return
    allowed = MOST_WORTH // one
    remedy = f"lower max_position to {allowed} at most" if allowed else "state multiplier and fees in thousands of the currency"
    raise FillsError(
        f"{market.symbol}: {trading.most_position:,} contracts may be worth {trading.most_position * one / PRICE_UNIT:,.0f} "
        f"{market.currency} in the session, and money is exact up to {MOST_WORTH // PRICE_UNIT:,}: {remedy}"
    )


def _positions(trading: Trading, tape: Tape) -> dict[str, int]:
    """The position limits, of our own code and of the check before the exchange, and when the session becomes a busy one."""
    low, high = trading.max_position, trading.max_position_high_volume or trading.max_position
    limits = {"max_position": low, "busy_position": high, "allowed_position": low, "allowed_busy_position": high}
    threshold = NEVER if trading.high_volume is None else trading.high_volume
    traded = np.isin(tape.rows["kind"], (FILLED, TRADED)) if threshold != NEVER else np.zeros(0, bool)
    busy = tape.rows["ts"][: len(traded)][np.cumsum(tape.rows["size"][: len(traded)] * traded) > threshold]
    return {**limits, "high_volume": threshold, "busy_ns": int(busy[0]) if len(busy) else NEVER}


def outcome_of(memory: Memory, tape: Tape, tick_value: int) -> Outcome:
    """What a replay's memory came to, a position left at the close marked at the mid."""
    state = memory.state[0]
    worth, position = int(state["cash"]), int(state["position"])
    if position:
        worth += position * last_double_mid(tape) * tick_value // 2
    return Outcome(worth, int(state["contracts"]), int(memory.ours["orders"][0]), int(state["cancelled"]), position)


class Replayer:
    """Replays sessions one after another in the same memory."""

    def __init__(self) -> None:
        self._memory = Memory(_FIRST_LOG)
        self._ladder = make_ladder(0)
        self._outcome = Outcome(0, 0, 0, 0, 0)

    def run(self, session: Session, policy: Policy, rules: np.ndarray) -> Outcome:
        """Replay a session; `requests` and `fills` hold what happened until the next one."""
        weights, name = policy.record, policy.indicators
        if self._ladder.shape[1] != session.tape.width:
            self._ladder = make_ladder(session.tape.width)
        now = session.made_at(rules["feed_delay"][0])
        while True:
            self._ladder[:] = 0
            room = self._memory.room(self._ladder, rules, weights, len(session.tape.rows))
            if _run(session.tape.rows, session.ts, now, session.signals[name], session.seen, session.stretches[name], room):
                break
            self._memory = Memory(2 * len(self._memory.requests))
        self._outcome = outcome_of(self._memory, session.tape, int(rules["tick_value"][0]))
        return self._outcome

    def figures(self) -> dict[str, float | int]:
        """What the last replay came to, as the tables that compare replays tell it; money in currency."""
        fills, outcome = self.fills, self._outcome
        return {
            "net_pnl": outcome.net_pnl / PRICE_UNIT,
            "fees": float(fills["fee"].sum()) / PRICE_UNIT,
            "contracts": outcome.contracts,
            "maker_contracts": int(fills["quantity"][fills["maker"] == 1].sum()),
            "orders": outcome.orders,
            "cancelled": outcome.cancelled,
        }

    @property
    def requests(self) -> np.ndarray:
        """REQUEST records of the last replay, in the order of their sending."""
        return self._memory.sent

    @property
    def fills(self) -> np.ndarray:
        """FILL records of the last replay, in the order of time."""
        return self._memory.filled


def _money(amount: Decimal) -> int:
    return int(amount * PRICE_UNIT)
