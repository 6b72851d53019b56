"""Order logs: what a broker's log holds of a trader's orders, read and checked (docs/order-logs.md).

A log has a line an event, in the order of time:

    new      an order was sent           ts: when we sent it
    cancel   its cancel was sent         ts: when we sent it
    fill     contracts of it traded      ts: the exchange's; price and quantity of the fill
    reject   the venue refused it        ts: any

The lines of an order agree: its side, its limit, its quantity and its time in force are those of its new. A reject is of the order, not
of its cancel, and ends it: it comes right after the new. A cancel may come after a fill, and a fill after a cancel: messages cross.

Nothing else is guessed from a log: an order that is neither cancelled nor filled rests until the close.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import polars as pl

from assets.desk import PRICE_UNIT, Market, UserError
from assets.fills.errors import FillsError
from assets.user_files import UserFileError, moments, numbers, plausible, read_table

EVENTS: Final = ("new", "cancel", "fill", "reject")
REQUIRED: Final = ("ts", "event", "order_id", "symbol", "side", "price", "quantity")
OPTIONAL: Final = {"time_in_force": "day", "liquidity": "maker"}
"""Columns that may be left out, and what is then meant. time_in_force: day rests, ioc never does; liquidity: maker or taker."""

_TIME: Final = "ts is whole nanoseconds since 1970 (UTC), or ISO 8601 with an offset, as 2026-10-05T14:30:00Z"
_HIGHEST: Final = 9e9
"""Above every price that 64 bits hold in 1e-9."""
_LARGEST: Final = 2**31 - 1
"""Contracts of an order, at most."""


class LogError(FillsError):
    """A log that cannot be set against the simulator; the message names the line and the remedy."""


def read_log(path: Path, market: Market) -> pl.DataFrame:
    """A log file in the form that the simulator works on.

    Returns:
        line, ts (int64 UTC nanoseconds), event, order_id (text), side (+1 buy, -1 sell), price (int64, 1e-9), quantity,
        time_in_force, liquidity.

    Raises:
        LogError: the file is not there or not CSV or Parquet, a column is unknown or missing, a value is of the wrong kind, or a line
            contradicts another.
    """
    try:
        raw = read_table(path)
    except UserError as error:
        raise LogError(str(error)) from None
    where = path.name
    unknown = [name for name in raw.columns if name not in (*REQUIRED, *OPTIONAL)]
    missing = [name for name in REQUIRED if name not in raw.columns]
    if unknown or missing:
        told = [f"unknown column {name!r}" for name in unknown] + [f"no column {name!r}" for name in missing]
        raise LogError(f"{where}: {', '.join(told)}: a log has {', '.join(REQUIRED)}, and may have {', '.join(OPTIONAL)}")
    raw = raw.with_columns(pl.lit(None, pl.String).alias(name) for name in OPTIONAL if name not in raw.columns)
    raw = raw.with_columns(line=pl.int_range(2, pl.len() + 2, dtype=pl.Int64)).filter(pl.any_horizontal(pl.exclude("line").is_not_null()))
    return check_log(_typed(raw, where), market, where)


def _typed(raw: pl.DataFrame, where: str) -> pl.DataFrame:
    """Each column in its type, once every value is of its kind; words are left to `check_log`."""

    def refuse(name: str, bad: pl.Series, told: str) -> None:
        if bad.any():
            line, given = raw.filter(bad).select("line", name).row(0)
            raise LogError(f"{where}, line {line}: {name} {given!r}: {told}")

    for name in ("event", "order_id", "symbol", "side", "time_in_force", "liquidity"):
        kind = raw.schema[name]
        if kind not in (pl.String, pl.Null) and not (name == "order_id" and kind.is_integer()):
            raise LogError(f"{where}: column {name} holds {kind}: write text" + (", or whole numbers" if name == "order_id" else ""))
    for name in ("price", "quantity"):
        if not (raw.schema[name].is_numeric() or raw.schema[name] in (pl.String, pl.Null)):
            raise LogError(f"{where}: column {name} holds {raw.schema[name]}, not numbers")
    if raw.schema["ts"].is_float() or raw.schema["ts"].is_decimal():
        raise LogError(f"{where}: column ts holds {raw.schema['ts']}, which cannot hold nanoseconds: {_TIME}")
    try:
        ts = moments(raw["ts"], zone_needed=True)
    except UserFileError as error:
        raise LogError(f"{where}: {error}") from None
    refuse("ts", ts.is_null() | ~plausible(ts).fill_null(value=False), _TIME)
    price, quantity = (numbers(raw[name]).fill_null(float("nan")) for name in ("price", "quantity"))
    refuse("price", ~(price.abs() < _HIGHEST), "a price is a number")
    refuse("quantity", ~((quantity == quantity.floor()) & (quantity.abs() <= _LARGEST)), "a quantity is whole contracts")
    return raw.select(
        "line",
        ts=ts,
        event=pl.col("event").cast(pl.String),
        order_id=pl.col("order_id").cast(pl.String),
        symbol=pl.col("symbol").cast(pl.String),
        side=pl.col("side").cast(pl.String).replace_strict({"buy": 1, "sell": -1}, default=None, return_dtype=pl.Int8),
        price=(price * PRICE_UNIT).round().cast(pl.Int64),
        quantity=quantity.cast(pl.Int64),
        time_in_force=pl.col("time_in_force").cast(pl.String),
        liquidity=pl.col("liquidity").cast(pl.String),
    )


def check_log(log: pl.DataFrame, market: Market, where: str) -> pl.DataFrame:
    """The log without its symbols, once nothing in it contradicts the rest; what it leaves open as `OPTIONAL` says.

    Raises:
        LogError: another market's symbol, an unknown word, times that fall, an order that was never sent or sent twice, a line that
            says other of its order than the order itself, a cancel or reject that cannot be, anything after a reject, a price off the
            tick, or fills beyond an order's size.
    """

    def refuse(bad: pl.Expr, told: str) -> None:
        found = log.filter(bad.fill_null(value=True))
        if found.height:
            row = found.row(0, named=True)
            raise LogError(f"{where}, line {row['line']}: " + told.format(**row))

    refuse(pl.col("symbol") != market.symbol, f"symbol {{symbol}} is another market's: this desk trades {market.symbol}; filter the log")
    refuse(~pl.col("event").is_in(EVENTS), f"unknown event {{event!r}}: an event is {', '.join(EVENTS)}")
    refuse(pl.col("order_id").is_null(), "no order_id: each line names its order")
    refuse(pl.col("side").is_null(), "a side is buy or sell")
    refuse(~pl.col("time_in_force").fill_null("day").is_in(["day", "ioc"]), "time_in_force is day or ioc, not {time_in_force!r}")
    refuse(~pl.col("liquidity").fill_null("maker").is_in(["maker", "taker"]), "liquidity is maker or taker, not {liquidity!r}")
    refuse(pl.col("quantity") < 1, "quantity {quantity}: an order is of one contract or more")
    refuse(pl.col("price") % market.tick != 0, f"the price is no multiple of the tick size {market.tick_size} of {market.symbol}")
    refuse(pl.col("ts").diff().fill_null(0) < 0, "its time is before the line above: sort the log by ts")
    sent = (pl.col("event") == "new").cast(pl.Int64).cum_sum().over("order_id")
    refuse(sent == 0, "{event} of order {order_id}, which the log never sent: start the log before its new")
    refuse(sent > 1, "order {order_id} is sent twice: give each order its own order_id")
    _refuse_contradictions(refuse)
    force, liquidity = (pl.col(name).fill_null(meant) for name, meant in OPTIONAL.items())
    return log.with_columns(force.first().over("order_id"), liquidity).drop("symbol")


def _refuse_contradictions(refuse: Callable[[pl.Expr, str], None]) -> None:
    """What the lines of one order must agree in: its first is its new, and each later one repeats it or follows from it."""

    def first(name: str) -> pl.Expr:
        return pl.col(name).first().over("order_id")

    event, place = pl.col("event"), pl.int_range(pl.len()).over("order_id")
    is_fill = event == "fill"
    refuse(pl.col("side") != first("side"), "a {event} of the other side than its order {order_id}: an order's lines have its own side")
    repeated = ~is_fill & (place > 0)
    refuse(repeated & (pl.col("price") != first("price")), "a {event} at another price than its order {order_id}: repeat the order's")
    filled = (pl.col("quantity") * is_fill).cum_sum().over("order_id")
    open_still = first("quantity") - pl.when(event == "cancel").then(filled).otherwise(0)  # how much of it had been heard is the trader's
    agrees = pl.col("quantity").is_between(open_still, first("quantity"))
    refuse(repeated & ~agrees, "a {event} of {quantity} contracts is not of its order {order_id}: repeat the order's quantity")
    force, meant = pl.col("time_in_force"), OPTIONAL["time_in_force"]
    other_force = force.is_not_null() & (force != first("time_in_force").fill_null(meant))
    refuse(other_force, "order {order_id} was not sent with time_in_force {time_in_force}: repeat the order's, or leave it empty")
    worse = pl.col("side") * (pl.col("price") - first("price")) > 0
    refuse(is_fill & worse, "order {order_id} is filled at a worse price than its limit")
    rejected, cancelled = ((event == word).cast(pl.Int64).cum_sum().over("order_id") for word in ("reject", "cancel"))
    refuse((rejected > 0) & (event != "reject"), "a {event} of order {order_id}, which was rejected: nothing follows a reject")
    refuse(rejected > 1, "order {order_id} is rejected twice")
    late = "reject of order {order_id}, which the log has cancelled or filled: a reject is of the order itself; leave out that of a cancel"
    refuse((event == "reject") & (place > 1), late)
    refuse(cancelled > 1, "order {order_id} is cancelled twice: leave out the cancel that came to nothing")
    refuse(filled > first("quantity"), "order {order_id} is filled beyond its size")


def log_of(orders: pl.DataFrame, fills: pl.DataFrame) -> pl.DataFrame:
    """The log that `orders` and `fills` (or `live_orders` and `live_fills`) of a session would leave at a broker.

    A cancel on its way while its order was refused is left out: there was nothing to cancel.
    """
    refused = orders.filter(kind="new", answer="rejected")
    kept = orders.filter((pl.col("kind") == "new") | ~pl.col("order_id").is_in(refused["order_id"].implode()))
    at_once = orders.filter(pl.col("kind") == "new", pl.col("reason").is_in(["flatten", "close"]))["order_id"]
    force = pl.when(pl.col("order_id").is_in(at_once.implode())).then(pl.lit("ioc")).otherwise(pl.lit("day")).alias("time_in_force")
    of_order = [pl.col("order_id").cast(pl.String), pl.col("side"), pl.col("price"), pl.col("quantity"), force]
    maker = pl.lit("maker").alias("liquidity")
    sent = kept.select(pl.col("ts_request").alias("ts"), pl.col("kind").alias("event"), *of_order, maker)
    turned = refused.select(pl.col("ts_response").alias("ts"), pl.lit("reject").alias("event"), *of_order, maker)
    traded = fills.select(pl.col("ts_event").alias("ts"), pl.lit("fill").alias("event"), *of_order, pl.col("liquidity"))
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
        price=log["price"].to_numpy() / PRICE_UNIT,  # polars multiplies by the inverse, which is not the nearest number
        quantity="quantity",
        time_in_force="time_in_force",
        liquidity="liquidity",
    )
    told.write_parquet(path) if path.suffix == ".parquet" else told.write_csv(path)
