with reports as (
    select * from performance_report
),

renamed as (
    select
        market,
        session,
        provenance,
        unit,
        lot_size,
        net_pnl,
        gross_pnl,
        fees,
        spread_captured,
        slippage,
        fills,
        contracts,
        orders,
        cancelled,
        maker_contracts,
        round_trips,
        wins,
        losses,
        win_pnl,
        loss_pnl,
        long_pnl,
        short_pnl,
        max_drawdown,
        max_position,
        mean_position,
        hold_pnl,
        notional,
        r2,
        mse as mse_ticks,
        rows_scored,
        label_square as label_square_ticks
    from reports
)

select * from renamed
