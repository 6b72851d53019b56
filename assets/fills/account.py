"""The account told again from the fills alone, to hold the simulator to its own tables."""

import polars as pl

from assets.desk import Market, Trading


def faults(orders: pl.DataFrame, fills: pl.DataFrame, market: Market, trading: Trading) -> list[str]:
    """What does not add up in a session's `orders` and `fills`, a sentence each; an empty list is as it should be."""
    signed = pl.col("side") * pl.col("quantity")
    told = fills.select(
        position=signed.cum_sum() != pl.col("position"),
        cash=(-signed * (pl.col("price") // market.tick) * market.tick_value - pl.col("fee")).cum_sum() != pl.col("cash"),
        limit=pl.col("position").abs() > trading.most_position,
    ).sum()
    sizes = orders.filter(kind="new").select("order_id", size="quantity")
    filled = fills.group_by("order_id").agg(pl.col("quantity").sum()).join(sizes, on="order_id", how="left")
    beyond = filled.filter(pl.col("size").is_null() | (pl.col("quantity") > pl.col("size"))).height
    sentences = {
        "fills after which the position is not their sum": told["position"].item(),
        "fills after which the cash is not what they cost": told["cash"].item(),
        f"fills that pass the limit of {trading.most_position} contracts": told["limit"].item(),
        "orders that filled beyond their size": beyond,
    }
    return [f"{count} {what}" for what, count in sentences.items() if count]
