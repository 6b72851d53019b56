with days as (
    select * from daily_pnl
),

facts as (
    select * from markets
),

months as (
    select
        market,
        date_trunc('month', session)::date as month,
        any_value(provenance) as provenance,
        any_value(unit) as unit,
        count(*) as sessions,
        sum(net_pnl) as net_pnl,
        sum(gross_pnl) as gross_pnl,
        sum(fees) as fees,
        avg(trades) as trades_a_day,
        count(*) filter (net_pnl > 0) / count(*) as winning_sessions,
        -- A deviation that is the rounding of equal sessions is none.
        case when stddev_samp(net_pnl) > 1e-9 * max(abs(net_pnl)) then avg(net_pnl) / stddev_samp(net_pnl) end as sharpe_per_session,
        min(net_pnl) as worst_day,
        max(net_pnl) as best_day,
        max(drawdown) as deepest_drawdown,
        sum(hold_pnl) as hold_pnl
    from days
    group by all
),

final as (
    select
        months.* exclude (sharpe_per_session),
        months.sharpe_per_session * sqrt(facts.sessions_per_year) as sharpe
    from months
    left join facts using (market)
)

select * from final order by market, month
