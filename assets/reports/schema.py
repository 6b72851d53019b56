"""Top floor: one honest line a session."""

import pandera.polars as pa
import polars as pl


class PerformanceReport(pa.DataFrameModel):
    """`performance_report`: one row a session; money in the currency of the market."""

    provenance: str
    net_pnl: pl.Float64
    gross_pnl: pl.Float64
    fees: pl.Float64
    fills: pl.Int64 = pa.Field(ge=0)
    contracts: pl.Int64 = pa.Field(ge=0)
    orders: pl.Int64 = pa.Field(ge=0, description="New orders sent")
    cancelled: pl.Int64 = pa.Field(ge=0, description="Orders of ours that ended by a cancel")
    maker_contracts: pl.Int64 = pa.Field(ge=0)
    long_pnl: pl.Float64 = pa.Field(description="Net P&L of the round trips that began with a buy")
    short_pnl: pl.Float64
    wins: pl.Int64 = pa.Field(ge=0, description="Round trips (FIFO) with net P&L above zero")
    losses: pl.Int64 = pa.Field(ge=0)
    max_drawdown: pl.Float64 = pa.Field(ge=0, description="Of the equity within the session")
    max_position: pl.Int64 = pa.Field(ge=0)
    hold_pnl: pl.Float64 = pa.Field(description="Of one contract held from first to last mid: the comparison")
    r2: pl.Float64 = pa.Field(nullable=True, description="Of the prediction, out of sample, against predicting zero")
    mse: pl.Float64 = pa.Field(nullable=True)
    rows_scored: pl.Int64 = pa.Field(ge=0)
    label_square: pl.Float64 = pa.Field(description="Sum of squared labels, so that R2 adds up over sessions")
