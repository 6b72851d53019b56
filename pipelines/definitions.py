"""Everything Dagster is told: the assets of each market, written out, and what drives them."""

import os
import warnings
from pathlib import Path
from typing import Final

import dagster as dg

from assets.books import asset as books
from assets.books.opening import Opening
from assets.curves import asset as curves
from assets.desk import Desk, load_desk
from assets.features import asset as features
from assets.fills import asset as fills
from assets.fills.truth import asset as truth
from assets.reports import asset as reports
from assets.ticks import asset as ticks
from pipelines.jobs import jobs, schedules, sensors
from pipelines.layers import with_columns
from pipelines.warehouse import warehouse_assets
from pipelines.watch import dead_runs, failed_checks, freshness, record_when_landed, with_freshness

DESK_VARIABLE: Final = "TICKLINE_DESK"


def build_definitions(desk: Desk) -> dg.Definitions:
    """The whole graph of one desk; a test builds its own on a temporary folder."""
    with warnings.catch_warnings():
        # Partitioned asset checks are in preview; the lock pins the version that they were tried on.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return _definitions(desk)


def _definitions(desk: Desk) -> dg.Definitions:
    lineage: list[dg.AssetsDefinition] = []
    checks: list[dg.AssetChecksDefinition] = []
    for market in desk.all_markets:
        lineage += [ticks.raw_ticks(desk, market, Opening), books.clean_books(desk, market)]
        checks += [*ticks.checks(desk, market), *books.checks(desk, market)]
    lineage += [
        features.feature_table(desk),
        curves.curve_statistics(desk),
        curves.indicator_scores(desk),
        curves.curve_model(desk),
        curves.model_choice(desk),
        curves.model_scores(desk),
        curves.predictions(desk),
        fills.quoting_policy(desk),
        fills.simulated_fills(desk),
        fills.live_log(desk),
        fills.policy_ablation(desk),
        fills.what_if(desk),
        truth.shadow_orders(desk),
        truth.queue_fit(desk),
        truth.reconciliation(desk),
        reports.performance_report(desk),
    ]
    for floor in (features, curves, fills, truth, reports):
        checks += floor.checks(desk, desk.traded)
    published = [warehouse_assets(desk), reports.desk_report(desk)]
    at_last = [key for asset in published for key in asset.keys]
    defined = jobs(desk, at_last)
    by_name = {job.name: job for job in defined}
    policies = freshness(desk, at_last)
    return dg.Definitions(
        assets=[with_freshness(asset, policies) for asset in (*(with_columns(desk, asset) for asset in lineage), *published)],
        asset_checks=checks,
        jobs=defined,
        schedules=schedules(desk, by_name),
        sensors=[*sensors(desk, by_name), failed_checks(desk), dead_runs, *record_when_landed(desk, by_name["record_session"])],
        # A backfill from the lineage page runs as many sessions side by side as the desk has workers, and no process a step within one.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What the UI loads: the desk that TICKLINE_DESK names, else the default desk."""
    return build_definitions(load_desk(os.environ.get(DESK_VARIABLE) or Path(__file__).parents[1] / "desk.toml"))
