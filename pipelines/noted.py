"""What is on record of a desk that a person ought to know: checks that failed or warned, records left out, recordings that end early."""

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

import dagster as dg
import polars as pl
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable as Executions
from sqlalchemy import select

from assets.books.quality import by_reason
from assets.calendar import Calendar
from assets.desk import NS, Desk
from pipelines.instance import open_instance
from pipelines.query import WarehouseError, query

_AT_ONCE: Final = 5_000
"""Evaluations of a check that are looked at: some years of sessions."""

_LATE_NS: Final = 60 * NS
"""So long after the open a book that is trusted only from then on is worth a word."""


def warnings(desk: Desk) -> list[str]:
    """A sentence for each kind of thing, with how often and where it was seen last; empty where all is well."""
    return [*_checks(desk), *_recorded(desk)]


def _checks(desk: Desk) -> Iterator[str]:
    """Checks whose latest evaluation of a partition did not pass."""
    if not (desk.home / "dagster" / "history").is_dir():
        return
    with open_instance(desk) as instance:
        for key in _ever_failed(instance):
            history = instance.event_log_storage.get_asset_check_execution_history(key, _AT_ONCE, status={Status.FAILED, Status.SUCCEEDED})
            latest = {record.partition or "": record for record in reversed(history)}
            failed = sorted(partition for partition, record in latest.items() if record.status is Status.FAILED)
            if failed:
                evaluation = latest[failed[-1]].evaluation
                told = (evaluation and evaluation.description) or "see the check in the UI"
                yield f"{key.asset_key.to_user_string()}, check {key.name}: {_counted(failed)}: {told}"


def _ever_failed(instance: dg.DagsterInstance) -> list[dg.AssetCheckKey]:
    storage: Any = instance.event_log_storage
    failed = select(Executions.c.asset_key, Executions.c.check_name).where(Executions.c.execution_status == Status.FAILED.value).distinct()
    with storage.index_connection() as con:
        rows = [(dg.AssetKey.from_db_string(asset), name) for asset, name in con.execute(failed).fetchall()]
    return sorted((dg.AssetCheckKey(key, name) for key, name in rows if key), key=str)


def _recorded(desk: Desk) -> Iterator[str]:
    """What the tables of the warehouse say of the recordings and books of each market."""
    try:
        quality = query(desk, "SELECT market, session, records, quarantined, trusted_from, damage FROM data_quality")
        reasons = query(desk, "SELECT market, reason, count(*) AS count FROM quarantine GROUP BY ALL ORDER BY count DESC, reason")
    except WarehouseError:
        return  # there is none yet, or it says so itself when it is asked
    calendar = Calendar(desk)
    for market in desk.all_markets:
        rows = quality.filter(pl.col("market") == market, pl.col("records") > 0).sort("session")
        cut = rows.drop_nulls("damage")
        if cut.height:
            yield f"{market}: the recording ends early: {_counted(cut['session'].cast(pl.String).to_list())}: {cut['damage'][-1]}"
        if rows["quarantined"].sum():
            of_market = dict(reasons.filter(pl.col("market") == market).select("reason", "count").iter_rows())
            yield f"{market}: {by_reason(of_market, int(rows['records'].sum()))}"
        late = []
        for session, trusted in rows.select("session", pl.col("trusted_from").cast(pl.Int64)).iter_rows():
            window = calendar.window(market, session)
            if trusted is None or (window is not None and trusted > window.open_ns + _LATE_NS):
                late.append((str(session), trusted))
        if late:
            since = late[-1][1]
            told = "never" if since is None else f"from {dt.datetime.fromtimestamp(since // NS, dt.UTC):%H:%M:%S} UTC on"
            yield f"{market}: the book is not trusted from the open on: {_counted([day for day, _ in late])}: {told}"


def _counted(partitions: list[str]) -> str:
    last = f", the last {partitions[-1]}" if partitions[-1] else ""
    return f"{len(partitions)} partitions{last}" if len(partitions) > 1 else partitions[0] or "once"
