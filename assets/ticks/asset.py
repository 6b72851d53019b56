"""The Dagster shell of the ground floor: one asset a market, `raw_ticks`."""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets.desk import Desk, Market
from assets.hours import Window
from assets.lake import Lake
from assets.shell import Shell, contract_check, result, rule_check, told
from assets.ticks.dbn import Opening, stream_records, until_damage
from assets.ticks.schema import MBO_COLUMNS, RawTicks, Recording, TradingHalts
from assets.ticks.source import DbnFolder, open_source


def raw_ticks(desk: Desk, market: str, opening: Callable[[], Opening] | None = None) -> dg.AssetsDefinition:
    """A session's records exactly as they arrived, typed; the vendor's files stay beside them.

    `opening` makes what follows a book by order up to the session's begin, so that its snapshot can go before the records
    (`books.opening`; what a record means is decided there). Without it such a session begins with what its own records bring.
    """
    shell = Shell(desk, "raw_ticks", market)
    desk, calendar, lake = shell.desk, shell.calendar, shell.lake

    @shell.asset(
        description=f"Every record of {market} as it arrived from the {desk.provenance}, in the order of the vendor's files.",
        kinds={"polars", "parquet"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        with told():
            span = calendar.span(market, session)
            source = open_source(desk)
            paths, halted = source.fetch(market, session), source.halts(market, session)
            for fault in source.faults.values() if isinstance(source, DbnFolder) else ():
                context.log.warning("%s; it was passed over", fault)
            frames: Iterable[pl.DataFrame] = [pl.DataFrame(schema=MBO_COLUMNS)]
            damage: list[str] = []
            if span and paths:
                frames = until_damage(_records(paths, desk.markets[market], span, opening), damage)
            written = lake.write_parts("raw_ticks", frames, RawTicks, market=market, session=session)
            damage += source.lacks(market, session)
            for sentence in damage:
                context.log.warning("%s; %d records are kept, the session is marked incomplete", sentence, written.rows)
            halts = pl.DataFrame(halted, schema=TradingHalts.empty().schema, orient="row")
            lake.write("trading_halts", halts, TradingHalts, market=market, session=session)
            row = _recording(paths, written.rows, damage)
            lake.write("recording", row, Recording, market=market, session=session)
        vendor = {path.name: _sha256(path) for path in paths}
        return result(
            context,
            written.rows,
            row,
            session=None if paths else "no session",
            records=written.rows,
            vendor_bytes=row["bytes"][0],
            vendor_sha256=dg.MetadataValue.json(vendor),
            provenance=desk.provenance,
            incomplete="; ".join(damage) or None,
        )

    return asset


def _records(paths: list[Path], market: Market, span: Window, opening: Callable[[], Opening] | None) -> Iterator[pl.DataFrame]:
    return stream_records(
        paths,
        symbol=market.symbol,
        publisher=market.publisher,
        begin_ns=span.open_ns,
        end_ns=span.close_ns,
        opening=opening() if opening else None,
    )


def _recording(paths: list[Path], records: int, damage: list[str]) -> pl.DataFrame:
    row = {
        "files": len(paths),
        "bytes": sum(path.stat().st_size for path in paths),
        "records": records,
        "complete": not damage,
        "damage": "; ".join(damage) or None,
    }
    return pl.DataFrame([row], schema=Recording.empty().schema)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checks(desk: Desk, market: str) -> list[dg.AssetChecksDefinition]:
    """The contracts, held once more against what was published, and whether the session is all there."""

    def damage(lake: Lake, keys: dict[str, Any]) -> list[str]:
        return lake.read("recording", **keys)["damage"].drop_nulls().to_list()

    complete = rule_check(
        desk,
        market,
        "raw_ticks",
        "recording_complete",
        "Every record of the vendor's files could be read.",
        "session",
        damage,
        severity=dg.AssetCheckSeverity.WARN,
    )
    return [
        contract_check(desk, market, "raw_ticks", RawTicks, "session"),
        contract_check(desk, market, "recording", Recording, "session", asset="raw_ticks"),
        contract_check(desk, market, "trading_halts", TradingHalts, "session", asset="raw_ticks"),
        complete,
    ]
