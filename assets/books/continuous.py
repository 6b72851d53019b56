"""When a session's market traded continuously: by its calendar, less what the vendor's files and the book itself show.

What of a session is told here is read by every layer above: labels and indicators do not reach across the end of a stretch, no order of
ours fills outside of them, and pages show where the market was not trading.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from assets.books.events import NEVER
from assets.books.rebuild import ANEW, Books, applied
from assets.books.schema import TradingStretches
from assets.desk import NS
from assets.hours import Stretch, Window
from assets.lake import Lake

AUCTION_NS: Final = NS
"""A book that stays crossed for longer is an auction's, whoever says so or not: where buyers and sellers may trade, they do at once."""


def continuous(window: Window, raw: pl.DataFrame, made: Books, halts: Sequence[tuple[int, int]]) -> Window:
    """The session's stretches of continuous trading, each of one instrument.

    Args:
        window: by the calendar and the desk.
        raw: `raw_ticks` of the session.
        made: its books.
        halts: (begin, end) in UTC nanoseconds, as the vendor's files of schema status tell them.
    """
    instruments = _instruments(raw, made)
    shown = window.without(halts, "halt").without(_crossed(made, window.close_ns), "crossed")
    return shown.without([_unseen(made, *each) for each in instruments[1:]], "roll").rolled(instruments)


def rows_of(window: Window | None) -> pl.DataFrame:
    """`trading_stretches` of a session; none on a day without one."""
    stretches = [stretch for stretch in window.continuous if stretch.begin_ns < stretch.end_ns] if window else []
    return pl.DataFrame(stretches, schema=TradingStretches.empty().schema, orient="row")


def read_continuous(lake: Lake, window: Window | None, market: str, session: dt.date) -> Window | None:
    """The session's hours, by the calendar, with the stretches that its books have shown; None on a day without a session.

    Raises:
        LakeError: `trading_stretches` of the session is not in the lake.
    """
    if window is None:
        return None
    keys: Any = {"market": market, "session": session}
    found = tuple(Stretch(*row) for row in lake.read("trading_stretches", [*TradingStretches.empty().columns], **keys).iter_rows())
    return Window(window.open_ns, window.close_ns, found or (Stretch(window.close_ns, window.close_ns, "halt", "halt"),))


def _crossed(made: Books, close_ns: int) -> list[tuple[int, int]]:
    """From when to when the best bid was above the best ask for longer than trading could leave it there."""
    crossed, books = made.quarantine.filter(reason="crossed"), made.books
    following = np.searchsorted(books["row"].to_numpy(), crossed["row"].to_numpy())
    ends = np.append(books["ts_event"].to_numpy(), close_ns)[following]
    spells = crossed.select("ts_event", end=pl.Series(ends, dtype=pl.Int64)).group_by("end").agg(pl.col("ts_event").min()).sort("end")
    return [(begin, end) for end, begin in spells.iter_rows() if end - begin > AUCTION_NS]


def _unseen(made: Books, since: int, instrument: int) -> tuple[int, int]:
    """From when to when nobody could trade in another instrument: until its book has two sides."""
    whole = made.books.filter((pl.col("ts_event") >= since) & (pl.col("instrument_id") == instrument))
    whole = whole.filter(pl.col("bid_px_00") < pl.col("ask_px_00"))
    return since, whole["ts_event"][0] if whole.height else NEVER


def _instruments(raw: pl.DataFrame, made: Books) -> list[tuple[int, int]]:
    """(since, instrument_id) of each instrument that the records are of, one after another."""
    if raw.is_empty():
        return []
    first = (0, int(raw["instrument_id"][0]))
    if not raw.select(ANEW.any()).item():
        return [first]
    changed = applied(raw, made.quarantine).filter(ANEW)
    return [first, *changed.select("ts_event", "instrument_id").iter_rows()]
