"""The tables of the lake as the warehouse knows them: contract, partition key, asset, size.

Names, types and descriptions of columns come from the floors' contracts and are written nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import dagster as dg
import duckdb
import pandera.polars as pa
import polars as pl

from assets.books.schema import BookQuality, CleanBooks, Quarantine, Trades, TradingStretches
from assets.curves.schema import (
    CurveModel,
    CurveStatistics,
    IndicatorBuckets,
    IndicatorCorrelations,
    IndicatorScores,
    IndicatorTrials,
    ModelChoice,
    ModelImportance,
    ModelScores,
    Predictions,
    SetCurves,
    prediction_of,
)
from assets.desk import Desk
from assets.features.chosen import desk_indicators
from assets.features.schema import FeatureTable
from assets.fills.schema import (
    Equity,
    Fills,
    LiveFills,
    LiveOrders,
    LiveTicks,
    Orders,
    PolicyAblation,
    PolicyVariants,
    QuotingPolicy,
    TrialSessions,
    TuningTrials,
    WhatIf,
)
from assets.fills.truth.schema import QueueFit, ReconciledOrders, Reconciliation, ShadowOrders
from assets.reports.schema import PerformanceReport
from assets.shell import COLUMN_LINEAGE
from assets.ticks.schema import RawTicks, Recording, TradingHalts
from pipelines.origins import column_lineage

LINE: Final = "line"
"""Name of the last column of every layer: the row's place within its partition, from 0."""


@dataclass(frozen=True)
class Layer:
    """One table of the lake."""

    table: str
    contract: type[pa.DataFrameModel]
    key: Literal["session", "period"]
    asset: str
    """Asset that writes it, the last part of its key."""
    big: bool = False
    """Stays in Parquet and is seen through a view; the others are copied into the warehouse."""
    every_market: bool = False
    """Leaders have it too."""

    @property
    def description(self) -> str:
        """First sentences of the contract's docstring, without the table's own name."""
        paragraph = " ".join((self.contract.__doc__ or "").split("\n\n", maxsplit=1)[0].split())
        told = paragraph.removeprefix(f"`{self.table}`: ")
        return told[:1].upper() + told[1:]

    @property
    def column_descriptions(self) -> dict[str, str]:
        """What the warehouse says of each column that has something to say."""
        described = {name: column.description for name, column in self.contract.to_schema().columns.items() if column.description}
        keys = {"market": "Name of the market in the desk file", self.key: _KEYS[self.key]}
        return keys | described | {LINE: "Place of the row within its partition, from 0: the order in which it was written"}

    @property
    def column_types(self) -> Mapping[str, str]:
        """DuckDB type of each column that the contract promises, partition keys first, `line` last."""
        return _column_types(self)


_KEYS: Final = {"session": "Trade date", "period": "First day of the sessions that the model trades: their Monday, or the session itself"}

LAYERS: Final[Mapping[str, Layer]] = {
    layer.table: layer
    for layer in (
        Layer("raw_ticks", RawTicks, "session", "raw_ticks", big=True, every_market=True),
        Layer("recording", Recording, "session", "raw_ticks", every_market=True),
        Layer("trading_halts", TradingHalts, "session", "raw_ticks", every_market=True),
        Layer("trading_stretches", TradingStretches, "session", "clean_books", every_market=True),
        Layer("quarantine", Quarantine, "session", "clean_books", every_market=True),
        Layer("clean_books", CleanBooks, "session", "clean_books", big=True, every_market=True),
        Layer("trades", Trades, "session", "clean_books", big=True, every_market=True),
        Layer("book_quality", BookQuality, "session", "clean_books", every_market=True),
        Layer("feature_table", FeatureTable, "session", "feature_table", big=True),
        Layer("curve_statistics", CurveStatistics, "session", "curve_statistics", big=True),
        Layer("indicator_scores", IndicatorScores, "period", "indicator_scores"),
        Layer("indicator_correlations", IndicatorCorrelations, "period", "indicator_scores"),
        Layer("indicator_buckets", IndicatorBuckets, "period", "indicator_scores"),
        Layer("indicator_trials", IndicatorTrials, "period", "indicator_scores"),
        Layer("curve_model", CurveModel, "period", "curve_model"),
        Layer("set_curves", SetCurves, "period", "curve_model"),
        Layer("predictions", Predictions, "session", "predictions", big=True),
        Layer("model_choice", ModelChoice, "period", "model_choice"),
        Layer("model_scores", ModelScores, "period", "model_scores"),
        Layer("model_importance", ModelImportance, "period", "model_scores"),
        Layer("quoting_policy", QuotingPolicy, "period", "quoting_policy"),
        Layer("tuning_trials", TuningTrials, "period", "quoting_policy"),
        Layer("trial_sessions", TrialSessions, "period", "quoting_policy"),
        Layer("policy_variants", PolicyVariants, "period", "quoting_policy"),
        Layer("policy_ablation", PolicyAblation, "session", "policy_ablation"),
        Layer("what_if", WhatIf, "session", "what_if"),
        Layer("orders", Orders, "session", "simulated_fills", big=True),
        Layer("equity", Equity, "session", "simulated_fills", big=True),
        Layer("fills", Fills, "session", "simulated_fills"),
        Layer("live_ticks", LiveTicks, "session", "live_log", big=True),
        Layer("live_orders", LiveOrders, "session", "live_log", big=True),
        Layer("live_fills", LiveFills, "session", "live_log"),
        Layer("shadow_orders", ShadowOrders, "session", "shadow_orders"),
        Layer("queue_fit", QueueFit, "period", "queue_fit"),
        Layer("reconciliation", Reconciliation, "session", "reconciliation"),
        Layer("reconciled_orders", ReconciledOrders, "session", "reconciliation", big=True),
        Layer("performance_report", PerformanceReport, "session", "performance_report"),
    )
}


def with_columns(desk: Desk, asset: dg.AssetsDefinition) -> dg.AssetsDefinition:
    """The asset, told the columns of the table that it writes and what they come from; of several tables, the last of LAYERS: that it
    is there says the others are."""
    indicators = {indicator.name: (type(indicator).__doc__ or "").splitlines()[0] for indicator in desk_indicators(desk)}
    sets = {prediction_of(name): f"The same from the desk's set of indicators {name!r}" for name in desk.indicators.sets}
    of_desk = {"feature_table": indicators, "predictions": sets}
    names = {table: [*layer.column_types, *of_desk.get(table, {})] for table, layer in LAYERS.items()} | {"indicators": [*indicators]}

    def described(spec: dg.AssetSpec) -> dg.AssetSpec:
        written = [layer for layer in LAYERS.values() if layer.asset == spec.key.path[-1] and len(spec.key.path) == 2]
        if not written:
            return spec
        layer = next((layer for layer in written if layer.table == layer.asset), written[-1])
        more = of_desk.get(layer.table, {})
        meanings, types = layer.column_descriptions | more, {**layer.column_types, **dict.fromkeys(more, "FLOAT")}
        columns = [dg.TableColumn(name, kind, description=meanings.get(name)) for name, kind in types.items()]
        told = {"dagster/column_schema": dg.TableSchema(columns), "dagster/table_name": layer.table}
        lineage = column_lineage(desk, spec.key.path[0], layer.table, names)
        # The lineage shows the last part of a key, which two markets share, and below it the kinds: the market's name tells them apart.
        return spec.merge_attributes(
            kinds={spec.key.path[0]}, metadata={**told, **({COLUMN_LINEAGE: lineage} if lineage.deps_by_column else {})}
        )

    return asset.map_asset_specs(described)


@cache
def _column_types(layer: Layer) -> dict[str, str]:
    columns: dict[str, Any] = {name: column.dtype.type for name, column in layer.contract.to_schema().columns.items()}
    empty = pl.DataFrame(schema={"market": pl.String, layer.key: pl.Date, **columns, LINE: pl.Int64})
    with duckdb.connect() as con:
        relation = con.from_arrow(empty.to_arrow())
        return dict(zip(relation.columns, map(str, relation.types), strict=True))
