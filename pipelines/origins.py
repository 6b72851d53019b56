"""Where the columns of each table come from, one table up: what the UI shows as column lineage.

Told of the table that an asset is named after or writes last. A pattern stands for the columns that match it and no earlier one; an
origin is `table.column`, and its column may be a pattern too. Columns that no pattern names are the asset's own: counts, settings,
times that it took.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Final

import dagster as dg

from assets.desk import Desk
from assets.features.chosen import desk_indicators
from assets.features.indicators import Indicator
from assets.features.indicators.external import External

_WRITERS: Final = {
    "indicators": "feature_table",
    "trades": "clean_books",
    "book_quality": "clean_books",
    "set_curves": "curve_model",
    "tuning_trials": "quoting_policy",
    "trial_sessions": "quoting_policy",
    "policy_variants": "quoting_policy",
    "orders": "simulated_fills",
    "fills": "simulated_fills",
    "equity": "simulated_fills",
    "live_ticks": "live_log",
    "live_orders": "live_log",
    "live_fills": "live_log",
}
"""The asset of a table that is not named after it."""

_KEYS: Final = ("market", "session", "period", "line")

_QUOTE: Final = ("raw_ticks.action", "raw_ticks.side", "raw_ticks.price", "raw_ticks.size", "raw_ticks.order_id")
_TOUCH: Final = ("clean_books.bid_px_00", "clean_books.ask_px_00")
_FORECAST: Final = ("predictions.ts_event", "predictions.prediction*")
_POLICY: Final = ("quoting_policy.*_weight", "quoting_policy.threshold", "quoting_policy.hysteresis", "quoting_policy.indicators")
_REPLAYED: Final = (*_QUOTE, *_FORECAST, *_POLICY)
_LEARNT: Final = ("curve_statistics.count", "curve_statistics.label_sum", "curve_statistics.gram")


def _of_curves(table: str) -> tuple[str, ...]:
    return tuple(f"{table}.{column}" for column in ("indicator", "lower", "upper", "value"))


ORIGINS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "clean_books": {
        "ts_event": ("raw_ticks.ts_event",),
        "ts_recv": ("raw_ticks.ts_recv",),
        "row": ("raw_ticks.line",),
        "records": ("raw_ticks.flags", "raw_ticks.line"),
        "instrument_id": ("raw_ticks.instrument_id",),
        "*_[0-9][0-9]": _QUOTE,
    },
    "feature_table": {"ts_event": ("clean_books.ts_event",), "row": ("clean_books.row",), "own": (), "*_px": _TOUCH, "label": _TOUCH},
    "curve_statistics": {
        "indicator": (),
        "count": ("indicators.*",),
        "label_*": ("indicators.*", "feature_table.label"),
        "rows": ("feature_table.label",),
        "gram": ("indicators.*",),
    },
    "indicator_scores": {"r2_*": ("indicators.*", "feature_table.label"), "rank_*": ("indicators.*", "feature_table.label")},
    "curve_model": {
        "indicator": ("indicator_scores.indicator", "indicator_scores.kept"),
        "count": ("curve_statistics.count",),
        "mean": ("curve_statistics.label_sum", "curve_statistics.count"),
        "value": _LEARNT,
        "error": _LEARNT,
        "r2_*": (*_LEARNT, "curve_statistics.label_square"),
    },
    "model_choice": {"r2_held_out": ("indicators.*", "feature_table.label"), "champion": ("feature_table.label",)},
    "predictions": {
        "ts_event": ("feature_table.ts_event",),
        "row": ("feature_table.row",),
        "prediction": ("indicators.*", *_of_curves("curve_model"), "model_choice.traded"),
        "prediction_*": ("indicators.*", "set_curves.indicators", *_of_curves("set_curves"), "model_choice.traded"),
        "label": ("feature_table.label",),
    },
    "model_scores": {
        "champion": ("model_choice.champion",),
        "traded": ("model_choice.traded",),
        "r2_held_out": ("model_choice.r2_held_out",),
        "mse": ("indicators.*", "feature_table.label"),
        "r2*": ("indicators.*", "feature_table.label"),
        "rank_correlation": ("indicators.*", "feature_table.label"),
    },
    "quoting_policy": {
        "net_pnl_train": (*_QUOTE, "indicators.*", *_LEARNT),
        "sharpe_train": (*_QUOTE, "indicators.*", *_LEARNT),
    },
    "fills": {"mid*": _TOUCH, "*": _REPLAYED},
    "live_fills": {"*": ("curve_model.value", "set_curves.value", "model_choice.traded", *_POLICY)},
    "policy_ablation": {"variant": (), "*": _REPLAYED},
    "what_if": {"assumption": (), "setting": (), "latency_ms": (), "queue*": (), "*": _REPLAYED},
    "shadow_orders": {"queue": (), "exponent": (), "markout*": (*_QUOTE, *_TOUCH), "*": _QUOTE},
    "queue_fit": {
        "exponent": ("shadow_orders.exponent", "shadow_orders.told_right"),
        "told_right_train": ("shadow_orders.missed", "shadow_orders.imagined", "shadow_orders.orders"),
        "orders": ("shadow_orders.orders",),
    },
    "reconciliation": {
        "*_log*": ("live_orders.order_id", "live_fills.*"),
        "*_replay*": ("live_orders.order_id", "live_ticks.*"),
        "missed": ("live_fills.order_id", "live_ticks.*"),
        "imagined": ("live_fills.order_id", "live_ticks.*"),
        "pnl_*": ("live_fills.side", "live_fills.price", "live_fills.quantity", "live_ticks.*"),
        "ks_*": ("live_fills.ts_event", "live_fills.price", "live_ticks.*"),
    },
    "performance_report": {
        "provenance": (),
        "unit": (),
        "net_pnl": ("fills.cash",),
        "gross_pnl": ("fills.cash", "fills.fee"),
        "fees": ("fills.fee",),
        "fills": ("fills.order_id",),
        "*contracts": ("fills.quantity", "fills.liquidity"),
        "orders": ("orders.order_id",),
        "cancelled": ("orders.answer",),
        "spread_captured": ("fills.price", "fills.mid", "fills.side", "fills.quantity"),
        "slippage": ("fills.price", "fills.mid", "fills.side", "fills.quantity"),
        "max_drawdown": ("equity.equity",),
        "*_position": ("equity.position",),
        "hold_pnl": _TOUCH,
        "r2": ("predictions.prediction", "predictions.label"),
        "mse": ("predictions.prediction", "predictions.label"),
        "rows_scored": ("predictions.label",),
        "label_square": ("predictions.label",),
        "*": ("fills.side", "fills.price", "fills.quantity", "fills.position"),
    },
}


def column_lineage(desk: Desk, market: str, table: str, columns: Mapping[str, Sequence[str]]) -> dg.TableColumnLineage:
    """The columns of a market's `table` with what they come from; columns: of every table, and under `indicators` those of
    `feature_table` that are indicators."""
    found = {}
    for column in columns[table]:
        origins = next((origins for pattern, origins in ORIGINS.get(table, {}).items() if fnmatch(column, pattern)), ())
        sources = [origin.split(".") for origin in origins if column not in _KEYS]
        deps = [(_WRITERS.get(above, above), name) for above, pattern in sources for name in columns[above] if fnmatch(name, pattern)]
        found[column] = [dg.TableColumnDep(dg.AssetKey([market, asset]), name) for asset, name in dict.fromkeys(deps) if name not in _KEYS]
    if table == "feature_table":
        found |= {indicator.name: _read(desk, indicator) for indicator in desk_indicators(desk)}
    return dg.TableColumnLineage({column: deps for column, deps in found.items() if deps})


def _read(desk: Desk, indicator: Indicator) -> list[dg.TableColumnDep]:
    """What an indicator reads: its market's levels, as many as it looks at, and the trades where its step asks for them."""
    if isinstance(indicator, External):
        return []
    levels = [
        f"{side}_{kind}_{level:02d}" for level in range(indicator.levels or 1) for side in ("bid", "ask") for kind in ("px", "sz", "ct")
    ]
    trades = ["price", "size", "aggressor"] if {"trades", "last"} & set(type(indicator)._step.__code__.co_names) else []
    key = dg.AssetKey([indicator.leader or desk.traded, "clean_books"])
    return [dg.TableColumnDep(key, column) for column in (*levels, *trades)]
