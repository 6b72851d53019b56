"""The pass (a numba kernel) over records that bring their own levels: schemas mbp-10, mbp-1, tbbo and trades.

No order is known, so nothing is rebuilt: each record states the levels that its venue (or vendor) had
after it, a trade's those before it. What is left is to see which events are complete and which can be.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

from assets.books import codes
from assets.books.codes import KEPT, UNDEF_PRICE, Int
from assets.books.compiled import kernel
from assets.books.events import EVENT_KEPT, EVENT_LAST, Events, arrive, following, judge, leave, note, publish, refuse, stamps
from assets.books.schema import BOOK_COLUMNS, LEVELS
from assets.books.steps import BooksError


class Quotes(NamedTuple):
    """Columns of records with levels, one element a record."""

    ts_event: np.ndarray
    ts_recv: np.ndarray
    action: np.ndarray
    price: np.ndarray
    size: np.ndarray
    flags: np.ndarray
    sequence: np.ndarray
    bid: np.ndarray
    """Best bid, UNDEF_PRICE where there is none."""
    ask: np.ndarray
    torn: np.ndarray
    """bool: levels that cannot be."""
    anew: np.ndarray
    """bool: the first record of another instrument than the one before it."""


@kernel
def replay_quotes(quotes: Quotes, events: Events, now: np.ndarray, alone: bool) -> None:
    """Judge every record; `alone` is whether each is an event of its own, else F_LAST ends one."""
    for i in range(quotes.action.size):
        if quotes.anew[i]:
            leave(events, now, i)
        code = stamps(quotes, now, i)
        if code == KEPT:
            code = _possible(quotes, i)
        note(quotes, events, now, i, code, code == codes.BROKEN_LEVELS)
        if quotes.anew[i]:
            arrive(now)
        if (alone or quotes.flags[i] & codes.F_LAST) and code != codes.OUT_OF_SEQUENCE:
            last = now[EVENT_LAST]
            if now[EVENT_KEPT] > 0 and judge(events, now, i + 1, quotes.bid[last], quotes.ask[last]):
                publish(quotes, events, now)
            following(now, i + 1)
    refuse(events, now, quotes.action.size, codes.UNFINISHED)


@kernel
def _possible(quotes: Quotes, i: Int) -> Int:
    action = quotes.action[i]
    if action not in (codes.ADD, codes.CANCEL, codes.MODIFY, codes.CLEAR, codes.TRADE, codes.FILL, codes.NONE):
        return codes.UNKNOWN_ACTION
    if action == codes.TRADE and (quotes.price[i] == UNDEF_PRICE or quotes.price[i] == -UNDEF_PRICE - 1):
        return codes.UNDEFINED_PRICE
    if action == codes.TRADE and quotes.size[i] == 0:
        return codes.ZERO_SIZE
    if action == codes.TRADE and quotes.size[i] > codes.MAX_SIZE:
        return codes.EXCESSIVE_SIZE
    return codes.BROKEN_LEVELS if quotes.torn[i] else KEPT


def quotes_of(raw: pl.DataFrame) -> Quotes:
    """The columns that the pass needs; the best prices and the soundness of the levels are seen from the levels."""
    depth = carried(raw)
    torn = pl.any_horizontal(pl.lit(False), *(_torn(side, level) for side in ("bid", "ask") for level in range(1, depth)))
    none = pl.lit(UNDEF_PRICE, pl.Int64)
    bid, ask = (pl.when(_present(side, 0)).then(f"{side}_px_00").otherwise(none) if depth else none for side in ("bid", "ask"))
    seen = raw.with_columns(bid.alias("bid"), ask.alias("ask"), torn.alias("torn"))
    return Quotes(*(frozen(seen[name]) for name in Quotes._fields))


def frozen(column: pl.Series) -> np.ndarray:
    """A column as a read-only array: one kind of array for every frame, so that a kernel is compiled once."""
    values = column.to_numpy().view()
    values.flags.writeable = False
    return values


def carried(raw: pl.DataFrame) -> int:
    """Levels a side that the records carry: 10, 1, or 0 for the schema trades."""
    return sum(f"bid_px_{level:02d}" in raw.columns for level in range(LEVELS))


def hold_to_sizes(raw: pl.DataFrame) -> None:
    """Refuse quotes that have prices and never a size: no level stands on them.

    Raises:
        BooksError: every size is 0.
    """
    levels = [(f"{side}_px_{level:02d}", f"{side}_sz_{level:02d}") for level in range(carried(raw)) for side in ("bid", "ask")]
    if any((raw[size] > 0).any() for _, size in levels):
        return
    if any((raw[price] != UNDEF_PRICE).any() for price, _ in levels):
        raise BooksError(
            "every quote has a size of 0, as some feeds of currencies send them: a book, its imbalances, its queues and so every fill need "
            "sizes; use a source that tells them"
        )


def all_trades(quotes: Quotes) -> bool:
    """Whether every record is a trade, as in the schemas tbbo and trades, where no flag ends an event."""
    return bool((quotes.action == codes.TRADE).all())


def levels_of(raw: pl.DataFrame, rows: np.ndarray) -> list[pl.Series]:
    """The columns of the ten levels at these records, null where there is no level or the schema carries none."""
    depth, chosen = carried(raw), raw[rows]
    return chosen.with_columns(
        (pl.when(_present(side, level)).then(f"{side}_{kind}_{level:02d}") if level < depth else pl.lit(None, dtype)).alias(
            f"{side}_{kind}_{level:02d}"
        )
        for level in range(LEVELS)
        for side in ("bid", "ask")
        for kind, dtype in (("px", pl.Int64), ("sz", pl.UInt32), ("ct", pl.UInt32))
    )[list(BOOK_COLUMNS)].get_columns()


def _present(side: str, level: int) -> pl.Expr:
    return (pl.col(f"{side}_px_{level:02d}") != UNDEF_PRICE) & (pl.col(f"{side}_sz_{level:02d}") > 0)


def _torn(side: str, level: int) -> pl.Expr:
    """A level behind an empty one, or not behind the one before it."""
    price, before = pl.col(f"{side}_px_{level:02d}"), pl.col(f"{side}_px_{level - 1:02d}")
    behind = price < before if side == "bid" else price > before
    return _present(side, level) & ~(_present(side, level - 1) & behind)
