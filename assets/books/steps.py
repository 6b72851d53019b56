"""The price step of a market, seen from its book, and what lies between two steps.

Resting orders define the step, trades do not: a midpoint print, an average or a hidden trade may have any price. And of the orders
those near the touch: a stub quote at 0.0001, a leg of a spread, an order of the day before say nothing of how the market is quoted.
"""

from typing import Final

import numpy as np
import polars as pl

from assets.books import codes
from assets.books.schema import LEVELS
from assets.desk import PRICE_UNIT, UserError

NEAR: Final = 20
"""Median spreads from the best price within which a level is near the touch."""

SEEN: Final = 0.999
"""Share of what is seen near the touch that defines the step; what is seen more rarely is an exception."""

ENOUGH: Final = 50
"""Different prices in a row that would not all be multiples of a larger step if the step were not larger there."""

OFF_TICK: Final = ("off_tick_orders", "off_tick_price", "off_tick_trades")
"""Columns of `book_quality` that `off_tick` tells."""


class BooksError(UserError):
    """A book of which something cannot be told; the message says what and the remedy."""


def infer_tick(books: pl.DataFrame) -> int:
    """The largest step of which the prices near the touch are multiples, in 1e-9; but for one in a thousand.

    Args:
        books: `clean_books`.

    Raises:
        BooksError: there are no prices, or the step is another one above some price than below it.
    """
    seen = _near(books)
    if not seen.height:
        raise BooksError("the file has no book with a price in it: give a file of schema mbo, mbp-10 or mbp-1 with at least one order")
    often = seen.sort("count", "price", descending=[True, False])
    counts = often["count"].to_numpy()
    prices = np.sort(often["price"].to_numpy()[np.cumsum(counts) - counts < SEEN * counts.sum()])
    tick = int(np.gcd.reduce(np.abs(prices)))
    if tick == 0:
        raise BooksError("the only price in the file's book is 0, which tells no price step: give a longer stretch of the market")
    _hold_to_one(prices, tick)
    return tick


def _near(books: pl.DataFrame) -> pl.DataFrame:
    """The prices of levels near the touch, each with how many events show it."""
    quoted = books.filter(pl.col("bid_px_00") < pl.col("ask_px_00"))
    books = quoted if quoted.height else books
    spreads = (quoted["ask_px_00"] - quoted["bid_px_00"]).to_numpy()
    reach = NEAR * int(np.median(spreads)) if quoted.height else 0
    shown = [
        books.filter((pl.col(column) - pl.col(f"{side}_px_00")).abs() <= reach)[column].alias("price").value_counts(name="count")
        for side in ("bid", "ask")
        for column in (f"{side}_px_{level:02d}" for level in range(LEVELS))
        if column in books.columns
    ]
    return pl.concat(shown).group_by("price").agg(pl.col("count").cast(pl.Int64).sum())


def _hold_to_one(prices: np.ndarray, tick: int) -> None:
    """Refuse prices (rising) that step more widely on one side of some price than on the other."""
    for name, ordered in (("above", prices[::-1]), ("below", prices)):
        common = np.gcd.accumulate(np.abs(ordered))
        if len(common) > ENOUGH and common[ENOUGH] > tick:
            wide = common[ENOUGH]
            edge = ordered[np.flatnonzero(common == wide)[-1]]
            raise BooksError(
                f"prices step by {wide / PRICE_UNIT:g} {name} {edge / PRICE_UNIT:g} and by {tick / PRICE_UNIT:g} on its other side: a tick "
                "that varies with the price is not simulated; give a stretch of the market that stays on one side"
            )


def off_tick(raw: pl.DataFrame, trades: pl.DataFrame, tick: int) -> dict[str, int | None]:
    """Figures of `book_quality`: what of a session's `raw_ticks` and `trades` lies between two ticks (in 1e-9)."""
    by_order = "order_id" in raw.columns
    resting = raw.filter(pl.col("action").is_in((codes.ADD, codes.MODIFY))) if by_order else raw
    shown = ["price"] if by_order else [name for name in raw.columns if "_px_" in name]
    between = [(pl.col(name) % tick != 0) & (pl.col(name) != codes.UNDEF_PRICE) for name in shown]
    astray = resting.filter(pl.any_horizontal(pl.lit(False), *between))
    prices = [astray[name].filter((astray[name] % tick != 0) & (astray[name] != codes.UNDEF_PRICE)) for name in shown]
    return {
        "off_tick_orders": astray.height,
        "off_tick_price": next((int(each[0]) for each in prices if each.len()), None),
        "off_tick_trades": int((trades["price"] % tick != 0).sum()),
    }
