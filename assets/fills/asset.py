"""The Dagster shell of the fourth floor: a period's policy, a session traded in simulation."""

import datetime as dt
from typing import Final

import dagster as dg
import numpy.typing as npt
import polars as pl

from assets.books.rebuild import applied
from assets.calendar import Calendar
from assets.curves.model import cross_fitted, predict
from assets.curves.window import read_window
from assets.desk import PRICE_UNIT, Desk
from assets.features.indicators import indicators
from assets.fills.errors import FillsError
from assets.fills.replay import Session, make_session
from assets.fills.schema import Equity, Fills, Orders, QuotingPolicy, TuningTrials
from assets.fills.simulate import nothing, simulate
from assets.fills.tape import make_tape
from assets.fills.tune import policy_of, tune, winner
from assets.lake import Lake
from assets.shell import OWNERS, contract_check, told

CODE_VERSION: Final = "1"
"""Raised when a rule of the exchange, the policy or the search changes."""


def quoting_policy(desk: Desk) -> dg.AssetsDefinition:
    """The policy of each period, chosen by net P&L on its training sessions."""
    market, calendar, lake = desk.traded, Calendar(desk), Lake(desk.lake)
    window_of = [dg.AssetKey([market, layer]) for layer in ("raw_ticks", "clean_books", "feature_table", "curve_statistics")]

    @dg.asset(
        key=[market, "quoting_policy"],
        group_name="fills",
        description="Threshold and weights of the price-level scores: the best net P&L of all trials on the training sessions, "
        "each week of them predicted by curves that were fitted without it.",
        kinds={"numba", "optuna"},
        owners=OWNERS,
        tags={"market": market, "layer": "fills"},
        code_version=CODE_VERSION,
        partitions_def=calendar.period_partitions,
        deps=[dg.AssetDep(key, partition_mapping=calendar.training_mapping) for key in window_of] + [dg.AssetKey([market, "curve_model"])],
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        period = dt.date.fromisoformat(context.partition_key)
        with told():
            trials = tune(_training_sessions(desk, period), market=desk.markets[market], trading=desk.trading)
            best = winner(trials)
            lake.write("tuning_trials", trials, TuningTrials, market=market, period=period)
            lake.write("quoting_policy", best, QuotingPolicy, market=market, period=period)
        return dg.MaterializeResult(metadata={name: float(value) for name, value in best.row(0, named=True).items()})

    return asset


def simulated_fills(desk: Desk) -> dg.AssetsDefinition:
    """Each session traded by the policy and the predictions of its period."""
    market, calendar, lake = desk.traded, Calendar(desk), Lake(desk.lake)

    @dg.asset(
        key=[market, "simulated_fills"],
        group_name="fills",
        description="Orders, fills and equity of a session traded in simulation: delays, exact queue position, fees and limits.",
        kinds={"numba", "polars"},
        owners=OWNERS,
        tags={"market": market, "layer": "fills"},
        code_version=CODE_VERSION,
        partitions_def=calendar.traded_partitions,
        deps=[
            *(dg.AssetKey([market, layer]) for layer in ("raw_ticks", "clean_books", "predictions")),
            dg.AssetDep(dg.AssetKey([market, "quoting_policy"]), partition_mapping=dg.TimeWindowPartitionMapping()),
        ],
    )
    def asset(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        session = dt.date.fromisoformat(context.partition_key)
        with told():
            window = calendar.window(market, session)
            traded = nothing()
            if window is not None:
                moves = lake.read("predictions", market=market, session=session)
                traded = simulate(
                    _records(lake, market, session),
                    moves["ts_event"].to_numpy(),
                    moves["prediction"].to_numpy(),
                    market=desk.markets[market],
                    trading=desk.trading,
                    policy=policy_of(lake.read("quoting_policy", market=market, period=calendar.period_of(session))),
                    window=window,
                )
            lake.write("orders", traded.orders, Orders, market=market, session=session)
            lake.write("equity", traded.equity, Equity, market=market, session=session)
            lake.write("fills", traded.fills, Fills, market=market, session=session)
        outcome = traded.outcome
        return dg.MaterializeResult(
            metadata={
                "net_pnl": outcome.net_pnl / PRICE_UNIT,
                "contracts": float(outcome.contracts),
                "orders": float(outcome.orders),
                "cancelled": float(outcome.cancelled),
                **({} if window else {"session": "no session"}),
            }
        )

    return asset


def checks(desk: Desk, market: str) -> list[dg.AssetChecksDefinition]:
    """Contracts, and that the account follows from the fills."""
    return [
        contract_check(desk, market, "quoting_policy", QuotingPolicy, "period"),
        contract_check(desk, market, "tuning_trials", TuningTrials, "period", asset="quoting_policy"),
        contract_check(desk, market, "orders", Orders, "traded", asset="simulated_fills"),
        contract_check(desk, market, "fills", Fills, "traded", asset="simulated_fills"),
        contract_check(desk, market, "equity", Equity, "traded", asset="simulated_fills"),
        _account_check(desk),
    ]


def _account_check(desk: Desk) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=dg.AssetKey([desk.traded, "simulated_fills"]),
        name="account_follows_from_fills",
        description="Position is the sum of the fills, cash what they cost with fees, and the position limit was never passed.",
        partitions_def=Calendar(desk).traded_partitions,
    )
    def held(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        fills = Lake(desk.lake).read("fills", market=desk.traded, session=context.partition_key)
        market = desk.markets[desk.traded]
        ticks = pl.col("price") // market.tick
        held = fills.with_columns(
            told_position=(pl.col("side") * pl.col("quantity")).cum_sum(),
            told_cash=(-pl.col("side") * pl.col("quantity") * ticks * market.tick_value - pl.col("fee")).cum_sum(),
        )
        wrong = held.filter((pl.col("position") != pl.col("told_position")) | (pl.col("cash") != pl.col("told_cash"))).height
        most = int(fills["position"].abs().max() or 0)  # type: ignore[arg-type]
        kept = wrong == 0 and most <= desk.trading.max_position
        return dg.AssetCheckResult(passed=kept, metadata={"wrong_rows": wrong, "largest_position": most})

    return held


def _records(lake: Lake, market: str, session: dt.date) -> pl.DataFrame:
    return applied(lake.read("raw_ticks", market=market, session=session), lake.read("quarantine", market=market, session=session))


def _training_sessions(desk: Desk, period: dt.date) -> list[Session]:
    """The window's sessions with the predictions of curves that were fitted without the session's own week."""
    market, calendar, lake = desk.traded, Calendar(desk), Lake(desk.lake)
    window = calendar.training_sessions(period)
    statistics = read_window(lake, market, window)
    folds = _folds(list(statistics))
    if len(folds) < 2:
        raise FillsError(f"period {period} has {len(folds)} training sessions with data: tuning needs two, to predict each without itself")
    models = cross_fitted(statistics, folds, indicators(desk.leaders), horizon_ns=desk.horizon_ns)
    return [
        _session(desk, day, predict(model, features), features)
        for fold, model in zip(folds, models, strict=True)
        for day, features in _tables(desk, fold)
    ]


def _folds(sessions: list[dt.date]) -> list[list[dt.date]]:
    weeks: dict[dt.date, list[dt.date]] = {}
    for session in sessions:
        weeks.setdefault(session - dt.timedelta(days=session.weekday()), []).append(session)
    return list(weeks.values()) if len(weeks) > 1 else [[session] for session in sessions]


def _tables(desk: Desk, sessions: list[dt.date]) -> list[tuple[dt.date, pl.DataFrame]]:
    return [(day, Lake(desk.lake).read("feature_table", market=desk.traded, session=day)) for day in sessions]


def _session(desk: Desk, day: dt.date, signal: npt.NDArray, features: pl.DataFrame) -> Session:
    market, window = desk.markets[desk.traded], Calendar(desk).window(desk.traded, day)
    if window is None:
        raise FillsError(f"{desk.traded} has statistics for {day}, which its calendar calls a holiday: materialise the session anew")
    return make_session(make_tape(_records(Lake(desk.lake), desk.traded, day), market), features["ts_event"].to_numpy(), signal, window)
