"""What every asset is made from: the desk's keys, the tables above it in the stream, the code of its layer.

The one place that says so. Dagster's dependencies, the fingerprint of a partition (provenance.py) and what an asset may read at
all follow from it: an asset sees of the desk the keys that it or anything it is made from declares here, and of the lake the
partitions that it is made from. Whoever lets an asset read a new key of the desk adds the key to the asset's `keys`, here; a key
that no number depends on goes into `NEUTRAL` or `JUDGING` with the reason. A test knows every key of the desk.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Window = Literal["same", "period", "training", "scoring"]
"""Which partitions of an input: of the same key; of the session's period; of the sessions that a period is trained on, or also trades."""

Partitions = Literal["session", "traded", "period", "scored"]
"""Whose keys an asset has: every session, the traded ones, every period, those that have sessions to be scored on."""


@dataclass(frozen=True)
class Input:
    """An asset that another is made from."""

    asset: str
    markets: Literal["own", "every", "leaders"] = "own"
    window: Window = "same"


@dataclass(frozen=True)
class Recipe:
    """What an asset is made from."""

    asset: str
    layer: str
    partitions: Partitions
    tables: tuple[str, ...]
    """Those that it writes."""
    inputs: tuple[Input, ...] = ()
    keys: tuple[str, ...] = ()
    """Of the desk, dotted, `*` for any; `{market}` is the asset's own, `{every}` each of the desk's."""
    simulated: tuple[str, ...] = ()
    """Further keys where the source is the simulated exchange."""
    blocking: tuple[str, ...] = ()
    """Further keys where a session that fails a check is held back: it is judged again when they change."""
    outside: str | None = None
    """`module:function` that tells what else it is made from: (desk, market, partition) to names and fingerprints, None: not known now."""
    every_market: bool = False
    """Leaders have it too."""

    @property
    def key(self) -> Literal["session", "period"]:
        """Name of the partition key in the lake."""
        return "period" if self.partitions in ("period", "scored") else "session"


STRUCTURE: Final = ("traded", "leaders", "first_session", "last_session", "retrain", "training_sessions")
"""Keys that say which partitions there are and which are made from which: they count through the list of a partition's inputs."""

HOURS: Final = ("hours", *(f"markets.{{every}}.{key}" for key in ("calendar", "zone", "hours", "days")))
"""Keys that say when the markets trade: what counts is the session's hours as the calendar gives them, in every market of the desk."""

OUTSIDE: Final = ("source.folder", "indicators.series.*.path")
"""Keys that lead to files: what counts is what is in them, as the `outside` of a recipe tells."""

NEUTRAL: Final[Mapping[str, str]] = {
    "home": "where things are kept is not what they are",
    "workers": "the same bytes for any number of workers",
    "trading.tuning_backend": "the same results on every backend",
    "source.budget_per_session": "whether a session is bought, not what is in it",
}
"""Keys that every asset may read and no number depends on, with the reason."""

JUDGING: Final[Mapping[str, str]] = {
    "name": "a title, on pages that every publication writes anew",
    "quality.*": "thresholds of asset checks: they judge what has been made, and count where that holds a session back (`blocking`)",
    "markets.*.fees*": "summed up in maker_fee and taker_fee when the desk is read",
}
"""Keys that no asset may read, with the reason why none has to."""

_REPLAY: Final = (Input("raw_ticks"), Input("clean_books"), Input("predictions"), Input("quoting_policy", window="period"))
"""What every asset needs that trades a session again: its market, its predictions and its period's policy."""


def _trained(*assets: str) -> tuple[Input, ...]:
    return tuple(Input(asset, window="training") for asset in assets)


RECIPES: Final[Mapping[str, Recipe]] = {
    recipe.asset: recipe
    for recipe in (
        Recipe(
            "raw_ticks",
            "ticks",
            "session",
            ("raw_ticks", "trading_halts", "recording"),
            keys=(
                "source.*",
                "markets.{market}.symbol",
                "markets.{market}.tick_size",
                "markets.{market}.currency",
                "markets.{market}.publisher",
            ),
            simulated=("traded", "leaders", "markets.{every}.symbol", "markets.{every}.tick_size"),
            outside="assets.ticks.source:vendor_files",
            every_market=True,
        ),
        Recipe(
            "clean_books",
            "books",
            "session",
            ("trades", "quarantine", "book_quality", "trading_stretches", "clean_books"),
            (Input("raw_ticks"),),
            blocking=("quality.*",),
            every_market=True,
        ),
        Recipe(
            "feature_table",
            "features",
            "session",
            ("feature_table",),
            (Input("clean_books", "every"),),
            keys=("horizon_seconds", "indicators.own", "indicators.leader", "indicators.series*"),
            outside="assets.features.chosen:series_of",
        ),
        Recipe(
            "curve_statistics",
            "curves",
            "session",
            ("curve_statistics",),
            (Input("feature_table"), Input("raw_ticks", "every")),
            keys=("train_on_incomplete",),
        ),
        Recipe(
            "indicator_scores",
            "curves",
            "period",
            ("indicator_correlations", "indicator_buckets", "indicator_trials", "indicator_scores"),
            _trained("feature_table", "curve_statistics"),
        ),
        Recipe(
            "curve_model",
            "curves",
            "period",
            ("set_curves", "curve_model"),
            (*_trained("curve_statistics"), Input("indicator_scores")),
            keys=("indicators.drop_redundant", "indicators.sets"),
        ),
        Recipe(
            "model_choice",
            "curves",
            "period",
            ("model_choice",),
            (*_trained("feature_table", "curve_statistics"), Input("indicator_scores")),
            keys=("indicators.drop_redundant", "indicators.sets", "model"),
        ),
        Recipe(
            "model_scores",
            "curves",
            "scored",
            ("model_importance", "model_scores"),
            (
                Input("feature_table", window="scoring"),
                *_trained("curve_statistics"),
                Input("indicator_scores"),
                Input("model_choice"),
            ),
        ),
        Recipe(
            "predictions",
            "curves",
            "traded",
            ("predictions",),
            (Input("feature_table"), Input("curve_model", window="period"), Input("model_choice", window="period")),
        ),
        Recipe(
            "quoting_policy",
            "fills",
            "period",
            ("tuning_trials", "trial_sessions", "policy_variants", "quoting_policy"),
            (
                *_trained("raw_ticks", "clean_books", "feature_table", "curve_statistics"),
                Input("indicator_scores"),
                Input("curve_model"),
                Input("model_choice"),
            ),
            keys=(
                "trading.*",
                "markets.{market}.multiplier",
                "markets.{market}.lot_size",
                "markets.{market}.maker_fee",
                "markets.{market}.taker_fee",
                "markets.{market}.limits.*",
            ),
        ),
        Recipe("simulated_fills", "fills", "traded", ("orders", "equity", "fills"), _REPLAY),
        Recipe(
            "live_log",
            "fills",
            "traded",
            ("live_ticks", "live_orders", "live_fills"),
            (Input("clean_books", "leaders"), *(Input(of, window="period") for of in ("curve_model", "model_choice", "quoting_policy"))),
        ),
        Recipe("policy_ablation", "fills", "traded", ("policy_ablation",), _REPLAY),
        Recipe("what_if", "fills", "traded", ("what_if",), _REPLAY),
        Recipe("shadow_orders", "fills", "session", ("shadow_orders",), (Input("raw_ticks"), Input("clean_books"))),
        Recipe("queue_fit", "fills", "period", ("queue_fit",), _trained("shadow_orders")),
        Recipe("reconciliation", "fills", "traded", ("reconciled_orders", "reconciliation"), (Input("live_log"),)),
        Recipe(
            "performance_report",
            "reports",
            "traded",
            ("performance_report",),
            (
                *(Input(of) for of in ("simulated_fills", "what_if", "predictions", "feature_table")),
                Input("clean_books", "every"),
                Input("curve_model", window="period"),
            ),
        ),
    )
}
"""By asset, in the order of the stream."""

WRITER: Final[Mapping[str, Recipe]] = {table: recipe for recipe in RECIPES.values() for table in recipe.tables}
"""The recipe of the asset that writes a table."""
