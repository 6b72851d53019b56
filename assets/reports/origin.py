"""Where a session's money came from: each fill's worth at the fill and after, by hour, side, queue and score.

Edge is side * (mid at the fill - price): what a resting order earns of the spread, what a taking one pays.
Markout at h is side * (mid h later - price): the fill's worth after the market has moved. Both in money.
"""

from typing import Final

import polars as pl

from assets.desk import NS, PRICE_UNIT, Market
from assets.reports.summary import price_worth

HORIZONS: Final = {0: "mid", 1: "mid_1s", 5: "mid_5s", 10: "mid_10s", 60: "mid_60s"}
"""Seconds after a fill, and the column of `fills` that has the mid then."""

QUEUE_EDGES: Final = (1, 5, 10, 20, 50)
"""Contracts ahead on arrival: first in line, then bins that widen as the queue's effect fades."""


def explained(fills: pl.DataFrame, orders: pl.DataFrame, market: Market) -> pl.DataFrame:
    """`fills` with what was known of their order, and with money a contract.

    Returns:
        fills plus queue_ahead, score (of the new order), worth_0s, _1s, _5s, _10s, _60s and paid (money a contract).
    """
    asked = orders.filter(pl.col("kind") == "new").select("order_id", "queue_ahead", "score").unique("order_id", keep="first")
    worth = {
        f"worth_{seconds}s": pl.col("side") * (pl.col(mid) - pl.col("price")) * price_worth(market) for seconds, mid in HORIZONS.items()
    }
    known = fills.join(asked, on="order_id", how="left", maintain_order="left")
    return known.with_columns(**worth, paid=pl.col("fee") / pl.col("quantity") / PRICE_UNIT)


def made_of(report: pl.DataFrame) -> list[tuple[str, float]]:
    """Amounts that add up to net P&L over rows of `performance_report`: spread captured, slippage, moves, fees."""
    net, spread, slippage, fees = (float(report[name].sum()) for name in ("net_pnl", "spread_captured", "slippage", "fees"))
    return [("spread captured", spread), ("slippage", -slippage), ("moves", net + fees - spread + slippage), ("fees", -fees)]


def markouts(told: pl.DataFrame) -> pl.DataFrame:
    """Mean worth of a contract by seconds after the fill, fees not counted.

    Args:
        told: what `explained` returns.

    Returns:
        seconds, and money a contract in all, buy and sell, null where no fill has a mid that late; no rows without fills.
    """
    sides = {"all": pl.lit(True), "buy": pl.col("side") == 1, "sell": pl.col("side") == -1}
    rows = [
        told.select(
            pl.lit(seconds, dtype=pl.Int64).alias("seconds"), **{name: _mean(f"worth_{seconds}s", side) for name, side in sides.items()}
        )
        for seconds in HORIZONS
    ]
    return pl.concat(rows).clear() if not told.height else pl.concat(rows)


def breakdown(told: pl.DataFrame, by: pl.Expr) -> pl.DataFrame:
    """Fills grouped by anything: how many, and money a contract.

    Args:
        told: what `explained` returns.
        by: the key of the groups, null for fills that have none.

    Returns:
        key, fills, contracts, edge, markout_10s, markout_60s, paid (means a contract) and kept (the sum over contracts of what was left
        10 s after the fill, less fees), in the order of the key.
    """
    every = pl.lit(True)
    means = {"edge": "worth_0s", "markout_10s": "worth_10s", "markout_60s": "worth_60s", "paid": "paid"}
    counts = {"fills": pl.len().cast(pl.Int64), "contracts": pl.col("quantity").sum()}
    kept = ((pl.col("worth_10s") - pl.col("paid")) * pl.col("quantity")).sum()
    grouped = told.group_by(by.alias("key")).agg(**counts, **{name: _mean(column, every) for name, column in means.items()}, kept=kept)
    return grouped.sort("key", nulls_last=True)


def by_hour() -> pl.Expr:
    """Hour of the day in UTC."""
    return pl.col("ts_event") // (3600 * NS) % 24


def by_side() -> pl.Expr:
    """Bought or sold, and whether the order rested or took."""
    return pl.when(pl.col("side") == 1).then(pl.lit("bought, ")).otherwise(pl.lit("sold, ")) + pl.col("liquidity")


def by_queue() -> pl.Expr:
    """Contracts that were ahead when the order came to the exchange, in bins named by their first; null for orders that took."""
    ahead = pl.when(pl.col("liquidity") == "maker").then(pl.col("queue_ahead"))
    reached = [pl.when(ahead >= edge).then(edge).otherwise(0) for edge in (0, *QUEUE_EDGES)]
    return pl.when(ahead.is_not_null()).then(pl.max_horizontal(reached)).cast(pl.Int64)


def by_score() -> pl.Expr:
    """Quarter of the fills by the score of their order, 1 the lowest; null for orders that no score sent."""
    rank = pl.col("score").rank("ordinal").cast(pl.Int64)
    return (rank - 1) * 4 // pl.col("score").count().cast(pl.Int64) + 1


def _mean(column: str, which: pl.Expr) -> pl.Expr:
    """Mean over contracts of the fills that have a value; null when none has."""
    known = pl.col(column).is_not_null() & which
    weight = pl.col("quantity").filter(known).sum()
    return pl.when(weight > 0).then((pl.col(column) * pl.col("quantity")).filter(known).sum() / weight)
