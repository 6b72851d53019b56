"""The Dagster shell of the features floor."""

import datetime as dt
from typing import Any

import dagster as dg
import polars as pl

from assets.books.continuous import read_continuous
from assets.calendar import Calendar
from assets.desk import Desk
from assets.features.build import build
from assets.features.chosen import desk_indicators, desk_series
from assets.features.schema import contract
from assets.hours import Window
from assets.lake import Lake
from assets.shell import Shell, contract_check, result, told


def feature_table(desk: Desk) -> dg.AssetsDefinition:
    """The traded market's `feature_table`, from its own books and trades and every leader's."""
    shell = Shell(desk, "feature_table")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake
    kept = contract([indicator.name for indicator in desk_indicators(desk)])

    @shell.asset(
        description="Signed indicators at each change of the best prices and sizes, own and leaders', and the mid's move over the horizon.",
        kinds={"polars", "numba"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        with told():
            window = _hours(calendar, lake, market, session)
            if window is None:
                lake.write("feature_table", kept.empty(), kept, market=market, session=session)
                return result(context, 0, session="no session")
            books, trades = _ticks(lake, market, session)
            table = build(
                books,
                trades,
                {name: _ticks(lake, name, session) for name in desk.leaders},
                tick=desk.markets[market].tick,
                leader_ticks={name: desk.markets[name].tick for name in desk.leaders},
                horizon_ns=desk.horizon_ns,
                continuous=window,
                leaders_continuous={name: its for name in desk.leaders if (its := _hours(calendar, lake, name, session))},
                chosen=desk_indicators(desk),
                series=desk_series(desk),
            )
            lake.write("feature_table", table, kept, market=market, session=session)
        return _told(context, table)

    return asset


def _hours(calendar: Calendar, lake: Lake, market: str, session: dt.date) -> Window | None:
    return read_continuous(lake, calendar.window(market, session), market, session)


def checks(desk: Desk, market: str) -> list[dg.AssetChecksDefinition]:
    """The contract of the published partition, indicators included, held again for the record."""
    kept = contract([indicator.name for indicator in desk_indicators(desk)])
    return [contract_check(desk, market, "feature_table", kept, "session")]


def _ticks(lake: Lake, market: str, session: dt.date) -> tuple[pl.DataFrame, pl.DataFrame]:
    keys: Any = {"market": market, "session": session}
    return lake.read("clean_books", **keys), lake.read("trades", **keys)


def _told(context: dg.AssetExecutionContext, table: pl.DataFrame) -> dg.MaterializeResult[Any]:
    labelled = table.drop_nulls("label")
    names = [name for name, kind in table.schema.items() if kind == pl.Float32 and name != "label"]
    related = labelled.select(pl.corr(name, "label").fill_nan(None) for name in names).row(0)
    shown = pl.DataFrame({"indicator": names, "correlation with the label": related}, strict=False).drop_nulls()
    correlations = {f"correlation_{name}": value for name, value in shown.iter_rows()}
    counts = {"rows_own": int(table["own"].sum()), "rows_with_label": labelled.height}
    return result(context, table, shown.sort(pl.last().abs(), descending=True), **counts, **correlations)
