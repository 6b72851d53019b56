"""Reconciliation: the orders of a log replayed through the simulator, order by order beside what really became of them.

The log's requests are sent at the log's times: the same orders, prices, sizes and cancels; only the exchange is simulated. The checks
that a desk has before its exchange (position, loss, the end of the session, messages) are another trader's: they hold back nothing
unless they are asked for. An order that the log filled and the replay did not is cancelled `PATIENCE_NS` after the log's fill, since
its trader thought it gone.

P&L is marked at the session's last mid, contract by contract of each order, and the difference splits without a rest:

    log - replay = missed (filled in the log alone) - imagined (filled in the replay alone) + price (filled in both, at other prices)
"""

import datetime as dt
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl
from scipy.stats import ks_2samp

from assets.desk import NS, PRICE_UNIT, Market, Trading
from assets.fills.exchange import advance, expire
from assets.fills.policy import Policy
from assets.fills.replay import Session, make_rules
from assets.fills.simulate import REFUSALS
from assets.fills.tape import Tape, aggregated, double_mids
from assets.fills.truth.log import LogError
from assets.fills.what_if import ESTIMATE, knows_orders
from assets.fills.wire import CANCEL, CLOSED, IN_FLIGHT, MOST_ORDERS, NEVER, NEW, Memory, Room, delayed, kernel, make_ladder

if TYPE_CHECKING:
    from assets.hours import Window

PATIENCE_NS: Final = NS
"""How long a replayed order may fill later than the log's."""

_MOST_FILLS: Final = 1 << 22
"""Of a session's replay: room that an order of very many contracts does not need."""

LATENCIES: Final = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0)
"""Milliseconds one way, among which the delay is calibrated."""


class Setting(NamedTuple):
    """What is assumed of the wire and the queue."""

    latency_ms: float
    queue: str
    exponent: float


def settings(trading: Trading, tape: Tape) -> list[Setting]:
    """The desk's own setting first, then every latency with every queue that the tape can show."""
    own = Setting(trading.latency_ms, trading.queue, trading.queue_exponent)
    queues = [("exact", 1.0)] if knows_orders(tape) else []
    queues += [("pessimist", 1.0), ESTIMATE, ("optimist", 1.0)]
    grid = [Setting(latency, *queue) for latency, queue in product(LATENCIES, queues)]
    return [own, *(setting for setting in grid if setting != own)]


def reconcile(
    log: pl.DataFrame,
    tape: Tape,
    window: "Window",
    market: Market,
    trading: Trading,
    tried: Sequence[Setting] | None = None,
    *,
    with_limits: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Set a session's log against its replay.

    Args:
        log: as `read_log` gives it, one session's lines.
        tape: of the session.
        window, market, trading: its hours, tick and fees, and the setting that is the desk's own.
        tried: settings; by default `settings(trading, tape)`. The first is the desk's own.
        with_limits: whether the log is of the desk's own trader, whose orders its checks before the exchange refuse beyond its limits.

    Returns:
        (rows of `reconciliation`, a setting each; rows of `reconciled_orders` under the first). Both empty where no order was sent.

    Raises:
        LogError: the log names an order of another session, a price far from the session's, or more orders open at once than a replay
            holds.
    """
    asked = log.filter(pl.col("event") == "new")
    refused = log.filter(pl.col("event") == "reject")["order_id"]
    asked = asked.filter(~pl.col("order_id").is_in(refused.to_list())).with_row_index("order").with_columns(pl.col("order").cast(pl.Int64))
    numbers = asked.select("order", "order_id")
    rest = log.filter(pl.col("event").is_in(["cancel", "fill"])).join(numbers, on="order_id")
    astray = log.filter(~pl.col("order_id").is_in(log.filter(event="new")["order_id"].implode()))
    if astray.height:
        raise LogError(
            f"line {astray['line'][0]}: order {astray['order_id'][0]} was not sent in this session: only day orders are replayed"
        )
    if asked.is_empty():
        return pl.DataFrame(), pl.DataFrame()
    marks = _Marks(tape, market)
    fees = pl.when(pl.col("liquidity") == "maker").then(float(market.maker_fee)).otherwise(float(market.taker_fee))
    real = rest.filter(pl.col("event") == "fill").select("order", "ts", "price", "quantity", fee=fees * pl.col("quantity"))
    requests = _requests(asked, rest)
    rows, orders = [], pl.DataFrame()
    for setting in tried or settings(trading, tape):
        assumed = {"latency_ms": setting.latency_ms, "queue": setting.queue, "queue_exponent": setting.exponent}
        shown = tape if setting.queue == "exact" else aggregated(tape)
        session = Session(shown, np.empty(0, np.int64), {}, window)
        rules = make_rules(market, trading.model_copy(update=assumed), session)
        if not with_limits:
            _lift(rules)
        fills, refusals = _replay(asked, requests, session, rules, market)
        matched = _matched(asked, real, fills, marks).with_columns(refusals)
        own = orders.is_empty()
        orders = matched if own else orders
        rows.append({**setting._asdict(), "own": own, **_summary(matched)})
    schema: Any = dict.fromkeys((*_MEDIANS, "ks_time_to_fill", "ks_slippage"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=schema), orders


def calibrate(rows: pl.DataFrame) -> Setting:
    """The setting under which fewest orders of the sessions were missed or imagined; of equals the first.

    Args:
        rows: `reconciliation` of the sessions to fit on, one below the other.
    """
    told = rows.group_by(Setting._fields, maintain_order=True).agg(wrong=(pl.col("missed") + pl.col("imagined")).sum())
    best = told.sort("wrong", maintain_order=True).row(0, named=True)
    return Setting(*(best[name] for name in Setting._fields))


def held_out(rows: pl.DataFrame) -> tuple[Setting, list[dt.date]]:
    """The setting that the earlier half of the sessions chooses (`calibrate`), and the later half, which tests it.

    Args:
        rows: `reconciliation`, each with its `session`; of an odd number of sessions the earlier half has one more.
    """
    days = rows["session"].unique().sort().to_list()
    half = (len(days) + 1) // 2
    return calibrate(rows.filter(pl.col("session").is_in(days[:half]))), days[half:]


class _Marks:
    """Mids of a session in ticks, and what a fill is worth at the last of them."""

    def __init__(self, tape: Tape, market: Market) -> None:
        self._ts, self._mids, self._tick = tape.rows["ts"], double_mids(tape) / 2, market.tick
        self._value = market.tick_value / PRICE_UNIT

    def mid(self, ts: np.ndarray) -> np.ndarray:
        return np.asarray(self._mids[np.maximum(np.searchsorted(self._ts, ts, side="right") - 1, 0)])

    def worth(self, side: pl.Expr) -> pl.Expr:
        """Currency, fees paid."""
        ticks = side * pl.col("quantity") * (float(self._mids[-1]) - pl.col("price") / self._tick)
        return ticks * self._value - pl.col("fee")

    def slippage(self, side: pl.Expr) -> pl.Expr:
        """Ticks paid beyond the mid at the request."""
        return side * (pl.col("price") / self._tick - pl.col("mid"))


def _requests(asked: pl.DataFrame, rest: pl.DataFrame) -> pl.DataFrame:
    """What is sent, in the order of time: order, ts, kind. A cancel is added for an order that the log filled whole."""
    new = asked.select("order", "ts", kind=pl.lit(NEW, pl.UInt8))
    cancelled = rest.filter(pl.col("event") == "cancel").select("order", "ts", kind=pl.lit(CANCEL, pl.UInt8))
    filled = rest.filter(pl.col("event") == "fill").group_by("order", maintain_order=True).agg(pl.col("quantity").sum(), pl.col("ts").max())
    whole = filled.join(asked.select("order", size="quantity"), on="order").filter(pl.col("quantity") >= pl.col("size"))
    gone = whole.join(cancelled, on="order", how="anti").select("order", pl.col("ts") + PATIENCE_NS, kind=pl.lit(CANCEL, pl.UInt8))
    return pl.concat([new, cancelled, gone]).sort("ts", "kind", maintain_order=True)


def _lift(rules: np.ndarray) -> None:
    """Let the exchange take every order that it can match: the desk's position, loss, closing time and message limits are not the log's."""
    for limit in ("allowed_position", "allowed_busy_position", "allowed_loss", "allowed_until", "order_to_trade_free"):
        rules[limit] = NEVER
    rules["messages_per_second"] = rules["order_to_trade"] = 0


@kernel
def _send(requests: np.ndarray, rules: Any) -> None:
    """When each request of the log arrives: none before the one sent before it."""
    last = 0
    for request in requests:
        last = max(delayed(request.ts_request, rules.order_delay if request.kind == NEW else rules.cancel_delay), last)
        request.ts_arrival = last


def _replay(
    asked: pl.DataFrame, requests: pl.DataFrame, session: Session, rules: np.ndarray, market: Market
) -> tuple[pl.DataFrame, pl.Series]:
    """Fills of the requests: order, ts, price, quantity, fee (currency); and for each order why the exchange refused it, else null."""
    tape, n = session.tape, requests.height
    px = asked["price"].to_numpy() // market.tick - tape.base
    if ((px < 0) | (px >= tape.width)).any():
        line = asked["line"].to_numpy()[(px < 0) | (px >= tape.width)][0]
        raise LogError(f"line {line}: the price is far from all that the session traded or quoted: is this the market's log?")
    memory = Memory(n, fills=min(int(asked["quantity"].sum()), _MOST_FILLS) + 1)
    wire, side, quantity = memory.requests, asked["side"].to_numpy(), asked["quantity"].to_numpy()
    immediate = (asked["time_in_force"] == "ioc").to_numpy()
    order, kind = requests["order"].to_numpy(), requests["kind"].to_numpy()
    wire["ts_request"], wire["order"], wire["kind"], wire["answer"] = requests["ts"].to_numpy(), order, kind, IN_FLIGHT
    _send(wire, rules[0])
    wire["px"], wire["quantity"], wire["side"], wire["immediate"] = px[order], quantity[order], side[order], immediate[order]
    if wire["ts_arrival"][0] < tape.rows["ts"][0]:
        raise LogError("the log begins before the session's market data: cut it to the session")
    _bound(wire, int(rules["close_ns"][0]))
    room = memory.room(make_ladder(tape.width), rules, Policy().record, len(tape.rows))
    memory.ours["sent"] = n
    _run(tape.rows, room)
    if memory.state["full"][0]:
        raise LogError(f"the replay comes to more than {_MOST_FILLS:,} fills: give the log session by session")
    made, new = memory.filled, wire[wire["kind"] == NEW]
    refusals = pl.Series("refusal", np.array(REFUSALS)[new["refusal"][np.argsort(new["order"])]]).replace("", None)
    return pl.DataFrame(
        {
            "order": made["order"].astype(np.int64),
            "ts": made["ts"].copy(),
            "price": (made["px"].astype(np.int64) + tape.base) * market.tick,
            "quantity": made["quantity"].astype(np.int64),
            "fee": made["fee"] / PRICE_UNIT,
        }
    ), refusals


@kernel
def _run(rows: np.ndarray, room: Room) -> None:
    advance(rows, 0, room.rules.close_ns - 1, room)
    expire(NEVER, CLOSED, room)


def _bound(wire: np.ndarray, close_ns: int) -> None:
    """Refuse more orders open at once than a replay holds, even if none of them filled."""
    for side in (1, -1):
        new, gone = (wire[(wire["side"] == side) & (wire["kind"] == kind)]["ts_arrival"] for kind in (NEW, CANCEL))
        times = np.concatenate([new, gone])
        change = np.concatenate([np.ones(len(new), np.int64), -np.ones(len(gone), np.int64)])
        most = int(np.cumsum(change[np.argsort(times, kind="stable")]).max(initial=0))
        if most > MOST_ORDERS:
            raise LogError(f"{most} orders of one side are open at once and a replay holds {MOST_ORDERS}: split the log by strategy")


def _matched(asked: pl.DataFrame, real: pl.DataFrame, replayed: pl.DataFrame, marks: _Marks) -> pl.DataFrame:
    """Rows of `reconciled_orders`."""
    orders = asked.select(
        "order", "order_id", "side", "price", "quantity", ts_request="ts", mid=pl.Series(marks.mid(asked["ts"].to_numpy()))
    )
    for name, fills in (("log", real), ("replay", replayed)):
        known = fills.join(orders.select("order", "side", "mid"), on="order")
        of_order = known.group_by("order").agg(
            pl.col("quantity").sum().alias(f"filled_{name}"),
            pl.col("ts").min().alias(f"ts_fill_{name}"),
            (marks.slippage(pl.col("side")) * pl.col("quantity")).sum().truediv(pl.col("quantity").sum()).alias(f"slippage_{name}_ticks"),
            marks.worth(pl.col("side")).sum().alias(f"worth_{name}"),
        )
        orders = orders.join(of_order, on="order", how="left").with_columns(pl.col(f"filled_{name}", f"worth_{name}").fill_null(0))
    both = pl.min_horizontal("filled_log", "filled_replay")
    each = {name: pl.col(f"worth_{name}") / pl.max_horizontal(f"filled_{name}", 1) for name in ("log", "replay")}
    told = (
        pl.when((pl.col("filled_log") > 0) & (pl.col("filled_replay") > 0))
        .then(pl.lit("both"))
        .when(pl.col("filled_log") > 0)
        .then(pl.lit("missed"))
        .when(pl.col("filled_replay") > 0)
        .then(pl.lit("imagined"))
        .otherwise(pl.lit("neither"))
    )
    return orders.sort("order").with_columns(
        fate=told,
        pnl_missed=(pl.col("filled_log") - both) * each["log"],
        pnl_imagined=(pl.col("filled_replay") - both) * each["replay"],
        pnl_price=both * (each["log"] - each["replay"]),
    ).drop("order", "mid")  # fmt: skip


_MEDIANS: Final = ("time_to_fill_log_s", "time_to_fill_replay_s", "slippage_log_ticks", "slippage_replay_ticks")


def _summary(orders: pl.DataFrame) -> dict[str, Any]:
    waited = {name: ((orders[f"ts_fill_{name}"] - orders["ts_request"]) / NS).drop_nulls() for name in ("log", "replay")}
    slipped = {name: orders[f"slippage_{name}_ticks"].drop_nulls() for name in ("log", "replay")}
    return {
        "orders": orders.height,
        "filled_log": int((orders["filled_log"] > 0).sum()),
        "filled_replay": int((orders["filled_replay"] > 0).sum()),
        "missed": int((orders["fate"] == "missed").sum()),
        "imagined": int((orders["fate"] == "imagined").sum()),
        "refused": orders["refusal"].count(),
        **{f"time_to_fill_{name}_s": of.median() for name, of in waited.items()},
        **{f"slippage_{name}_ticks": of.mean() for name, of in slipped.items()},
        "ks_time_to_fill": _distance(*waited.values()),
        "ks_slippage": _distance(*slipped.values()),
        **{f"pnl_{name}": _money(orders[f"worth_{name}"]) for name in ("log", "replay")},
        **{name: _money(orders[name]) for name in ("pnl_missed", "pnl_imagined", "pnl_price")},
    }


def _money(worth: pl.Series) -> float:
    """A sum in currency, without the residue of floats below the unit of money."""
    return round(float(worth.sum()), 9)


def _distance(one: pl.Series, other: pl.Series) -> float | None:
    """Kolmogorov and Smirnov's: the greatest distance of the two distribution functions; null where one has no values."""
    return float(ks_2samp(one.to_numpy(), other.to_numpy(), method="asymp").statistic) if len(one) and len(other) else None
