"""One session in one line: what was earned, what it cost, where it came from.

Everything is computed from the published frames `orders`, `fills`, `equity` and `predictions` alone,
so that each figure can also be had by SQL. Money enters as int64 in 1e-9 of the unit and leaves as float.
"""

import math
from typing import Final

import numpy as np
import polars as pl

from assets.desk import PRICE_UNIT, Market
from assets.hours import Window
from assets.reports.schema import PerformanceReport

COLUMNS: Final[tuple[str, ...]] = tuple(PerformanceReport.to_schema().columns)
"""Columns of `performance_report`, in order."""


def summarise(
    orders: pl.DataFrame,
    fills: pl.DataFrame,
    equity: pl.DataFrame,
    predictions: pl.DataFrame,
    market: Market,
    *,
    provenance: str,
    unit: str | None = None,
    window: Window | None = None,
) -> pl.DataFrame:
    """One row of `performance_report`.

    Args:
        orders: `orders` of the session.
        fills: `fills` of the session, in time order.
        equity: `equity` of the session; the account starts at zero before its first row.
        predictions: `predictions` of the session.
        market: for the worth of a price step; a multiplier of 1 / tick_size makes the unit a tick.
        provenance: where the prices came from.
        unit: name of the money; None: the market's currency.
        window: of the session, where its market may have turned to another instrument.

    Returns:
        One row, also for a session without fills, orders or quotes: its figures are then zero or null.
    """
    trips = round_trips(fills, equity, market)
    closed = trips.filter(pl.col("closed"))
    contracts, maker = pl.col("quantity"), pl.col("liquidity") == "maker"
    edge = pl.col("side") * (pl.col("mid") - pl.col("price")) * contracts * price_worth(market)
    traded = fills.select(
        contracts=contracts.sum(),
        maker_contracts=contracts.filter(maker).sum(),
        fees=pl.col("fee").sum() / PRICE_UNIT,
        spread_captured=edge.filter(maker).sum(),
        slippage=-edge.filter(~maker).sum(),
        max_position=pl.col("position").abs().max().fill_null(0),
    ).row(0, named=True)
    net = equity["equity"][-1] / PRICE_UNIT if equity.height else 0.0
    first_mid, last_mid = (equity["mid"][0], equity["mid"][-1]) if equity.height else (0, 0)
    jumped = jumps(equity, window)[-1] if equity.height else 0
    won, lost = closed.filter(pl.col("net") > 0)["net"], closed.filter(pl.col("net") < 0)["net"]
    row = {
        "provenance": provenance,
        "lot_size": float(market.lot_size),
        "unit": unit or market.currency,
        "net_pnl": net,
        "gross_pnl": net + traded["fees"],
        **traded,
        "fills": fills.height,
        "orders": orders.filter(pl.col("kind") == "new").height,
        "cancelled": orders.filter((pl.col("kind") == "cancel") & (pl.col("answer") == "cancelled")).height,
        "round_trips": closed.height,
        "wins": won.len(),
        "losses": lost.len(),
        "win_pnl": won.sum(),
        "loss_pnl": lost.sum(),
        "long_pnl": trips.filter(pl.col("direction") == 1)["net"].sum(),
        "short_pnl": trips.filter(pl.col("direction") == -1)["net"].sum(),
        "max_drawdown": drawdown(equity),
        "mean_position": _mean_position(equity),
        "hold_pnl": (last_mid - first_mid - jumped) * price_worth(market),
        "notional": abs(first_mid) * price_worth(market),
        **_score(predictions),
    }
    kinds = {name: column.dtype.type for name, column in PerformanceReport.to_schema().columns.items()}
    return pl.DataFrame({name: [row[name]] for name in COLUMNS}, schema=kinds)


def jumps(equity: pl.DataFrame, window: Window | None) -> pl.Series:
    """What the mid has changed so far where the market turned to another instrument, 1e-9: whoever holds a contract earns none of it."""
    rolls = window.rolls if window and equity.height else []
    mid = dict(equity.select("ts_event", "mid").iter_rows()) if rolls else {}
    return equity.select(
        sum(((pl.col("ts_event") >= after) * (mid[after] - mid[before]) for before, after in rolls), pl.lit(0, pl.Int64)).alias("jumps")
    ).to_series()


def price_worth(market: Market) -> float:
    """Money that one unit of price, 1e-9, is worth on one contract."""
    return float(market.point_value) / PRICE_UNIT


def round_trips(fills: pl.DataFrame, equity: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Each contract's way in and out, first in first out.

    From flat, FIFO pairs the i-th contract bought with the i-th contract sold, whatever the position did in between:
    the one that came first is the entry. A contract without a partner is open and is marked at the last mid.

    Returns:
        A row a contract in order of entry: direction (+1 bought first, -1 sold first), ts_entry, ts_exit (null while open), closed,
        gross, fees, net (money).
    """
    last_mid = equity["mid"][-1] if equity.height else None
    # A fill's fee is shared out among its contracts; in float, so that nothing is lost to rounding.
    paid = pl.col("fee") / pl.col("quantity") / PRICE_UNIT
    fill = pl.int_range(pl.len(), dtype=pl.Int64)
    each = fills.select("ts_event", "side", "price", "quantity", fee=paid, fill=fill).select(pl.all().repeat_by("quantity").explode())
    each = each.with_columns(unit=pl.int_range(pl.len()).over("side"))
    bought, sold = (each.filter(pl.col("side") == side).drop("side", "quantity") for side in (1, -1))
    pairs = bought.join(sold, on="unit", how="full", suffix="_sold", coalesce=True)
    closed = pl.col("fill").is_not_null() & pl.col("fill_sold").is_not_null()
    long = (pl.col("fill") < pl.col("fill_sold")).fill_null(pl.col("fill_sold").is_null())
    mark = pl.lit(last_mid, dtype=pl.Int64)
    told = pairs.sort(pl.min_horizontal("fill", "fill_sold"), "unit").select(
        direction=pl.when(long).then(1).otherwise(-1).cast(pl.Int8),
        ts_entry=pl.min_horizontal("ts_event", "ts_event_sold"),
        ts_exit=pl.when(closed).then(pl.max_horizontal("ts_event", "ts_event_sold")),
        closed=closed,
        gross=(pl.col("price_sold").fill_null(mark) - pl.col("price").fill_null(mark)) * price_worth(market),
        fees=pl.sum_horizontal("fee", "fee_sold"),
    )
    return told.with_columns(net=pl.col("gross") - pl.col("fees"))


def drawdown(equity: pl.DataFrame) -> float:
    """Deepest fall of the account below its highest point so far, the start at zero included; money."""
    if not equity.height:
        return 0.0
    worth = equity["equity"].to_numpy()
    return float((np.maximum.accumulate(np.maximum(worth, 0)) - worth).max()) / PRICE_UNIT


def _mean_position(equity: pl.DataFrame) -> float:
    lasted = np.diff(equity["ts_event"].to_numpy())
    held = np.abs(equity["position"].to_numpy()[:-1])
    span = int(lasted.sum())
    return float(held @ lasted) / span if span else 0.0


def _score(predictions: pl.DataFrame) -> dict[str, float | int | None]:
    scored = predictions.drop_nulls("label").select(pl.col("prediction", "label").cast(pl.Float64))
    squares = float((scored["label"] ** 2).sum())
    errors = float(((scored["label"] - scored["prediction"]) ** 2).sum())
    rows = scored.height
    return {
        "r2": 1 - errors / squares if squares > 0 and math.isfinite(errors) else None,
        "mse": errors / rows if rows and math.isfinite(errors) else None,
        "rows_scored": rows,
        "label_square": squares,
    }
