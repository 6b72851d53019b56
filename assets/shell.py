"""What every floor's Dagster shell has in common: the user's sentence, what a materialisation tells, the contract held for the record."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

import dagster as dg
import pandera.polars as pa
import polars as pl

from assets.calendar import Calendar
from assets.desk import Desk, UserError
from assets.lake import Lake, LakeError, check
from assets.lineage import RECIPES, Input, Partitions
from assets.provenance import AssetLedger, code_version, seen_by

OWNERS: Final = ["team:desk"]


class Shell:
    """What an asset is given by its recipe in lineage.py, and nothing else: of the desk its keys, of the lake its inputs.

    Attributes:
        desk: with the keys that the asset may read.
        calendar: of that desk.
        lake: reads what the asset is made from, where it is what the desk asks for, and stamps what the asset writes.
    """

    def __init__(self, desk: Desk, asset: str, market: str | None = None) -> None:
        self._whole, self._market, self._recipe = desk, market or desk.traded, RECIPES[asset]
        self._ledger = AssetLedger(desk, self._market, asset)
        self.desk = seen_by(desk, asset, self._market)
        self.calendar, self.lake = Calendar(self.desk), Lake(desk.lake, self._ledger)

    def asset(
        self, *, description: str, kinds: set[str]
    ) -> Callable[[Callable[[dg.AssetExecutionContext], dg.MaterializeResult]], dg.AssetsDefinition]:
        """Decorator of the function that makes a partition: key, group, partitions, dependencies and versions come from the recipe."""
        recipe, market = self._recipe, self._market

        def define(make: Callable[[dg.AssetExecutionContext], dg.MaterializeResult]) -> dg.AssetsDefinition:
            @dg.asset(
                key=[market, recipe.asset],
                group_name=recipe.layer,
                description=description,
                kinds=kinds,
                owners=OWNERS,
                tags={"market": market, "layer": recipe.layer},
                code_version=code_version(self._whole, recipe.asset, market),
                partitions_def=partitions_of(Calendar(self._whole), recipe.partitions),
                deps=[dep for given in recipe.inputs for dep in self._deps(given)],
            )
            def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
                with told():
                    self._ledger.begin(context.partition_key)
                made = make(context)
                return made._replace(data_version=dg.DataVersion(self._ledger.now.fingerprint))

            return asset

        return define

    def _deps(self, given: Input) -> list[dg.AssetDep]:
        calendar = Calendar(self._whole)
        mapping = {
            "same": None,
            "period": dg.TimeWindowPartitionMapping(),
            "training": calendar.training_mapping,
            "scoring": calendar.scoring_mapping,
        }[given.window]
        markets = {"own": (self._market,), "every": self._whole.all_markets, "leaders": self._whole.leaders}[given.markets]
        return [dg.AssetDep(dg.AssetKey([market, given.asset]), partition_mapping=mapping) for market in markets]


def partitions_of(calendar: Calendar, partitions: Partitions) -> dg.TimeWindowPartitionsDefinition:
    """Dagster's partitions of an asset."""
    return {
        "session": lambda: calendar.session_partitions,
        "traded": lambda: calendar.traded_partitions,
        "period": lambda: calendar.period_partitions,
        "scored": lambda: calendar.scored_partitions,
    }[partitions]()


@contextmanager
def told() -> Iterator[None]:
    """What a user can mend fails the run with its own sentence, and is not tried again."""
    try:
        yield
    except UserError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


TOLD_ROWS: Final = 40
"""Rows of a table in an asset's metadata: more is for SQL."""

COLUMN_LINEAGE: Final = "dagster/column_lineage"
"""The UI looks for it at a materialisation; it is declared with the definition, and `result` hands it on."""

Figure: TypeAlias = float | str | dg.MetadataValue[Any] | None


def result(
    context: dg.AssetExecutionContext, published: pl.DataFrame | int, table: pl.DataFrame | None = None, **figures: Figure
) -> dg.MaterializeResult[Any]:
    """What a materialisation tells: its rows, figures that the UI draws over partitions, and a table worth looking at.

    Args:
        context: of the asset.
        published: the table of the asset's name, or its rows.
        table: what a person would look at first.
        figures: numbers, words, pictures; what is None is left out.
    """
    rows = published if isinstance(published, int) else published.height
    told = {name: float(value) if isinstance(value, int | float) else value for name, value in figures.items() if value is not None}
    shown = {"table": markdown(table)} if table is not None and table.height else {}
    declared = context.assets_def.metadata_by_key[context.asset_key]
    lineage = {COLUMN_LINEAGE: declared[COLUMN_LINEAGE]} if COLUMN_LINEAGE in declared else {}
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, **told, **shown, **lineage})


def markdown(table: pl.DataFrame) -> dg.MarkdownMetadataValue:
    """A table as the UI shows it, its first forty rows."""
    with pl.Config(
        tbl_formatting="ASCII_MARKDOWN", tbl_hide_column_data_types=True, tbl_hide_dataframe_shape=True, tbl_rows=TOLD_ROWS, tbl_cols=-1,
        tbl_width_chars=10_000, fmt_str_lengths=200, float_precision=4, tbl_cell_numeric_alignment="RIGHT",
    ):  # fmt: skip
        return dg.MetadataValue.md(str(table.head(TOLD_ROWS)))


def contract_check(
    desk: Desk,
    market: str,
    table: str,
    contract: type[pa.DataFrameModel],
    partitions: Partitions,
    *,
    asset: str | None = None,
) -> dg.AssetChecksDefinition:
    """An asset check that holds a published partition of `table` against its contract again.

    `asset` is the last part of the key of the asset that writes the table, where it is not named after it.
    """

    def broken(lake: Lake, keys: dict[str, Any]) -> list[str]:
        check(lake.read(table, **keys), contract, f"{table} {market} {keys[_key(partitions)]}")
        return []

    return rule_check(
        desk,
        market,
        asset or table,
        f"{table}_contract",
        f"The published partition keeps the contract {contract.__name__}.",
        partitions,
        broken,
    )


def rule_check(
    desk: Desk,
    market: str,
    asset: str,
    name: str,
    description: str,
    partitions: Partitions,
    faults: Callable[[Lake, dict[str, Any]], list[str]],
    *,
    blocking: bool = False,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetChecksDefinition:
    """An asset check of a rule, partition by partition.

    Args:
        desk, market, asset: whose check it is; `asset` is the last part of the key.
        name, description: as the UI shows them.
        partitions: the asset's own.
        faults: one sentence for each way in which the partition of these keys breaks the rule; what cannot be read breaks it too.
        blocking: whether what comes after in the same run is held back.
        severity: of a failure.
    """
    days = partitions_of(Calendar(desk), partitions)

    @dg.asset_check(asset=dg.AssetKey([market, asset]), name=name, description=description, partitions_def=days, blocking=blocking)
    def held(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        try:
            found = faults(Lake(desk.lake), {"market": market, _key(partitions): context.partition_key})
        except LakeError as error:
            found = [str(error)]
        return dg.AssetCheckResult(passed=not found, severity=severity, description="; ".join(found) or None)

    return held


def _key(partitions: Partitions) -> str:
    return "period" if partitions in ("period", "scored") else "session"
