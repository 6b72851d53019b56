"""Dagster shell of the ground floor."""

import datetime as dt
import hashlib

import dagster as dg
import polars as pl

from assets.calendar import Calendar
from assets.desk import Desk, DeskError
from assets.lake import Lake, LakeError, check
from assets.ticks.dbn import TicksError, read_records
from assets.ticks.schema import MBO_COLUMNS, RawTicks
from assets.ticks.source import open_source

TABLE = "raw_ticks"


def raw_ticks(desk: Desk, market: str) -> dg.AssetsDefinition:
    """The session's records, exactly as they arrived, typed."""
    calendar = Calendar(desk)

    @dg.asset(
        key=[market, TABLE],
        group_name="ticks",
        description=f"Every record of {market} in a session as it arrived from the {desk.provenance}; the vendor's file stays beside it.",
        kinds={"python", "polars", "parquet"},
        owners=["team:desk"],
        tags={"market": market, "layer": TABLE},
        code_version="1",
        partitions_def=calendar.session_partitions,
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        try:
            window = calendar.window(market, session)
            paths = open_source(desk).fetch(market, session)
            if window is None or not paths:
                written = Lake(desk.lake).write(TABLE, pl.DataFrame(schema=MBO_COLUMNS), RawTicks, market=market, session=session)
                return dg.MaterializeResult(metadata={"dagster/row_count": 0, "session": "no session", "sha256": written.sha256})
            frame = read_records(paths, symbol=desk.markets[market].symbol, end_ns=window.close_ns)
            written = Lake(desk.lake).write(TABLE, frame, RawTicks, market=market, session=session)
        except (TicksError, DeskError, LakeError) as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
        vendor = {str(path.name): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": written.rows,
                "records": float(written.rows),
                "vendor_bytes": float(sum(path.stat().st_size for path in paths)),
                "vendor_sha256": dg.MetadataValue.json(vendor),
                "sha256": written.sha256,
                "provenance": desk.provenance,
            }
        )

    return asset


def checks(desk: Desk, market: str) -> list[dg.AssetChecksDefinition]:
    """The contract, held once more against what was published."""

    @dg.asset_check(
        asset=[market, TABLE],
        name="contract",
        description="The published partition keeps the RawTicks contract.",
        partitions_def=Calendar(desk).session_partitions,
    )
    def contract(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        key = {"market": market, "session": context.partition_key}
        try:
            frame = Lake(desk.lake).read(TABLE, **key)
            check(frame, RawTicks, f"{TABLE} {market} {context.partition_key}")
        except LakeError as error:
            return dg.AssetCheckResult(passed=False, description=str(error))
        return dg.AssetCheckResult(passed=True, metadata={"rows": frame.height})

    return [contract]
