"""How good a session is: what misses the desk's thresholds, and the figures that the asset shows."""

import polars as pl

from assets.books.rebuild import Books
from assets.desk import Quality


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
        if row["feed_p50_ns"] is not None and not 0 <= row["feed_p50_ns"] <= limits.max_feed_ms * 1e6:
            told.append(f"the median record was captured {row['feed_p50_ns'] / 1e9:.3f} s after its event: one of the clocks is wrong")
    return told


def unaccounted(records: int, books: pl.DataFrame, quarantine: pl.DataFrame) -> int:
    """Raw records that are neither in a published event nor in quarantine (below 0: counted twice)."""
    return records - int(books["records"].sum()) - quarantine.height


def summary(made: Books) -> dict[str, float | int]:
    """The quality row and the quarantine by reason, as an asset's metadata: no more than a few dozen figures."""
    figures = {name: value for name, value in made.quality.row(0, named=True).items() if value is not None}
    reasons = made.quarantine["reason"].value_counts(sort=True).iter_rows()
    return {**figures, **{f"quarantine_{reason}": count for reason, count in reasons}}
