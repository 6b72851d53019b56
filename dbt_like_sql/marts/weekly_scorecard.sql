with reports as (
    select * from stg_performance_report
),

facts as (
    select * from markets
),

weeks as (
    select
        market,
        date_trunc('week', session)::date as week,
        any_value(provenance) as provenance,
        any_value(unit) as unit,
        count(*) as sessions,
        sum(net_pnl) as net_pnl,
        sum(gross_pnl) as gross_pnl,
        sum(fees) as fees,
        avg(fills) as trades_a_day,
        sum(maker_contracts) / nullif(sum(contracts), 0) as maker_share,
        sum(cancelled) / nullif(sum(orders), 0) as cancelled_share,
        -- A deviation that is the rounding of equal sessions is none.
        case when stddev_samp(net_pnl) > 1e-9 * max(abs(net_pnl)) then avg(net_pnl) / stddev_samp(net_pnl) end as sharpe_per_session,
        min(net_pnl) as worst_day,
        max(net_pnl) as best_day,
        sum(wins) / nullif(sum(losses), 0) as win_loss_ratio,
        sum(hold_pnl) as hold_pnl,
        -- Sums of squares add up over sessions; an average of R² would not be an R².
        1 - sum(mse_ticks * rows_scored) / nullif(sum(label_square_ticks) filter (mse_ticks is not null), 0) as r2
    from reports
    group by all
),

final as (
    select
        weeks.market,
        weeks.week,
        weeks.provenance,
        weeks.unit,
        weeks.sessions,
        weeks.net_pnl,
        weeks.gross_pnl,
        weeks.fees,
        weeks.trades_a_day,
        weeks.maker_share,
        weeks.cancelled_share,
        weeks.sharpe_per_session * sqrt(facts.sessions_per_year) as sharpe,
        weeks.worst_day,
        weeks.best_day,
        weeks.win_loss_ratio,
        weeks.hold_pnl,
        weeks.r2
    from weeks
    left join facts using (market)
)

select * from final order by market, week
