with trials as (
    select * from stg_tuning_trials
),

chosen as (
    select * from stg_quoting_policy
),

fitted as (
    select market, period, 'all' as indicators, indicator, r2_held_out from stg_curve_model
    union all
    select market, period, indicators, indicator, r2_held_out from stg_set_curves
),

sets as (
    select
        market,
        period,
        indicators,
        count(distinct indicator) as members,
        any_value(r2_held_out) as r2_held_out
    from fitted
    group by all
),

tried as (
    select
        market,
        period,
        indicators,
        count(*) as trials,
        max(net_pnl) as best_net_pnl,
        median(net_pnl) as median_net_pnl
    from trials
    where contracts > 0
    group by all
),

final as (
    select
        sets.market,
        sets.period,
        sets.indicators,
        sets.members,
        sets.r2_held_out,
        coalesce(tried.trials, 0) as trials,
        tried.best_net_pnl,
        tried.median_net_pnl,
        coalesce(sets.indicators = chosen.indicators, false) as chosen
    from sets
    left join tried using (market, period, indicators)
    left join chosen using (market, period)
)

select * from final order by market, period, indicators
