"""How good a session is: what misses the desk's thresholds, and the figures that the asset shows."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from assets.books.rebuild import Books
from assets.desk import Quality

MEANINGS: Final = {
    "unknown_action": "an action that no order book knows",
    "undefined_side": "an order on no side",
    "undefined_price": "an order or trade without a price",
    "zero_size": "an order or trade of nothing",
    "excessive_size": "a size above every venue's",
    "unknown_order": "an order that is not on the book: records before it are missing, or a snapshot to begin with",
    "duplicate_order": "an order that is there already: records of several books, or one file twice",
    "wrong_side": "an order that is on the other side: records of several books",
    "bad_timestamp": "no receive time (ts_recv), or one that its exchange time cannot have: give records with both times",
    "out_of_sequence": "a record that came late",
    "broken_levels": "levels that are not behind one another",
    "excessive_cancel": "a cancel of more than the order has",
    "crossed": "the best bid above the best ask: quotes of several venues or instruments in one book, or an auction",
    "locked": "the best bid at the best ask: quotes of several venues or instruments in one book, or an auction",
    "auction": "orders that cross before the open or after the close",
    "unfinished_event": "no record that ends their event (F_LAST)",
}
"""What records in quarantine have, by reason; docs/data-quality.md says more."""

_MOST: Final = 0.5
"""Of the records: where more than that are in quarantine, nothing else explains what comes of the rest."""


def by_reason(counts: Mapping[str, int], records: int) -> str:
    """How many records are in quarantine and why, the commonest reason first, in a sentence.

    Args:
        counts: records in quarantine by reason.
        records: of all.
    """
    (reason, count), *others = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = "".join(f", {count:,} {reason}" for reason, count in others)
    return f"{sum(counts.values()):,} of {records:,} records are in quarantine, {count:,} {reason} ({MEANINGS[reason]}){rest}"


def mostly_refused(quarantine: pl.DataFrame, records: int, timeless: int = 0) -> str | None:
    """Why most records are in quarantine, in a sentence; None where most are not.

    Args:
        quarantine: of a session or a file.
        records: of all of it.
        timeless: records without a receive time, where that is known.
    """
    if quarantine.height <= _MOST * records:
        return None
    counts = reasons(quarantine)
    untimed = f"{timeless:,} of {records:,} records have no receive time (ts_recv is 0): " if timeless and "bad_timestamp" in counts else ""
    return untimed + by_reason(counts, records)


def reasons(quarantine: pl.DataFrame) -> dict[str, int]:
    """Records in quarantine by reason, the commonest first."""
    return dict(quarantine["reason"].value_counts().sort(pl.col("count"), "reason", descending=[True, False]).iter_rows())


def faults(quality: pl.DataFrame, limits: Quality) -> list[str]:
    """A sentence for each threshold that a session's `book_quality` row misses."""
    told: list[str] = []
    for row in quality.filter(pl.col("records") > 0).iter_rows(named=True):
        refused, crossed = row["refused"] / row["records"], row["crossed"] / row["records"]
        if refused > limits.max_refused_share:
            told.append(
                f"{refused:.2%} of the records could not be applied, above {limits.max_refused_share:.2%}: see quarantine by reason"
            )
        if crossed > limits.max_crossed_share:
            told.append(
                f"{crossed:.2%} of the records left a crossed or locked book outside an auction, above {limits.max_crossed_share:.2%}"
            )
        if row["front_share"] is not None and row["front_share"] < limits.min_front_share:
            told.append(
                f"{row['front_share']:.1%} of the fills hit the front of our queue, below {limits.min_front_share:.0%}: it is wrong"
            )
        if row["silent_ns"] is not None and row["silent_ns"] > limits.max_silent_end_seconds * 1e9:
            told.append(f"the records end {row['silent_ns'] / 1e9:.0f} s before trading does: add what is missing, or correct the hours")
        if row["feed_p50_ns"] is not None and not 0 <= row["feed_p50_ns"] <= limits.max_feed_ms * 1e6:
            told.append(f"the median record was captured {row['feed_p50_ns'] / 1e9:.3f} s after its event: one of the clocks is wrong")
    return told


def unaccounted(records: int, books: pl.DataFrame, quarantine: pl.DataFrame) -> int:
    """Raw records that are neither in a published event nor in quarantine (below 0: counted twice)."""
    return records - int(books["records"].sum()) - quarantine.height


def summary(made: Books) -> dict[str, float | int]:
    """The quality row and the quarantine by reason, as an asset's metadata: no more than a few dozen figures."""
    figures = {name: value for name, value in made.quality.row(0, named=True).items() if value is not None}
    return {**figures, **{f"quarantine_{reason}": count for reason, count in reasons(made.quarantine).items()}}
