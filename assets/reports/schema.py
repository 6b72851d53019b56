"""Top floor: one honest line a session."""

import pandera.polars as pa
import polars as pl


class PerformanceReport(pa.DataFrameModel):
    """`performance_report`: one row a session, none on a holiday; money in `unit`."""

    provenance: str = pa.Field(description="Where the prices came from; 'simulated exchange' is said on every page")
    lot_size: pl.Float64 = pa.Field(ge=0, description="Units of the instrument in one contract: contracts times it are what was traded")
    unit: str = pa.Field(description="Of every amount of money: a currency, or 'ticks' where the multiplier is unknown")
    net_pnl: pl.Float64 = pa.Field(description="Last equity of the session: after fees, what is still held marked at the mid")
    gross_pnl: pl.Float64 = pa.Field(description="net_pnl + fees = spread_captured - slippage + what positions earned from the mid's moves")
    fees: pl.Float64
    spread_captured: pl.Float64 = pa.Field(description="Maker fills: sum of side * (mid - price) at the fill, in money")
    slippage: pl.Float64 = pa.Field(description="Taker fills: sum of side * (price - mid) at the fill, in money; a cost when positive")
    fills: pl.Int64 = pa.Field(ge=0)
    contracts: pl.Int64 = pa.Field(ge=0)
    orders: pl.Int64 = pa.Field(ge=0, description="New orders sent")
    cancelled: pl.Int64 = pa.Field(ge=0, description="Orders of ours that ended by a cancel")
    maker_contracts: pl.Int64 = pa.Field(ge=0)
    round_trips: pl.Int64 = pa.Field(ge=0, description="Contracts that went in and out again, the i-th bought with the i-th sold (FIFO)")
    wins: pl.Int64 = pa.Field(ge=0, description="Round trips with net P&L above zero")
    losses: pl.Int64 = pa.Field(ge=0, description="Round trips with net P&L below zero")
    win_pnl: pl.Float64 = pa.Field(ge=0, description="Net P&L of the winning round trips")
    loss_pnl: pl.Float64 = pa.Field(le=0, description="Net P&L of the losing round trips")
    long_pnl: pl.Float64 = pa.Field(description="Net P&L of the contracts that were bought first, open ones marked at the last mid")
    short_pnl: pl.Float64 = pa.Field(description="Net P&L of the contracts that were sold first; long_pnl + short_pnl = net_pnl")
    max_drawdown: pl.Float64 = pa.Field(ge=0, description="Of the equity within the session, from zero at its start")
    max_position: pl.Int64 = pa.Field(ge=0)
    mean_position: pl.Float64 = pa.Field(ge=0, description="Contracts held, long or short, averaged over time")
    hold_pnl: pl.Float64 = pa.Field(description="Of one contract held from first to last mid: the comparison")
    notional: pl.Float64 = pa.Field(ge=0, description="Worth, without a sign, of one contract at the first mid: the base of a return")
    r2: pl.Float64 = pa.Field(nullable=True, description="Of the prediction, out of sample, against predicting zero")
    mse: pl.Float64 = pa.Field(nullable=True, description="Out of sample, ticks squared")
    rows_scored: pl.Int64 = pa.Field(ge=0)
    label_square: pl.Float64 = pa.Field(ge=0, description="Sum of squared labels, so that R2 adds up over sessions")
