"""`tickline reconcile`: a log of orders set against the simulator, session by session, and the wire and queue that fit it best."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from assets.books.continuous import read_continuous
from assets.calendar import Calendar
from assets.desk import Desk
from assets.fills.tape import make_tape
from assets.fills.truth.log import LogError, log_of, read_log, write_log
from assets.fills.truth.reconcile import Setting, held_out, reconcile
from assets.fills.window import read_records
from assets.provenance import open_lake


@dataclass(frozen=True)
class Reconciled:
    """A log beside its replay."""

    rows: pl.DataFrame
    """`reconciliation` of every session, with `session` in front."""
    best: Setting
    """The setting under which the earlier half of the sessions had fewest orders missed or imagined; of one session that session."""
    tested: list[dt.date]
    """The later half, which that choice did not see; empty where there is but one session."""
    refused: pl.DataFrame
    """Orders that the replay refused under the desk's own setting: session, refusal (its name), orders."""

    @property
    def own(self) -> pl.DataFrame:
        """The rows under the desk's own setting."""
        return self.rows.filter("own")

    @property
    def fitted(self) -> pl.DataFrame:
        """The rows of the tested sessions under the fitted setting."""
        of_best = [pl.col(name) == value for name, value in self.best._asdict().items()]
        return self.rows.filter(pl.col("session").is_in(self.tested), *of_best)


def reconcile_log(desk: Desk, file: Path, session: dt.date | None = None, *, with_limits: bool = False) -> Reconciled:
    """Set a log file against the simulator on the sessions that the lake holds.

    Args:
        desk: whose market and sessions they are.
        file: the log.
        session: this one alone; None: all.
        with_limits: whether the desk's own limits hold back the log's orders, too.

    Raises:
        LogError: the log cannot be read or replayed, or has a line outside the desk's sessions.
        LakeError: a session's records are not in the lake.
    """
    market, calendar, lake = desk.markets[desk.traded], Calendar(desk), open_lake(desk)
    log, tables, refused, placed = read_log(file, market), [], [], 0
    for day in calendar.sessions():
        window = calendar.window(desk.traded, day)
        if window is None:
            continue
        lines = log.filter(pl.col("ts").is_between(window.open_ns, window.close_ns, closed="left"))
        placed += lines.height
        if lines.is_empty() or session not in (None, day):
            continue
        tape = make_tape(read_records(lake, desk.traded, day), market)
        window = read_continuous(lake, window, desk.traded, day) or window
        rows, orders = reconcile(lines, tape, window, market, desk.trading, with_limits=with_limits)
        tables.append(rows.select(pl.lit(day).alias("session"), pl.all()))
        if rows.height:
            counted = orders.drop_nulls("refusal").group_by("refusal", maintain_order=True).len("orders")
            refused.append(counted.select(pl.lit(day).alias("session"), pl.all()))
    if placed < log.height:
        raise LogError(f"{file.name}: {log.height - placed} of {log.height} lines are outside the desk's sessions: cut the log")
    rows = pl.concat([table for table in tables if table.height] or [pl.DataFrame()])
    if rows.is_empty():
        raise LogError(f"{file.name}: no order was sent in {session or 'any session'}: there is nothing to reconcile")
    return Reconciled(rows, *held_out(rows), pl.concat(refused))


def export_live_log(desk: Desk, session: dt.date, file: Path) -> None:
    """Write our own live log of a session as a file of the format.

    Raises:
        LakeError: the session has not been traded.
    """
    lake = open_lake(desk)
    orders, fills = (lake.read(table, market=desk.traded, session=session) for table in ("live_orders", "live_fills"))
    write_log(log_of(orders, fills), desk.markets[desk.traded], file)
