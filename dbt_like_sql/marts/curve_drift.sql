with curves as (
    select * from stg_curve_model
),

paired as (
    select
        market,
        period,
        indicator,
        rows_in_bucket,
        curve_ticks,
        lag(period) over earlier as previous_period,
        lag(curve_ticks) over earlier as previous_ticks,
        lag(version) over earlier = version as comparable
    from curves
    window earlier as (partition by market, indicator, bucket order by period)
),

final as (
    select
        market,
        period,
        previous_period,
        indicator,
        sqrt(sum(curve_ticks * curve_ticks * rows_in_bucket) / nullif(sum(rows_in_bucket), 0)) as weight_ticks,
        sqrt(sum((curve_ticks - previous_ticks) ** 2 * rows_in_bucket) / nullif(sum(rows_in_bucket), 0)) as change_ticks,
        change_ticks / nullif(weight_ticks, 0) as change_share
    from paired
    where comparable
    group by all
)

select * from final order by market, indicator, period
