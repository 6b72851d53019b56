"""The measurements of the simulator's truth: how well queues are known, and how a log of orders compares with its replay."""

import pandera.polars as pa
import polars as pl

from assets.fills.queues import QUEUES


class QueueFidelity(pa.DataFrameModel):
    """`queue_fidelity`: how well each way of knowing a queue told what became of a session's real orders, a row each.

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
