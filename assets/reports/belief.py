"""Whether the simulation can be believed, in two tables: how well queues are known, and the live log beside its replay."""

from typing import Final

import polars as pl

from assets.desk import PRICE_UNIT
from assets.reports.page import Link, Section, Table, money, number, percent, plain
from assets.reports.tables import DeskTables
from assets.reports.truth import by_model, fidelity, models_query

_ORDERS: Final = "the same orders"
_POLICY: Final = "the same policy"


def belief(tables: DeskTables) -> list[Section]:
    """The section of the desk's page, which leads on to the page of the simulator's truth; none where nothing was measured."""
    parts = [table for table in (_queues(tables), _live(tables)) if table.rows.height]
    return [Section("Can the simulation be believed?", [*parts, Link("All of these measurements", "reconciliation.html")])] if parts else []


def _queues(tables: DeskTables) -> Table:
    columns = {
        "queue": ("Queue model", plain),
        "told_right": ("Told right", percent),
        "fill_rate": ("Filled", percent),
        "fill_rate_estimated": ("Filled by the model", percent),
        "time_error_mean_s": ("Time error,\N{NO-BREAK SPACE}s", number(1)),
        "queue_error": ("Queue error", number(1)),
        "orders": ("Orders", number()),
    }
    how = (
        "What became of real resting orders, and what each queue model says of them from levels and trades alone. Exact knows the orders: "
        "it is the check. Filled is the share that filled, in truth and by the model. Time error is the mean absolute error of the time to "
        "fill. Queue error counts contracts too many ahead; below zero the model is optimistic."
    )
    truth = tables.truth
    return Table("Queue models", how, by_model(fidelity(truth.shadow, truth.fits)), columns, models_query(truth.where))


def _live(tables: DeskTables) -> Table:
    columns = {
        "replayed": ("Replayed", plain),
        "filled_live": ("Filled live", number()),
        "filled_replay": ("Filled in the replay", number()),
        "missed": ("Missed", number()),
        "imagined": ("Imagined", number()),
        "pnl_live": ("P&L live", money),
        "pnl_replay": ("P&L in the replay", money),
        "gap": ("Gap", money),
        "gap_error": ("Error of the gap", number(2)),
        "sessions": ("Sessions", number()),
    }
    how = (
        "Live is the policy inside the exchange's own matching engine. The same orders are replayed on the records of that market. Missed "
        "orders filled live alone, imagined ones in the replay alone. The same policy is replayed on records without our orders, as for "
        f"all figures of this page. Gap is live less replay, {tables.unit}, with its standard error over the sessions: it holds what a "
        "replay cannot show, and chance."
    )
    sql = (
        f"with beside as (\n    select '{_ORDERS}' as replayed, filled_log as filled_live, filled_replay, missed, imagined,\n"
        f"        pnl_log as pnl_live, pnl_replay\n    from reconciliation\n    {tables.where} and own\n    union all\n"
        f"    select '{_POLICY}', round(live_fill_rate * live_orders), round(replay_fill_rate * replay_orders), null, null,\n"
        f"        live_net_pnl, replay_net_pnl\n    from live_against_replay\n    {tables.where})\n"
        "select replayed, count(*) as sessions, sum(filled_live) as filled_live, sum(filled_replay) as filled_replay,\n"
        "       sum(missed) as missed, sum(imagined) as imagined, sum(pnl_live) as pnl_live, sum(pnl_replay) as pnl_replay,\n"
        "       sum(pnl_live - pnl_replay) as gap, stddev_samp(pnl_live - pnl_replay) * sqrt(count(*)) as gap_error\n"
        "from beside group by replayed order by replayed"
    )
    return Table("Our live log beside its replay", how, beside(tables), columns, sql)


def beside(tables: DeskTables) -> pl.DataFrame:
    """Live and replay over the sessions that have both: a row for the live log's own orders, and one for the policy that sent them.

    Returns:
        replayed, sessions, filled_live, filled_replay (orders), missed, imagined (null of the policy: its orders are others),
        pnl_live, pnl_replay, gap, gap_error (standard error of the gap); no rows without a live log.
    """
    logged = tables.truth.rows.filter("own").join(tables.reports, on="session", how="semi")
    orders = logged.select("filled_replay", "missed", "imagined", "pnl_replay", filled_live="filled_log", pnl_live="pnl_log")
    policy = logged.select("session")
    for run, fills in (("live", tables.live), ("replay", tables.fills)):
        outcome = _outcome(fills, float(tables.multiplier)).rename({"filled": f"filled_{run}", "pnl": f"pnl_{run}"})
        policy = policy.join(outcome, on="session", how="left")
    both = [orders.with_columns(replayed=pl.lit(_ORDERS)), policy.drop("session").fill_null(0).with_columns(replayed=pl.lit(_POLICY))]
    gap = pl.col("pnl_live") - pl.col("pnl_replay")
    return (
        pl.concat(both, how="diagonal")
        .group_by("replayed", maintain_order=True)
        .agg(
            pl.col("filled_live", "filled_replay", "pnl_live", "pnl_replay").sum(),
            *(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()) for name in ("missed", "imagined")),
            sessions=pl.len(),
            gap=gap.sum(),
            gap_error=gap.std() * pl.len().sqrt(),
        )
    )


def _outcome(fills: pl.DataFrame, multiplier: float) -> pl.DataFrame:
    """Of each session: filled (orders) and pnl, fees paid, a position left at the last fill marked at the mid."""
    worth = pl.col("cash") + pl.col("position") * pl.col("mid") * multiplier
    return fills.group_by("session").agg(filled=pl.col("order_id").n_unique().cast(pl.Int64), pnl=worth.last() / PRICE_UNIT)
