"""The Dagster shell of the fourth floor: a period's policy, a session traded in simulation."""

import datetime as dt
from typing import Any

import dagster as dg
import polars as pl

from assets.books.continuous import read_continuous
from assets.calendar import Calendar
from assets.curves.champion import traded
from assets.curves.rivals import CURVES
from assets.curves.schema import prediction_of
from assets.desk import PRICE_UNIT, Desk
from assets.features.chosen import indicator_sets
from assets.fills.ablation import ablate, policies_of, variants
from assets.fills.account import faults
from assets.fills.live import read_surroundings, trade_live
from assets.fills.policy import Policy
from assets.fills.replay import Outcome
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
from assets.fills.simulate import nothing, simulate
from assets.fills.tune import policy_of, search
from assets.fills.what_if import what_if as replayed_otherwise
from assets.fills.window import open_search, read_records, read_traded_session, read_training_sessions
from assets.lake import Lake
from assets.shell import Shell, contract_check, result, rule_check, told
from assets.ticks.source import SimulatedExchange, open_source


def quoting_policy(desk: Desk) -> dg.AssetsDefinition:
    """The policy of each period, chosen by net P&L on its training sessions."""
    shell = Shell(desk, "quoting_policy")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="Threshold and weights of the price-level scores, and the set of indicators to predict with: the best net P&L of all "
        "trials on the training sessions, each week of them predicted by curves that were fitted without it.",
        kinds={"numba", "optuna"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        period = dt.date.fromisoformat(context.partition_key)
        with told():
            sessions = read_training_sessions(desk, lake, period)
            with open_search(desk, period, sessions) as replays:
                tried = search(replays, list(sessions), desk.trading, [*indicator_sets(desk)])
                best = tried.winner(float(desk.trading.min_pnl_per_contract))
                others = variants(tried, policy_of(best), desk.markets[market], replays)
            window = calendar.training_sessions(period)
            best = best.with_columns(first_session=pl.lit(window[0]), last_session=pl.lit(window[-1]))
            lake.write("tuning_trials", tried.trials(), TuningTrials, market=market, period=period)
            lake.write("trial_sessions", tried.by_session(), TrialSessions, market=market, period=period)
            lake.write("policy_variants", others, PolicyVariants, market=market, period=period)
            lake.write("quoting_policy", best, QuotingPolicy, market=market, period=period)
        figures = best.select(pl.selectors.numeric().cast(pl.Float64)).row(0, named=True)
        shown = pl.DataFrame({"setting, or what came of it": [*figures], "value": [*figures.values()]}).drop_nulls()
        return result(context, best, shown, **figures)

    return asset


def _policy(desk: Desk, lake: Lake, session: dt.date) -> Policy:
    """The policy of a session's period."""
    return policy_of(lake.read("quoting_policy", market=desk.traded, period=Calendar(desk).period_of(session)))


def simulated_fills(desk: Desk) -> dg.AssetsDefinition:
    """Each session traded by the policy and the predictions of its period."""
    shell = Shell(desk, "simulated_fills")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="Orders, fills and equity of a session traded in simulation: delays, exact queue position, fees and limits.",
        kinds={"numba", "polars"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        with told():
            window = read_continuous(lake, calendar.window(market, session), market, session)
            traded = nothing()
            if window is not None:
                policy = _policy(desk, lake, session)
                column = prediction_of(policy.indicators)
                moves = lake.read("predictions", ["ts_event", column], market=market, session=session)
                traded = simulate(
                    read_records(lake, market, session),
                    moves["ts_event"].to_numpy(),
                    moves[column].to_numpy(),
                    market=desk.markets[market],
                    trading=desk.trading,
                    policy=policy,
                    window=window,
                )
            lake.write("orders", traded.orders, Orders, market=market, session=session)
            lake.write("equity", traded.equity, Equity, market=market, session=session)
            lake.write("fills", traded.fills, Fills, market=market, session=session)
        return result(context, traded.fills, _by_side(traded.fills), **_figures(traded.outcome), session=None if window else "no session")

    return asset


def live_log(desk: Desk) -> dg.AssetsDefinition:
    """Each session traded by the same policy inside the matching engine, where the source is an exchange that can be run again."""
    shell = Shell(desk, "live_log")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="Orders and fills of a session traded inside the simulated exchange's own matching engine: our orders queue, fill "
        "and move its market. What a broker's log would hold, for the replay to be held against, with that market's records.",
        kinds={"numba", "polars"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        with told():
            window, source, period, log = calendar.window(market, session), open_source(desk), calendar.period_of(session), nothing()
            ticks = LiveTicks.empty()
            model = traded(lake.read("model_choice", market=market, period=period))
            why_not = None
            if window is None:
                why_not = "no session"
            elif not isinstance(source, SimulatedExchange):
                why_not = "recorded data: there is no matching engine to trade in"
            elif model != CURVES:
                why_not = f"the period trades {model}: inside the engine only curves are computed event by event"
            else:
                policy = _policy(desk, lake, session)
                live = trade_live(
                    source.course(session, window),
                    read_surroundings(desk, lake, session, period, policy.indicators),
                    market=desk.markets[market],
                    trading=desk.trading,
                    policy=policy,
                    window=window,
                )
                log, ticks = live.simulation, live.ticks
            lake.write_parts("live_ticks", [ticks], LiveTicks, market=market, session=session)
            lake.write("live_orders", log.orders, LiveOrders, market=market, session=session)
            lake.write("live_fills", log.fills, LiveFills, market=market, session=session)
        return result(context, log.fills, _by_side(log.fills), **({"session": why_not} if why_not else _figures(log.outcome)))

    return asset


def _by_side(fills: pl.DataFrame) -> pl.DataFrame:
    """What was bought and sold, resting and taking; prices and fees in the currency."""
    side = pl.when(pl.col("side") > 0).then(pl.lit("buy")).otherwise(pl.lit("sell")).alias("side")
    price = (pl.col("price") * pl.col("quantity")).sum() / pl.col("quantity").sum() / PRICE_UNIT
    sums = (pl.col("quantity").sum().alias("contracts"), price.alias("mean price"), (pl.col("fee").sum() / PRICE_UNIT).alias("fees"))
    return fills.group_by(side, "liquidity").agg(pl.len().alias("fills"), *sums).sort("side", "liquidity")


def _figures(outcome: Outcome) -> dict[str, float]:
    counts = {"contracts": outcome.contracts, "orders": outcome.orders, "cancelled": outcome.cancelled}
    return {"net_pnl": outcome.net_pnl / PRICE_UNIT, **{name: float(count) for name, count in counts.items()}}


def policy_ablation(desk: Desk) -> dg.AssetsDefinition:
    """Each session traded again by the policy without each of its parts, and in simpler ways."""
    shell = Shell(desk, "policy_ablation")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="What each factor of the scores adds, and what simpler ways to trade would have earned: the same session, the same "
        "predictions, the same exchange.",
        kinds={"numba"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        with told():
            window = read_continuous(lake, calendar.window(market, session), market, session)
            if window is None:
                lake.write("policy_ablation", PolicyAblation.empty(), PolicyAblation, market=market, session=session)
                return result(context, 0, session="no session")
            chosen = policies_of(lake.read("policy_variants", market=market, period=calendar.period_of(session)))
            traded = read_traded_session(desk, lake, session, window, chosen.values())
            table = ablate(traded, chosen, desk.markets[market], desk.trading, seed=session.toordinal())
            lake.write("policy_ablation", table, PolicyAblation, market=market, session=session)
        return result(context, table, table, **{f"net_pnl_{name}": net for name, net in table.select("variant", "net_pnl").iter_rows()})

    return asset


def what_if(desk: Desk) -> dg.AssetsDefinition:
    """Each session traded again with a shorter and a longer wire, and with other ways to know the queue."""
    shell = Shell(desk, "what_if")
    desk, market, calendar, lake = shell.desk, desk.traded, shell.calendar, shell.lake

    @shell.asset(
        description="The same session, policy and predictions under other delays, and with the queue's bounds and an estimate in place of "
        "what is known.",
        kinds={"numba"},
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        with told():
            window = read_continuous(lake, calendar.window(market, session), market, session)
            if window is None:
                lake.write("what_if", WhatIf.empty(), WhatIf, market=market, session=session)
                return result(context, 0, session="no session")
            policy = _policy(desk, lake, session)
            traded = read_traded_session(desk, lake, session, window, [policy])
            table = replayed_otherwise(traded, policy, desk.markets[market], desk.trading)
            lake.write("what_if", table, WhatIf, market=market, session=session)
        nets = table.select(pl.col("setting").str.replace(" ", "_"), "net_pnl").iter_rows()
        return result(context, table, table, **{f"net_pnl_{setting}": net for setting, net in nets})

    return asset


def checks(desk: Desk, market: str) -> list[dg.AssetChecksDefinition]:
    """Contracts, and that the account follows from the fills."""
    return [
        contract_check(desk, market, "quoting_policy", QuotingPolicy, "period"),
        contract_check(desk, market, "tuning_trials", TuningTrials, "period", asset="quoting_policy"),
        contract_check(desk, market, "trial_sessions", TrialSessions, "period", asset="quoting_policy"),
        contract_check(desk, market, "policy_variants", PolicyVariants, "period", asset="quoting_policy"),
        contract_check(desk, market, "policy_ablation", PolicyAblation, "traded"),
        contract_check(desk, market, "what_if", WhatIf, "traded"),
        contract_check(desk, market, "orders", Orders, "traded", asset="simulated_fills"),
        contract_check(desk, market, "fills", Fills, "traded", asset="simulated_fills"),
        contract_check(desk, market, "equity", Equity, "traded", asset="simulated_fills"),
        contract_check(desk, market, "live_orders", LiveOrders, "traded", asset="live_log"),
        contract_check(desk, market, "live_fills", LiveFills, "traded", asset="live_log"),
        contract_check(desk, market, "live_ticks", LiveTicks, "traded", asset="live_log"),
        _account_check(desk, market, "simulated_fills", "orders", "fills"),
        _account_check(desk, market, "live_log", "live_orders", "live_fills"),
    ]


def _account_check(desk: Desk, market: str, asset: str, orders: str, fills: str) -> dg.AssetChecksDefinition:
    def broken(lake: Lake, keys: dict[str, Any]) -> list[str]:
        return faults(lake.read(orders, **keys), lake.read(fills, **keys), desk.markets[market], desk.trading)

    rule = "Position is the sum of the fills, cash what they cost; no order filled beyond its size, no limit was passed."
    return rule_check(desk, market, asset, "account_follows_from_fills", rule, "traded", broken)
