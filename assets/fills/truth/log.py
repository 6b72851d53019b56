"""Order logs: what a broker's log holds of a trader's orders, read and checked (docs/order-logs.md).

A log has a line an event, in the order of time:

    new      an order was sent           ts: when we sent it
    cancel   its cancel was sent         ts: when we sent it
    fill     contracts of it traded      ts: the exchange's; price and quantity of the fill
    reject   the venue refused it        ts: any

Nothing else is guessed from a log: an order that is neither cancelled nor filled rests until the close.
"""

from pathlib import Path
from typing import Final

import polars as pl

from assets.desk import PRICE_UNIT, Market
from assets.fills.errors import FillsError

EVENTS: Final = ("new", "cancel", "fill", "reject")
REQUIRED: Final = ("ts", "event", "order_id", "symbol", "side", "price", "quantity")
OPTIONAL: Final = {"time_in_force": "day", "liquidity": "maker"}
"""Columns that may be left out, and what is then meant. time_in_force: day rests, ioc never does; liquidity: maker or taker."""


class LogError(FillsError):
    """A log that cannot be set against the simulator; the message names the line and the remedy."""


def read_log(path: Path, market: Market) -> pl.DataFrame:
    """A log file in the form that the simulator works on.

    Returns:
        line, ts (int64 UTC nanoseconds), event, order_id (text), side (+1 buy, -1 sell), price (int64, 1e-9), quantity,
        time_in_force, liquidity.

    Raises:
        LogError: the file is not there or not CSV or Parquet, a column is unknown or missing, or a line contradicts another.
    """
    if not path.is_file():
        raise LogError(f"{path}: there is no such file")
    try:
        raw = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema_length=None)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise LogError(f"{path} is neither CSV nor Parquet: {str(error).splitlines()[0]}") from error
    where = path.name
    unknown = [name for name in raw.columns if name not in (*REQUIRED, *OPTIONAL)]
    missing = [name for name in REQUIRED if name not in raw.columns]
    if unknown or missing:
        told = [f"unknown column {name!r}" for name in unknown] + [f"no column {name!r}" for name in missing]
        raise LogError(f"{where}: {', '.join(told)}: a log has {', '.join(REQUIRED)}, and may have {', '.join(OPTIONAL)}")
    for name, meant in OPTIONAL.items():
        raw = raw.with_columns(pl.col(name).fill_null(meant) if name in raw.columns else pl.lit(meant).alias(name))
    try:
        log = raw.select(
            line=pl.int_range(2, pl.len() + 2, dtype=pl.Int64),
            ts=_nanoseconds(raw.schema["ts"]),
            event=pl.col("event").cast(pl.String),
            order_id=pl.col("order_id").cast(pl.String),
            symbol=pl.col("symbol").cast(pl.String),
            side=pl.col("side").replace_strict({"buy": 1, "sell": -1}, default=None, return_dtype=pl.Int8),
            price=(pl.col("price").cast(pl.Float64) * PRICE_UNIT).round().cast(pl.Int64),
            quantity=pl.col("quantity").cast(pl.Int64),
            time_in_force=pl.col("time_in_force").cast(pl.String),
            liquidity=pl.col("liquidity").cast(pl.String),
        )
    except pl.exceptions.PolarsError as error:
        raise LogError(
            f"{where}: a value is of the wrong kind ({str(error).splitlines()[0]}): ts is UTC, whole nanoseconds or ISO 8601 with an "
            "offset; price a number; quantity whole contracts"
        ) from error
    return check_log(log, market, where)


def check_log(log: pl.DataFrame, market: Market, where: str) -> pl.DataFrame:
    """The log without its symbols, once nothing in it contradicts the rest.

    Raises:
        LogError: another market's symbol, an unknown word, times that fall, an order that was never sent or sent twice, a price off
            the tick, or fills beyond an order's size.
    """

    def refuse(bad: pl.Expr, told: str) -> None:
        found = log.filter(bad.fill_null(value=True))
        if found.height:
            row = found.row(0, named=True)
            raise LogError(f"{where}, line {row['line']}: " + told.format(**row))

    refuse(pl.col("symbol") != market.symbol, f"symbol {{symbol}} is another market's: this desk trades {market.symbol}; filter the log")
    refuse(~pl.col("event").is_in(EVENTS), f"unknown event {{event!r}}: an event is {', '.join(EVENTS)}")
    refuse(pl.col("side").is_null(), "a side is buy or sell")
    refuse(~pl.col("time_in_force").is_in(["day", "ioc"]), "time_in_force is day or ioc, not {time_in_force!r}")
    refuse(~pl.col("liquidity").is_in(["maker", "taker"]), "liquidity is maker or taker, not {liquidity!r}")
    refuse(pl.col("quantity") < 1, "quantity {quantity}: an order is of one contract or more")
    refuse(pl.col("price") % market.tick != 0, f"the price is no multiple of the tick size {market.tick_size} of {market.symbol}")
    refuse(pl.col("ts").diff().fill_null(0) < 0, "its time is before the line above: sort the log by ts")
    sent = (pl.col("event") == "new").cast(pl.Int64).cum_sum().over("order_id")
    refuse(sent == 0, "{event} of order {order_id}, which the log never sent: start the log before its new")
    refuse(sent > 1, "order {order_id} is sent twice: give each order its own order_id")
    filled = (pl.col("quantity") * (pl.col("event") == "fill")).cum_sum().over("order_id")
    refuse(filled > pl.col("quantity").first().over("order_id"), "order {order_id} is filled beyond its size")
    return log.drop("symbol")


def log_of(orders: pl.DataFrame, fills: pl.DataFrame) -> pl.DataFrame:
    """The log that `orders` and `fills` (or `live_orders` and `live_fills`) of a session would leave at a broker."""
    ioc = (pl.col("kind") == "new") & pl.col("reason").is_in(["flatten", "close"])
    day, text = pl.lit("day").alias("time_in_force"), pl.col("order_id").cast(pl.String)
    of_order = [text, pl.col("side"), pl.col("price"), pl.col("quantity")]
    maker = pl.lit("maker").alias("liquidity")
    force = pl.when(ioc).then(pl.lit("ioc")).otherwise(pl.lit("day")).alias("time_in_force")
    refused = orders.filter(kind="new", answer="rejected")
    sent = orders.select(pl.col("ts_request").alias("ts"), pl.col("kind").alias("event"), *of_order, force, maker)
    turned = refused.select(pl.col("ts_response").alias("ts"), pl.lit("reject").alias("event"), *of_order, day, maker)
    traded = fills.select(pl.col("ts_event").alias("ts"), pl.lit("fill").alias("event"), *of_order, day, pl.col("liquidity"))
    log = pl.concat([sent, turned, traded]).sort("ts", maintain_order=True)
    return log.with_columns(line=pl.int_range(2, pl.len() + 2, dtype=pl.Int64)).select("line", pl.exclude("line"))


def write_log(log: pl.DataFrame, market: Market, path: Path) -> None:
    """Write a log as a file of the format: CSV, or Parquet where the name ends in .parquet."""
    told = log.select(
        "ts",
        "event",
        "order_id",
        symbol=pl.lit(market.symbol),
        side=pl.when(pl.col("side") > 0).then(pl.lit("buy")).otherwise(pl.lit("sell")),
        price=pl.col("price") / PRICE_UNIT,
        quantity="quantity",
        time_in_force="time_in_force",
        liquidity="liquidity",
    )
    told.write_parquet(path) if path.suffix == ".parquet" else told.write_csv(path)


def _nanoseconds(dtype: pl.DataType) -> pl.Expr:
    if dtype.is_integer():
        return pl.col("ts").cast(pl.Int64)
    ts = pl.col("ts").str.to_datetime(time_unit="ns", time_zone="UTC") if dtype == pl.String else pl.col("ts")
    return ts.cast(pl.Datetime("ns", "UTC")).cast(pl.Int64)
