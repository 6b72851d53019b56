"""The measurements of the simulator's truth: how well queues are known, and how a log of orders compares with its replay."""

import pandera.polars as pa
import polars as pl

from assets.fills.queues import QUEUES
from assets.fills.simulate import REFUSALS


class ShadowOrders(pa.DataFrameModel):
    """`shadow_orders`: how well each way of knowing a queue told what became of a session's real orders, a row each.

    One in four of the orders that joined a queue within four ticks of the touch is asked about, from levels and trades alone.
    """

    queue: str = pa.Field(isin=QUEUES, description="exact knows the orders and is the check; the others are the models of the desk's queue")
    exponent: pl.Float64 = pa.Field(gt=0, description="Of power and share; 1 where the model has none")
    orders: pl.Int64 = pa.Field(ge=1, description="Orders asked about")
    filled: pl.Int64 = pa.Field(ge=0, description="Of them filled, with at least one contract")
    filled_estimated: pl.Int64 = pa.Field(ge=0, description="Of them filled by the model, no later than the real order filled or left")
    missed: pl.Int64 = pa.Field(ge=0, description="Filled, and not by the model")
    imagined: pl.Int64 = pa.Field(ge=0, description="Filled by the model, and left without a fill")
    told_right: pl.Float64 = pa.Field(ge=0, le=1, description="Share of orders whose fate the model told: 1 - (missed + imagined) / orders")
    time_error_s: pl.Float64 = pa.Field(
        nullable=True, ge=0, description="Median absolute error of the time to fill, seconds, of orders filled that the model too fills"
    )
    time_error_mean_s: pl.Float64 = pa.Field(nullable=True, ge=0, description="Mean of the same; an estimate is followed for a minute")
    queue_error: pl.Float64 = pa.Field(description="Contracts too many ahead, mean over each order's life; below zero: optimistic")
    queue_abs_error: pl.Float64 = pa.Field(ge=0, description="The same without the sign")
    markout_ticks: pl.Float64 = pa.Field(nullable=True, description="Worth of the real fills ten seconds later, in ticks a fill")
    markout_estimated_ticks: pl.Float64 = pa.Field(nullable=True, description="Worth of the model's fills ten seconds later")


class QueueFit(pa.DataFrameModel):
    """`queue_fit`: of each queue model with an exponent the one that told most fates on a period's training window."""

    queue: str = pa.Field(isin=("power", "share"), unique=True)
    exponent: pl.Float64 = pa.Field(gt=0)
    sessions: pl.Int64 = pa.Field(ge=1, description="Training sessions that had orders to ask about")
    orders: pl.Int64 = pa.Field(ge=1, description="Orders asked about there")
    told_right_train: pl.Float64 = pa.Field(ge=0, le=1, description="Share of their fates that the model told")


class Reconciliation(pa.DataFrameModel):
    """`reconciliation`: a session's log of orders set against its replay, a row a setting of delay and queue."""

    latency_ms: pl.Float64 = pa.Field(ge=0, description="Delay one way that the replay assumes, milliseconds")
    queue: str = pa.Field(isin=QUEUES, description="How the replay knows the queue")
    exponent: pl.Float64 = pa.Field(gt=0, description="Of power and share; 1 where the model has none")
    own: pl.Boolean = pa.Field(description="The desk's own setting")
    orders: pl.Int64 = pa.Field(ge=1, description="Orders that the log sent; those that the venue refused are left out")
    filled_log: pl.Int64 = pa.Field(ge=0, description="Of them filled in the log, with at least one contract")
    filled_replay: pl.Int64 = pa.Field(ge=0, description="Of them filled in the replay")
    missed: pl.Int64 = pa.Field(ge=0, description="Filled in the log alone")
    imagined: pl.Int64 = pa.Field(ge=0, description="Filled in the replay alone")
    refused: pl.Int64 = pa.Field(ge=0, description="Of them refused by the replay's exchange, or by the desk's limits before it")
    time_to_fill_log_s: pl.Float64 = pa.Field(nullable=True, description="Median, from sending to the first fill, seconds")
    time_to_fill_replay_s: pl.Float64 = pa.Field(nullable=True)
    slippage_log_ticks: pl.Float64 = pa.Field(nullable=True, description="Mean of what an order paid beyond the mid at its sending, ticks")
    slippage_replay_ticks: pl.Float64 = pa.Field(nullable=True)
    ks_time_to_fill: pl.Float64 = pa.Field(nullable=True, ge=0, le=1, description="Kolmogorov-Smirnov distance of the times to fill")
    ks_slippage: pl.Float64 = pa.Field(nullable=True, ge=0, le=1, description="Kolmogorov-Smirnov distance of the slippages")
    pnl_log: pl.Float64 = pa.Field(description="Currency, after fees, marked at the session's last mid")
    pnl_replay: pl.Float64 = pa.Field(description="The same of the replay; pnl_log = pnl_replay + missed - imagined + price")
    pnl_missed: pl.Float64 = pa.Field(description="Worth of contracts that filled in the log alone")
    pnl_imagined: pl.Float64 = pa.Field(description="Worth of contracts that filled in the replay alone")
    pnl_price: pl.Float64 = pa.Field(description="Worth of the difference in price, and in fee, of contracts that filled in both")


class ReconciledOrders(pa.DataFrameModel):
    """`reconciled_orders`: each order of a session's log beside the same order in the replay under the desk's own setting."""

    order_id: str = pa.Field(unique=True, description="As in the log")
    side: pl.Int8 = pa.Field(isin=[-1, 1], description="+1 buy, -1 sell")
    price: pl.Int64
    quantity: pl.Int64 = pa.Field(ge=1)
    ts_request: pl.Int64 = pa.Field(description="When it was sent")
    filled_log: pl.Int64 = pa.Field(ge=0, description="Contracts filled in the log")
    ts_fill_log: pl.Int64 = pa.Field(nullable=True, description="First fill")
    slippage_log_ticks: pl.Float64 = pa.Field(nullable=True, description="Paid beyond the mid at the request, ticks a contract")
    worth_log: pl.Float64 = pa.Field(description="Currency, fees paid, marked at the session's last mid")
    filled_replay: pl.Int64 = pa.Field(ge=0, description="Contracts filled in the replay")
    ts_fill_replay: pl.Int64 = pa.Field(nullable=True)
    slippage_replay_ticks: pl.Float64 = pa.Field(nullable=True)
    worth_replay: pl.Float64
    fate: str = pa.Field(isin=["both", "missed", "imagined", "neither"], description="Filled in both, in the log alone, the replay alone")
    refusal: str = pa.Field(nullable=True, isin=REFUSALS[1:], description="Why the replay's exchange, or a limit before it, refused it")
    pnl_missed: pl.Float64
    pnl_imagined: pl.Float64
    pnl_price: pl.Float64
