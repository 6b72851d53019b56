"""The Dagster shell of the top floor: one report a session, and the desk's pages."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pandera.polars as pa
import polars as pl

from assets.books.continuous import read_continuous
from assets.books.schema import BookQuality, Quarantine
from assets.calendar import Calendar
from assets.curves.schema import CurveModel, ModelImportance, ModelScores
from assets.desk import Desk
from assets.fills.evidence import sharpe
from assets.fills.schema import Fills, LiveFills, Orders, PolicyAblation, QuotingPolicy, WhatIf
from assets.fills.truth.schema import QueueFit, ReconciledOrders, Reconciliation, ShadowOrders
from assets.lake import Lake
from assets.provenance import code_of, open_lake
from assets.reports.history import desk_page, week_page, weeks
from assets.reports.lab import write_lab_page
from assets.reports.origin import explained
from assets.reports.page import Link, write
from assets.reports.picture import picture
from assets.reports.schema import PerformanceReport
from assets.reports.session import SessionTables, session_page
from assets.reports.statistics import sessions_a_year, weekly_table
from assets.reports.tables import DeskTables
from assets.reports.truth import TruthTables, truth_page
from assets.shell import OWNERS, Shell, contract_check, result, told
from assets.ticks.schema import Recording

_DESK_INPUTS: Final = (
    "performance_report",
    "policy_ablation",
    "what_if",
    "quoting_policy",
    "indicator_scores",
    "curve_model",
    "model_scores",
    "live_log",
    "queue_fit",
    "reconciliation",
)


def performance_report(desk: Desk) -> dg.AssetsDefinition:
    """The traded market's `performance_report`, and its page, session by session."""
    shell = Shell(desk, "performance_report")

    @shell.asset(
        description="One line a session: P&L after fees, where it came from, what it risked; and the page a person reads.",
        kinds={"polars", "plotly"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        with told():
            return _report_session(context, shell.desk, shell.lake, dt.date.fromisoformat(context.partition_key))

    return asset


def desk_report(desk: Desk) -> dg.AssetsDefinition:
    """The pages of every week and of the desk's whole history, from what the lake has published."""
    market = desk.traded

    @dg.asset(
        key="desk_report",
        group_name="reports",
        description="The desk's pages: weeks, equity curve, drawdown, whether it may be luck, the model and its rivals, the data; "
        "and whether its fills can be believed.",
        kinds={"plotly"},
        owners=OWNERS,
        tags={"market": market, "layer": "reports"},
        code_version=code_of("reports"),
        deps=[
            *(dg.AssetKey([market, table]) for table in _DESK_INPUTS),
            *(dg.AssetKey([name, "clean_books"]) for name in desk.all_markets),
            dg.AssetKey("warehouse"),
        ],
    )
    def asset() -> dg.MaterializeResult:
        with told():
            tables = read_desk(desk)
            for monday in weeks(tables):
                write(desk.reports / f"week-{monday}.html", week_page(tables, monday))
            for period in tables.labs:
                write_lab_page(desk, period)
            waits = _all(open_lake(desk), "reconciled_orders", ReconciledOrders, market, "session")
            write(desk.reports / "reconciliation.html", truth_page(tables.truth, waits))
            # The index last: it leads to the others.
            write(desk.reports / "index.html", desk_page(tables))
        return dg.MaterializeResult(metadata=_desk_metadata(desk, tables))

    return asset


def checks(desk: Desk, market: str) -> list[dg.AssetChecksDefinition]:
    """The contract of the published partition, held again for the record."""
    return [contract_check(desk, market, "performance_report", PerformanceReport, "traded")]


def read_desk(desk: Desk) -> DeskTables:
    """Every published row that the desk's pages tell of."""
    lake = open_lake(desk)
    reports = _all(lake, "performance_report", PerformanceReport, desk.traded, "session")
    quality, refused = _read_data(lake, desk.all_markets)
    return DeskTables(
        desk=desk.name,
        name=desk.traded,
        provenance=desk.provenance,
        multiplier=desk.markets[desk.traded].point_value,
        per_year=sessions_a_year(desk),
        policies=_all(lake, "quoting_policy", QuotingPolicy, desk.traded, "period"),
        reports=reports,
        fills=_explained_fills(desk, lake, reports["session"].to_list()),
        labs=_published(lake, "indicator_scores", desk.traded, "period"),
        curves=_all(lake, "curve_model", CurveModel, desk.traded, "period"),
        scores=_all(lake, "model_scores", ModelScores, desk.traded, "period"),
        importance=_all(lake, "model_importance", ModelImportance, desk.traded, "period"),
        ablation=_all(lake, "policy_ablation", PolicyAblation, desk.traded, "session"),
        what_if=_all(lake, "what_if", WhatIf, desk.traded, "session"),
        quality=quality,
        refused=refused,
        truth=read_truth(desk),
        live=_all(lake, "live_fills", LiveFills, desk.traded, "session"),
    )


def read_truth(desk: Desk) -> TruthTables:
    """Every published row that the page of the fills' truth tells of."""
    lake, market = open_lake(desk), desk.traded
    return TruthTables(
        name=market,
        currency=desk.markets[market].currency,
        provenance=desk.provenance,
        shadow=_all(lake, "shadow_orders", ShadowOrders, market, "session"),
        fits=_all(lake, "queue_fit", QueueFit, market, "period"),
        rows=_all(lake, "reconciliation", Reconciliation, market, "session"),
    )


def _read_data(lake: Lake, markets: Sequence[str], *sessions: dt.date) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Quality and counted quarantine of every market, of these sessions, or of all that are published."""
    rows: dict[str, list[pl.DataFrame]] = {"book_quality": [], "recording": [], "quarantine": []}
    for table, contract in (("book_quality", BookQuality), ("recording", Recording), ("quarantine", Quarantine)):
        for market in markets:
            every = _all(lake, table, contract, market, "session", *sessions)
            rows[table].append(every.with_columns(market=pl.lit(market)))
    quality, recording, refused = (pl.concat(parts) for parts in rows.values())
    whole = recording.select("market", "session", "complete")
    counted = refused.group_by("market", "session", "reason").agg(rows=pl.len().cast(pl.Int64))
    return quality.join(whole, on=["market", "session"], how="left"), counted.sort("session", "market", "reason")


def _explained_fills(desk: Desk, lake: Lake, sessions: list[dt.date]) -> pl.DataFrame:
    """The fills of these sessions, with what was known of their orders."""
    market = desk.markets[desk.traded]
    parts = [explained(Fills.empty(), Orders.empty(), market).with_columns(session=pl.lit(None, pl.Date))]
    for session in sessions:
        keys: Any = {"market": desk.traded, "session": session}
        orders = lake.read("orders", columns=["order_id", "kind", "queue_ahead", "score"], **keys)
        parts.append(explained(lake.read("fills", **keys), orders, market).with_columns(session=pl.lit(session)))
    return pl.concat(parts)


def write_session_page(desk: Desk, lake: Lake, session: dt.date) -> tuple[Path, SessionTables, pl.DataFrame]:
    """Write the page of a session that is no holiday from what the lake holds of it.

    Returns:
        Where the page is, the tables that it tells of, and their row of `performance_report`.

    Raises:
        UserError: a table of the session has not been published, was made for another desk, or the page cannot be written.
    """
    market = desk.traded
    keys: Any = {"market": market, "session": session}
    of_period: Any = {"market": market, "period": Calendar(desk).period_of(session)}
    quality, refused = _read_data(lake, desk.all_markets, session)
    tables = SessionTables(
        name=market,
        market=desk.markets[market],
        session=session,
        provenance=desk.provenance,
        orders=lake.read("orders", **keys),
        fills=lake.read("fills", **keys),
        equity=lake.read("equity", **keys),
        predictions=lake.read("predictions", **keys),
        quotes=lake.read("feature_table", columns=["ts_event", "bid_px", "ask_px"], **keys),
        curves=lake.read("curve_model", **of_period) if lake.exists("curve_model", **of_period) else None,
        quality=quality,
        refused=refused,
        window=read_continuous(lake, Calendar(desk).window(market, session), market, session),
        what_if=lake.read("what_if", **keys).with_columns(session=pl.lit(session)) if lake.exists("what_if", **keys) else None,
    )
    report = tables.summarise()
    monday = session - dt.timedelta(days=session.weekday())
    links = (Link("The desk", "index.html"), Link(f"Week of {monday}", f"week-{monday}.html"))
    page = desk.reports / f"session-{session}.html"
    write(page, session_page(tables, report, links=links, warehouse=True))
    return page, tables, report


def _report_session(context: dg.AssetExecutionContext, desk: Desk, lake: Lake, session: dt.date) -> dg.MaterializeResult:
    keys: Any = {"market": desk.traded, "session": session}
    if Calendar(desk).window(desk.traded, session) is None:
        lake.write("performance_report", PerformanceReport.empty(), PerformanceReport, **keys)
        return result(context, 0, session="no session")
    # The page first: where there is a row, there is the page that it leads to.
    page, tables, report = write_session_page(desk, lake, session)
    lake.write("performance_report", report, PerformanceReport, **keys)
    row = report.row(0, named=True)
    figures: dict[str, Any] = {name: value for name, value in row.items() if isinstance(value, int | float)}
    return result(context, report, None, **figures, page=dg.MetadataValue.path(page), day=dg.MetadataValue.md(picture(tables.equity, row)))


def _desk_metadata(desk: Desk, tables: DeskTables) -> dict[str, dg.MetadataValue | float | int]:
    net = tables.reports["net_pnl"].to_numpy()
    ratio = sharpe(net, tables.per_year)
    table = weekly_table(tables.reports, tables.per_year).with_columns(pl.col("week").cast(pl.String))
    columns = [dg.TableColumn(name, "float" if kind.is_numeric() else "string") for name, kind in table.schema.items()]
    return {
        "sessions": len(net),
        "net_pnl": float(net.sum()),
        **({"sharpe": ratio} if ratio is not None else {}),
        "page": dg.MetadataValue.path(desk.reports / "index.html"),
        "weeks": dg.MetadataValue.table([dg.TableRecord(row) for row in table.to_dicts()], dg.TableSchema(columns)),
    }


def _published(lake: Lake, table: str, market: str, key: str) -> list[dt.date]:
    """Dates of a market's published partitions that are what the desk asks for, rising."""
    return [dt.date.fromisoformat(keys[key]) for keys in lake.current(table) if keys["market"] == market]


def _all(lake: Lake, table: str, contract: type[pa.DataFrameModel], market: str, key: str, *only: dt.date) -> pl.DataFrame:
    """A market's partitions, all or only those of some dates, below one another, each with its date in the column `key`."""
    days = only or _published(lake, table, market, key)
    none = contract.empty().with_columns(pl.lit(None, pl.Date).alias(key))
    return pl.concat([none, lake.read_dates(table, days, market=market, key=key)]) if days else none
