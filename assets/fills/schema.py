"""Fourth floor: every order and its answers, every fill, the equity, and how the policy was chosen.

Money is int64 in 1e-9 of the currency; prices int64 in 1e-9; times int64 UTC nanoseconds.
"""

from typing import Final

import pandera.polars as pa
import polars as pl

from assets.fills.queues import QUEUES
from assets.ticks.schema import RawTicks

VARIANTS: Final = (
    "full",
    "without_prediction",
    "without_level",
    "without_ahead",
    "without_behind",
    "prediction_alone",
    "touch",
    "take",
    "signals",
    "random",
)
"""Ways to trade that are set beside one another: the policy, the policy without some of its factors, and simpler ways."""


class Orders(pa.DataFrameModel):
    """`orders`: one row a request, in the order of their sending."""

    request: pl.Int64 = pa.Field(ge=0, description="Number of the request within the session", unique=True)
    order_id: pl.Int64 = pa.Field(ge=0, description="Our order; a new and its cancel share it")
    kind: str = pa.Field(isin=["new", "cancel"])
    reason: str = pa.Field(
        isin=["score", "limit", "flatten", "close", "gap"],
        description="Why it was sent: the policy's score, a position limit, the loss limit, the session's end, a silent feed",
    )
    side: pl.Int8 = pa.Field(isin=[-1, 1], description="+1 buy, -1 sell")
    price: pl.Int64
    quantity: pl.Int64 = pa.Field(ge=1)
    ts_request: pl.Int64 = pa.Field(description="Decision")
    ts_arrival: pl.Int64 = pa.Field(description="At the exchange")
    ts_response: pl.Int64 = pa.Field(description="Answer known to us")
    answer: str = pa.Field(isin=["resting", "filled", "rejected", "cancelled", "too_late"], description="State right after arrival")
    refusal: str = pa.Field(
        nullable=True,
        isin=["own_order", "post_only", "position", "message_rate", "order_to_trade", "closed", "loss", "ending", "not_trading"],
        description="Why it was rejected: it would meet our own or take; a limit of position, messages, loss; trading ends or pauses",
    )
    queue_ahead: pl.Int64 = pa.Field(nullable=True, description="Contracts ahead on arrival of a new order")
    score: pl.Float64 = pa.Field(nullable=True, description="The policy's score at the decision")
    prediction: pl.Float64 = pa.Field(description="Predicted move at the decision, in ticks")


class Fills(pa.DataFrameModel):
    """`fills`: one row an execution of ours."""

    order_id: pl.Int64 = pa.Field(ge=0)
    ts_event: pl.Int64
    side: pl.Int8 = pa.Field(isin=[-1, 1])
    price: pl.Int64
    quantity: pl.Int64 = pa.Field(ge=1)
    liquidity: str = pa.Field(isin=["maker", "taker"])
    fee: pl.Int64 = pa.Field(description="1e-9 of the currency, positive is paid")
    position: pl.Int64 = pa.Field(description="After this fill")
    cash: pl.Int64 = pa.Field(description="After this fill, fees paid; 1e-9 of the currency")
    mid: pl.Int64 = pa.Field(description="Before the fill: the mid that it met")
    mid_1s: pl.Int64 = pa.Field(nullable=True, description="One second later; null past the session's end")
    mid_5s: pl.Int64 = pa.Field(nullable=True)
    mid_10s: pl.Int64 = pa.Field(nullable=True)
    mid_60s: pl.Int64 = pa.Field(nullable=True)


class LiveOrders(Orders):
    """`live_orders`: one row a request of the policy inside the simulated exchange's matching engine, in the order of sending.

    Columns as in `orders`; the market is the one that has had these orders in it.
    """

    answer: str = pa.Field(
        isin=["resting", "filled", "rejected", "cancelled", "too_late"], description="State right after the engine took the request"
    )


class LiveFills(Fills):
    """`live_fills`: one row an execution inside the simulated exchange's matching engine, as its records tell it.

    Columns as in `fills`; a mid is that of the changed market, our own orders left out.
    """

    ts_event: pl.Int64 = pa.Field(description="The exchange's stamp of the event")


class LiveTicks(RawTicks):
    """`live_ticks`: the market of a live session, one row a record as a recorder would have kept it, our own orders taken out.

    Columns as in `raw_ticks`. A trade that met an order of ours keeps its size; contracts that we took leave as cancels.
    """


class Equity(pa.DataFrameModel):
    """`equity`: the account at each fill and each whole minute, marked at the mid."""

    ts_event: pl.Int64
    position: pl.Int64
    cash: pl.Int64
    mid: pl.Int64
    equity: pl.Int64 = pa.Field(description="cash + position marked at the mid; 1e-9 of the currency")


class QuotingPolicy(pa.DataFrameModel):
    """`quoting_policy`: the settings chosen for a period, one row."""

    trial: pl.Int32 = pa.Field(ge=0, description="The winner among `tuning_trials`")
    trials: pl.Int32 = pa.Field(ge=1, description="Settings that were tried")
    threshold: pl.Float64 = pa.Field(description="An order stands where the score, in ticks, is above this")
    prediction_weight: pl.Float64
    level_weight: pl.Float64
    ahead_weight: pl.Float64
    behind_weight: pl.Float64
    hysteresis: pl.Float64 = pa.Field(ge=0, description="An order once sent stays until its score is this much below the threshold")
    indicators: str = pa.Field(description="The set of the desk's indicators that predicts; `all`: those that the lab kept")
    net_pnl_train: pl.Float64 = pa.Field(description="Currency, on the training sessions")
    sharpe_train: pl.Float64 = pa.Field(nullable=True, description="Of the training sessions, a session; null where it did not trade")
    dsr: pl.Float64 = pa.Field(
        nullable=True, ge=0, le=1, description="Deflated Sharpe: probability that it is above zero, given all that was tried"
    )
    dsr_trials: pl.Int32 = pa.Field(ge=0, description="Trials that it counted: those whose sessions have a Sharpe ratio")
    pbo: pl.Float64 = pa.Field(
        nullable=True, ge=0, le=1, description="Probability of backtest overfitting of the search; 0.5 where there is nothing to find"
    )
    first_session: pl.Date = pa.Field(description="First of the training window")
    last_session: pl.Date


class TuningTrials(pa.DataFrameModel):
    """`tuning_trials`: every setting tried for a period and what it earned on the training sessions."""

    trial: pl.Int32 = pa.Field(ge=0)
    threshold: pl.Float64
    prediction_weight: pl.Float64
    level_weight: pl.Float64
    ahead_weight: pl.Float64
    behind_weight: pl.Float64
    hysteresis: pl.Float64 = pa.Field(ge=0, description="An order once sent stays until its score is this much below the threshold")
    indicators: str = pa.Field(description="The set of the desk's indicators that predicted")
    net_pnl: pl.Float64 = pa.Field(description="Currency")
    contracts: pl.Int64 = pa.Field(ge=0)
    pnl_per_contract: pl.Float64 = pa.Field(nullable=True, description="net_pnl / contracts; null where it did not trade")
    sharpe: pl.Float64 = pa.Field(nullable=True, description="Of the training sessions, a session; null where it did not trade")


class PolicyVariants(pa.DataFrameModel):
    """`policy_variants`: the policy of a period without each of its parts, and simpler ways to trade, a row each with its settings."""

    variant: str = pa.Field(unique=True, isin=VARIANTS, description="full: as traded; then factors removed; then simpler ways")
    style: str = pa.Field(
        isin=["scores", "touch", "take"], description="Five levels scored, the touch alone, or nothing rests and the touch is taken"
    )
    threshold: pl.Float64
    prediction_weight: pl.Float64
    level_weight: pl.Float64
    ahead_weight: pl.Float64
    behind_weight: pl.Float64
    hysteresis: pl.Float64 = pa.Field(ge=0)
    indicators: str = pa.Field(description="The set of the desk's indicators whose prediction it trades on")
    choices: pl.Int32 = pa.Field(ge=1, description="Thresholds that were tried on the training sessions; 1: nothing was chosen")
    net_pnl_train: pl.Float64 = pa.Field(nullable=True, description="Currency, on the training sessions, where something was chosen")


class PolicyAblation(pa.DataFrameModel):
    """`policy_ablation`: a session that no search saw, traded by each of the period's variants."""

    variant: str = pa.Field(unique=True, isin=VARIANTS, description="full: as traded; then factors removed; then simpler ways")
    net_pnl: pl.Float64 = pa.Field(description="Currency, after fees")
    fees: pl.Float64 = pa.Field(description="Currency")
    contracts: pl.Int64 = pa.Field(ge=0)
    maker_contracts: pl.Int64 = pa.Field(ge=0, description="Filled while resting")
    orders: pl.Int64 = pa.Field(ge=0)
    cancelled: pl.Int64 = pa.Field(ge=0)


class WhatIf(pa.DataFrameModel):
    """`what_if`: a session replayed under other assumptions about the wire and the queue; policy and predictions as traded."""

    assumption: str = pa.Field(isin=["latency", "queue"], description="What is assumed otherwise; the rest is the desk's")
    setting: str = pa.Field(description="Of a latency its milliseconds; of a queue exact, pessimist, estimate or optimist")
    latency_ms: pl.Float64 = pa.Field(ge=0, description="One way, milliseconds")
    queue: str = pa.Field(isin=QUEUES, description="How the place in the queue is known")
    queue_exponent: pl.Float64 = pa.Field(gt=0, description="Of the queues power and share")
    net_pnl: pl.Float64 = pa.Field(description="Currency, after fees")
    fees: pl.Float64 = pa.Field(description="Currency")
    contracts: pl.Int64 = pa.Field(ge=0)
    maker_contracts: pl.Int64 = pa.Field(ge=0, description="Filled while resting")
    orders: pl.Int64 = pa.Field(ge=0)
    cancelled: pl.Int64 = pa.Field(ge=0)


class TrialSessions(pa.DataFrameModel):
    """`trial_sessions`: what each setting tried for a period earned on each training session."""

    trial: pl.Int32 = pa.Field(ge=0)
    session: pl.Date = pa.Field(description="Trade date, within the training window")
    net_pnl: pl.Float64 = pa.Field(description="Currency")
    contracts: pl.Int64 = pa.Field(ge=0)
