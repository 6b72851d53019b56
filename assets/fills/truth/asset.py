"""The Dagster shell of the truth measurements."""

import datetime as dt

import dagster as dg
import polars as pl

from assets.books.continuous import read_continuous
from assets.desk import Desk
from assets.fills.tape import make_tape
from assets.fills.truth.log import log_of
from assets.fills.truth.reconcile import reconcile
from assets.fills.truth.schema import QueueFit, ReconciledOrders, Reconciliation, ShadowOrders
from assets.fills.truth.shadow import FITTED, fidelity, fit_exponent
from assets.fills.window import read_records
from assets.shell import Shell, contract_check, result, told


def shadow_orders(desk: Desk) -> dg.AssetsDefinition:
    """Each session's real orders as questions to the queue models."""
    shell = Shell(desk, "shadow_orders")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="Shadow orders: real resting orders, their identity hidden; when would each have filled, by levels and trades alone? "
        "Each queue model's answers beside what became of them.",
        kinds={"numba"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        with told():
            window = read_continuous(lake, calendar.window(market, session), market, session)
            table, why_not = ShadowOrders.empty(), "no session"
            if window is not None:
                records = read_records(lake, market, session)
                why_not = "no order ids: nothing is known to ask about"
                if "order_id" in records.columns:
                    asked = fidelity(make_tape(records, desk.markets[market]), window)
                    table = asked if asked.height else table
                    why_not = "no order joined near the touch"
            lake.write("shadow_orders", table, ShadowOrders, market=market, session=session)
        if table.is_empty():
            return result(context, 0, session=why_not)
        right = table.filter(~pl.col("queue").is_in(FITTED)).select("queue", "told_right").iter_rows()
        return result(context, table, table, orders=table["orders"][0], **{f"told_right_{queue}": share for queue, share in right})

    return asset


def queue_fit(desk: Desk) -> dg.AssetsDefinition:
    """The exponent of each period's queue models, from its training window."""
    shell = Shell(desk, "queue_fit")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="The exponent that told most fates of shadow orders on the training window; the period's own sessions test it.",
        kinds={"polars"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        period = dt.date.fromisoformat(context.partition_key)
        with told():
            days = calendar.training_sessions(period)
            measured = pl.concat([lake.read("shadow_orders", market=market, session=day) for day in days])
            table = fit_exponent(measured) if measured.height else QueueFit.empty()
            lake.write("queue_fit", table, QueueFit, market=market, period=period)
        return result(context, table, table, **{f"exponent_{queue}": n for queue, n in table.select("queue", "exponent").iter_rows()})

    return asset


def reconciliation(desk: Desk) -> dg.AssetsDefinition:
    """Our own live log of each session set against its replay."""
    shell = Shell(desk, "reconciliation")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="The live log's orders replayed on the market they were traded in, order by order: fills missed and imagined, times, "
        "prices, and how the P&L differs; under the desk's own delay and queue and under others.",
        kinds={"numba", "scipy"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        with told():
            window = calendar.window(market, session)
            sent, filled = (lake.read(table, market=market, session=session) for table in ("live_orders", "live_fills"))
            rows, orders = Reconciliation.empty(), ReconciledOrders.empty()
            if window is not None and sent.height:
                tape = make_tape(lake.read("live_ticks", market=market, session=session), desk.markets[market])
                found = reconcile(log_of(sent, filled), tape, window, desk.markets[market], desk.trading, with_limits=True)
                rows, orders = found if found[0].height else (rows, orders)
            lake.write("reconciled_orders", orders, ReconciledOrders, market=market, session=session)
            lake.write("reconciliation", rows, Reconciliation, market=market, session=session)
        if rows.is_empty():
            return result(context, 0, session="no live orders")
        names = ("orders", "filled_log", "filled_replay", "missed", "imagined", "pnl_log", "pnl_replay")
        return result(context, rows, rows, **{name: rows[name][0] for name in names})

    return asset


def checks(desk: Desk, market: str) -> list[dg.AssetChecksDefinition]:
    """Contracts."""
    return [
        contract_check(desk, market, "shadow_orders", ShadowOrders, "session"),
        contract_check(desk, market, "queue_fit", QueueFit, "period"),
        contract_check(desk, market, "reconciliation", Reconciliation, "traded"),
        contract_check(desk, market, "reconciled_orders", ReconciledOrders, "traded", asset="reconciliation"),
    ]
