"""How good a session is: thresholds, each with its reason, and the figures that the asset shows."""

from typing import Final

import polars as pl

from assets.books.rebuild import Books

MAX_REFUSED_SHARE: Final = 0.01
"""Of records: the real ES session refuses 0.01 %; a session that lost its snapshot refuses far more."""

MAX_CROSSED_SHARE: Final = 0.1
"""Of records in events left out because the book was crossed or locked in continuous trading. One venue's sound book has
none, quotes consolidated from many venues lock for 2 to 5 % of them; a book that lost a cancel stays crossed for good."""

MIN_FRONT_SHARE: Final = 0.95
"""Of fills: the real ES session has 1.0. Venues that do not match first in, first out fall below, and there
no queue position is exact."""

MAX_FEED_NS: Final = 1_000_000_000
"""Median delay of capture: a whole second means that the clock of one side is wrong."""


def faults(quality: pl.DataFrame) -> list[str]:
    """A sentence for each threshold that a session's `book_quality` row misses."""
    told: list[str] = []
    for row in quality.filter(pl.col("records") > 0).iter_rows(named=True):
        refused, crossed = row["refused"] / row["records"], row["crossed"] / row["records"]
        if refused > MAX_REFUSED_SHARE:
            told.append(f"{refused:.2%} of the records could not be applied, above {MAX_REFUSED_SHARE:.2%}: see quarantine by reason")
        if crossed > MAX_CROSSED_SHARE:
            told.append(f"{crossed:.2%} of the records left a crossed or locked book outside an auction, above {MAX_CROSSED_SHARE:.2%}")
        if row["front_share"] is not None and row["front_share"] < MIN_FRONT_SHARE:
            told.append(f"{row['front_share']:.1%} of the fills hit the front of our queue, below {MIN_FRONT_SHARE:.0%}: it is wrong")
        if row["feed_p50_ns"] is not None and not 0 <= row["feed_p50_ns"] <= MAX_FEED_NS:
            told.append(f"the median record was captured {row['feed_p50_ns'] / 1e9:.3f} s after its event: one of the clocks is wrong")
    return told


def unaccounted(records: int, books: pl.DataFrame, quarantine: pl.DataFrame) -> int:
    """Raw records that are neither in a published event nor in quarantine (below 0: counted twice)."""
    return records - int(books["records"].sum()) - quarantine.height


def summary(made: Books) -> dict[str, float | int]:
    """The quality row and the quarantine by reason, as an asset's metadata: no more than a few dozen figures."""
    figures = {name: value for name, value in made.quality.row(0, named=True).items() if value is not None}
    reasons = made.quarantine["reason"].value_counts(sort=True).iter_rows()
    return {"dagster/row_count": made.books.height, **figures, **{f"quarantine_{reason}": count for reason, count in reasons}}
