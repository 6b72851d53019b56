"""The Dagster shell of the first floor: one asset a market writes five tables, `clean_books` last."""

import datetime as dt
from typing import Any

import dagster as dg
import polars as pl

from assets.books.continuous import continuous, rows_of
from assets.books.quality import faults, mostly_refused, summary, unaccounted
from assets.books.rebuild import rebuild
from assets.books.schema import BookQuality, CleanBooks, Quarantine, Trades, TradingStretches
from assets.desk import Desk
from assets.lake import Lake
from assets.shell import Shell, contract_check, result, rule_check, told


def clean_books(desk: Desk, market: str) -> dg.AssetsDefinition:
    """A session's rebuilt book, its trades, its quarantine and its quality."""
    shell = Shell(desk, "clean_books", market)
    desk, calendar, lake = shell.desk, shell.calendar, shell.lake

    @shell.asset(
        description=f"Ten levels a side of {market} after each completed event, rebuilt record by record; what cannot be is in quarantine.",
        kinds={"polars", "numba"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        keys = {"market": market, "session": context.partition_key}
        with told():
            window = calendar.window(market, dt.date.fromisoformat(context.partition_key))
            hours = (window.open_ns, window.close_ns) if window else (None, None)
            raw, halts = lake.read("raw_ticks", **keys), lake.read("trading_halts", **keys).rows()
            pauses = [*halts, *(window.pauses if window else [])]
            made = rebuild(raw, open_ns=hours[0], close_ns=hours[1], halts=pauses, tick=desk.markets[market].tick)
            stretches = rows_of(continuous(window, raw, made, halts) if window else None)
            lake.write("trading_stretches", stretches, TradingStretches, **keys)
            lake.write("trades", made.trades, Trades, **keys)
            lake.write("quarantine", made.quarantine, Quarantine, **keys)
            lake.write("book_quality", made.quality, BookQuality, **keys)
            # Last: that it is there says that the others are.
            lake.write("clean_books", made.books, CleanBooks, **keys)
        figures = summary(made)
        table = pl.DataFrame({"of the session": [*figures], "count": [float(count) for count in figures.values()]})
        return result(context, made.books, table, session=None if window else "no session", **figures)

    return asset


def checks(desk: Desk, market: str) -> list[dg.AssetChecksDefinition]:
    """Contracts of the five tables, conservation of records, and the desk's thresholds of quality."""
    tables = {"clean_books": CleanBooks, "trades": Trades, "quarantine": Quarantine, "book_quality": BookQuality}
    tables |= {"trading_stretches": TradingStretches}
    contracts = [contract_check(desk, market, table, contract, "session", asset="clean_books") for table, contract in tables.items()]

    def lost(lake: Lake, keys: dict[str, Any]) -> list[str]:
        missing = unaccounted(
            lake.read("raw_ticks", ["sequence"], **keys).height,
            lake.read("clean_books", ["records"], **keys),
            lake.read("quarantine", ["row"], **keys),
        )
        return [f"{missing} records are in no event and not in quarantine, or in more than one"] if missing else []

    def poor(lake: Lake, keys: dict[str, Any]) -> list[str]:
        quality = lake.read("book_quality", **keys)
        most = mostly_refused(lake.read("quarantine", ["reason"], **keys), int(quality["records"].sum()))
        return [*([most] if most else []), *faults(quality, desk.quality)]

    blocks = desk.quality.on_fault == "block"
    return [
        *contracts,
        rule_check(
            desk,
            market,
            "clean_books",
            "records_conserved",
            "Every raw record is in one published event or in quarantine, once.",
            "session",
            lost,
        ),
        rule_check(
            desk,
            market,
            "clean_books",
            "book_quality_thresholds",
            "The session's feed and book are good enough to be believed.",
            "session",
            poor,
            blocking=blocks,
            severity=dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN,
        ),
    ]
