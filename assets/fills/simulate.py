"""A session traded in simulation, as the tables that the floor publishes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from assets.desk import NS, Market, Trading
from assets.fills.policy import Policy
from assets.fills.replay import Outcome, Replayer, Session, make_rules, make_session
from assets.fills.rows import OURS
from assets.fills.schema import Equity, Fills, Orders
from assets.fills.tape import double_mids, make_tape
from assets.fills.wire import NEW

if TYPE_CHECKING:
    from assets.hours import Window

Ints = npt.NDArray[np.int64]

KINDS: Final = ("new", "cancel")
REASONS: Final = ("score", "limit", "flatten", "close", "gap")
ANSWERS: Final = ("resting", "filled", "rejected", "cancelled", "too_late")
REFUSALS: Final = ("", "own_order", "post_only", "position", "message_rate", "order_to_trade", "closed", "loss", "ending", "not_trading")
"""Names of the codes in `wire.py`, in their order."""

MARKOUTS: Final = (1, 5, 10, 60)
"""Seconds after a fill at which the mid is looked up."""

MINUTE: Final = 60 * NS


@dataclass(frozen=True)
class Simulation:
    """One session's tables (`schema.py`) and what it came to."""

    orders: pl.DataFrame
    fills: pl.DataFrame
    equity: pl.DataFrame
    outcome: Outcome


def simulate(
    records: pl.DataFrame,
    signal_ts: Ints,
    signal: npt.NDArray[np.floating],
    *,
    market: Market,
    trading: Trading,
    policy: Policy,
    window: "Window",
) -> Simulation:
    """Trade one session.

    Args:
        records: RawTicks that were applied to the book, in file order.
        signal_ts: times of the predictions, int64 UTC nanoseconds, never falling; each is a decision.
        signal: predicted move of the mid, in ticks, by the policy's indicators.
        market, trading: tick, fees, delays and limits.
        policy: the setting to trade with.
        window: the session's hours; decisions fall inside them.

    Raises:
        FillsError: the records have no order ids or prices off the tick, or the signal is unusable.
    """
    session = make_session(make_tape(records, market), signal_ts, {policy.indicators: signal}, window, trading)
    replayer = Replayer()
    outcome = replayer.run(session, policy, make_rules(market, trading, session))
    return tables(replayer.requests, replayer.fills, session, market, outcome)


def tables(requests: np.ndarray, fills: np.ndarray, session: Session, market: Market, outcome: Outcome) -> Simulation:
    """The tables of a session from its REQUEST and FILL records; of the session's tape only times and best prices count."""
    clock = _Marks(session, market)
    made = _fills(fills, clock, session.tape.base * market.tick, market)
    return Simulation(_orders(requests, session, market), made, _equity(made, clock), outcome)


def nothing() -> Simulation:
    """The tables of a day without a session."""
    frames = (contract.to_schema() for contract in (Orders, Fills, Equity))
    orders, fills, equity = (pl.DataFrame(schema={name: column.dtype.type for name, column in frame.columns.items()}) for frame in frames)
    return Simulation(orders, fills, equity, Outcome(0, 0, 0, 0, 0))


class _Marks:
    """The mid of a session at any time, in 1e-9."""

    def __init__(self, session: Session, market: Market) -> None:
        self.window = session.window
        self.tick_value = market.tick_value
        self._ts = np.ascontiguousarray(session.tape.rows["ts"])
        self._double = double_mids(session.tape)
        kind = session.tape.rows["kind"]
        self._market = np.maximum.accumulate(np.where(kind == OURS, -1, np.arange(len(kind))))  # the last row that was not our doing
        self._tick = market.tick

    def after(self, ts: Ints) -> Ints:
        """Twice the mid in ticks after all that happened up to and including a time."""
        return self._double[np.maximum(np.searchsorted(self._ts, ts, side="right") - 1, 0)]

    def before(self, ts: Ints) -> Ints:
        """Twice the mid in ticks before anything of that nanosecond."""
        return self._double[np.maximum(np.searchsorted(self._ts, ts, side="left") - 1, 0)]

    def before_ours(self, ts: Ints) -> Ints:
        """Twice the mid in ticks after all of that nanosecond that was not our own doing: what a request of ours met."""
        first, last = (np.searchsorted(self._ts, ts, side=side) - 1 for side in ("left", "right"))
        return self._double[np.maximum(np.maximum(self._market[last], first), 0)]

    def price(self, double_mid: Ints) -> Ints:
        """A mid in 1e-9, half a unit rounded down."""
        return double_mid * self._tick // 2

    @property
    def any(self) -> bool:
        """Whether the session had a mid at all."""
        return len(self._double) > 0


def _orders(requests: np.ndarray, session: Session, market: Market) -> pl.DataFrame:
    new = requests["kind"] == NEW
    return pl.DataFrame(
        {
            "request": np.arange(len(requests), dtype=np.int64),
            "order_id": requests["order"].astype(np.int64),
            "kind": _named(requests["kind"], KINDS),
            "reason": _named(requests["reason"], REASONS),
            "side": requests["side"].copy(),
            "price": (requests["px"].astype(np.int64) + session.tape.base) * market.tick,
            "quantity": requests["quantity"].astype(np.int64),
            "ts_request": requests["ts_request"].copy(),
            "ts_arrival": requests["ts_arrival"].copy(),
            "ts_response": requests["ts_response"].copy(),
            "answer": _named(requests["answer"], ANSWERS),
            "refusal": _named(requests["refusal"], REFUSALS).replace("", None),
            "queue_ahead": pl.Series(requests["ahead"].astype(np.int64)).set(pl.Series(~new | (requests["ahead"] < 0)), None),
            "score": pl.Series(requests["score"].copy(), nan_to_null=True),
            "prediction": requests["prediction"].copy(),
        }
    )


def _fills(fills: np.ndarray, clock: _Marks, base: int, market: Market) -> pl.DataFrame:
    ts, maker = fills["ts"].copy(), fills["maker"] == 1
    columns = {
        "order_id": fills["order"].astype(np.int64),
        "ts_event": ts,
        "side": fills["side"].copy(),
        "price": fills["px"].astype(np.int64) * market.tick + base,
        "quantity": fills["quantity"].astype(np.int64),
        "liquidity": _named(fills["maker"], ("taker", "maker")),
        "fee": fills["fee"].copy(),
        "position": fills["position"].copy(),
        "cash": fills["cash"].copy(),
    }
    # A maker's fill is an event of the market and is set against the mid before it; a taker's arrives after the market, and against
    # the mid that it met.
    columns["mid"] = clock.price(np.where(maker, clock.before(ts), clock.before_ours(ts))) if len(ts) else ts
    for seconds in MARKOUTS:
        later = ts + seconds * NS
        mid = pl.Series(clock.price(clock.after(later)) if len(ts) else ts)
        columns[f"mid_{seconds}s"] = mid.set(pl.Series(later > clock.window.until(ts)), None)
    return pl.DataFrame(columns)


def _equity(fills: pl.DataFrame, clock: _Marks) -> pl.DataFrame:
    """The account after the last fill of each moment, at each whole minute, at the open and the close, and on both sides of a roll."""
    if not clock.any:
        return nothing().equity
    opens, closes = clock.window.open_ns, clock.window.close_ns
    fill_ts = fills["ts_event"].to_numpy()
    minutes = np.arange(-(-opens // MINUTE) * MINUTE, closes + 1, MINUTE, dtype=np.int64)
    rolls = [moment for roll in clock.window.rolls for moment in roll]
    ts = np.unique(np.concatenate([fill_ts, minutes, np.array([opens, closes, *rolls])]))
    after = np.searchsorted(fill_ts, ts, side="right")
    position = np.concatenate([[0], fills["position"].to_numpy()])[after]
    cash = np.concatenate([[0], fills["cash"].to_numpy()])[after]
    double_mid = clock.after(ts)
    equity = cash + position * double_mid * clock.tick_value // 2
    return pl.DataFrame({"ts_event": ts, "position": position, "cash": cash, "mid": clock.price(double_mid), "equity": equity})


def _named(codes: np.ndarray, names: tuple[str, ...]) -> pl.Series:
    return pl.Series(np.array(names)[codes]) if len(codes) else pl.Series([], dtype=pl.String)
