with reports as (
    select * from stg_performance_report
),

added_up as (
    select
        *,
        sum(net_pnl) over so_far as cumulative_pnl
    from reports
    window so_far as (partition by market order by session)
),

final as (
    select
        market,
        session,
        provenance,
        unit,
        gross_pnl,
        fees,
        net_pnl,
        cumulative_pnl,
        greatest(0, max(cumulative_pnl) over (partition by market order by session)) - cumulative_pnl as drawdown,
        long_pnl,
        short_pnl,
        hold_pnl,
        fills as trades,
        contracts,
        orders,
        maker_contracts / nullif(contracts, 0) as maker_share,
        cancelled / nullif(orders, 0) as cancelled_share,
        wins / nullif(losses, 0) as win_loss_ratio,
        max_drawdown as worst_fall_within,
        r2
    from added_up
)

select * from final order by market, session
