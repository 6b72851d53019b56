"""What the data was worth: quality of each recording, gaps, and what had to be left out."""

import datetime as dt

import polars as pl

from assets.desk import NS
from assets.reports.page import Exhibit, Table, Teller, number, percent, plain


def data_exhibits(quality: pl.DataFrame, refused: pl.DataFrame) -> list[Exhibit | Table]:
    """The quality of each market's sessions, and the reasons of what is in quarantine.

    Args:
        quality: rows of `book_quality`, each with its market, its session (date) and whether its recording is `complete`.
        refused: rows of `quarantine` counted: market, session, reason, rows.
    """
    days = quality["session"].drop_nulls().sort()
    where = f"where session between date '{days[0]}' and date '{days[-1]}'" if days.len() else ""
    return [_quality(quality, where), _quarantine(refused, where)]


def _quality(quality: pl.DataFrame, where: str) -> Table:
    columns: dict[str, tuple[str, Teller]] = {
        "session": ("Session", plain),
        "market": ("Market", plain),
        "whole": ("Recording", plain),
        "records": ("Records", number()),
        "events": ("Events", number()),
        "trades": ("Trades", number()),
        "quarantined": ("Quarantined", number()),
        "out_of_order": ("Out of order", number()),
        "gaps": ("Gaps", number()),
        "trusted_from": ("Believed from", _clock),
        "rolled_at": ("Rolled at", _clock),
        "crossed": ("Crossed, s", number(1)),
        "locked": ("Locked, s", number(1)),
        "feed": ("Feed, ms", number(1)),
        "off_tick_orders": ("Orders off the tick", number()),
        "off_tick_trades": ("Trades off the tick", number()),
        "front_share": ("Fills at the front", percent),
    }
    told = quality.sort("session", "market").with_columns(
        crossed=pl.col("crossed_ns") / NS,
        locked=pl.col("locked_ns") / NS,
        feed=pl.col("feed_p99_ns") / 1e6,
        whole=pl.when("complete").then(pl.lit("whole")).when(~pl.col("complete")).then(pl.lit("ends early")),
    )
    how = (
        "What each book was rebuilt from. A gap is a stretch of records that cannot be trusted because messages were lost. Before the "
        "time in 'Believed from' the records contradict the book near its best prices. At 'Rolled at' the market's symbol turned to "
        "another instrument, whose book began anew. Crossed and locked say how long the best bid stood above the best ask, or at it. Feed "
        "is the delay from exchange to capture that 99 of 100 records keep. Fills at the front are those that passed over no order ahead "
        "of them in the rebuilt queue. An order or a trade off the tick lies between two price steps and meets no queue."
    )
    sql = f"select q.*, r.complete from book_quality as q join recording as r using (market, session)\n{where} order by session, market"
    return Table("Quality", how, told, columns, sql)


def _quarantine(refused: pl.DataFrame, where: str) -> Table:
    columns = {
        "market": ("Market", plain),
        "reason": ("Reason", plain),
        "rows": ("Records", number()),
        "sessions": ("Sessions", number()),
    }
    told = (
        refused.group_by("market", "reason")
        .agg(rows=pl.col("rows").sum(), sessions=pl.col("session").n_unique().cast(pl.Int64))
        .sort("rows", "market", "reason", descending=[True, False, False])
    )
    how = "Records that are in no book, and why. The table quarantine keeps them."
    sql = (
        "select market, reason, count(*) as rows, count(distinct session) as sessions from quarantine\n"
        f"{where} group by all order by rows desc, market, reason"
    )
    return Table("Quarantine", how, told, columns, sql if told.height else None)


def _clock(ts: int | None) -> str:
    return plain(None if ts is None else f"{dt.datetime.fromtimestamp(ts // NS, dt.UTC):%H:%M:%S}")
