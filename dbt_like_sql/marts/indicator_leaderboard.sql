with curves as (
    select * from stg_curve_model
),

scores as (
    select * from stg_indicator_scores
),

weighed as (
    select
        market,
        period,
        indicator,
        sum(rows_in_bucket)::bigint as rows_seen,
        sqrt(sum(curve_ticks * curve_ticks * rows_in_bucket) / nullif(sum(rows_in_bucket), 0)) as weight_ticks,
        max(abs(curve_ticks)) as largest_ticks
    from curves
    group by all
),

ranked as (
    select
        market,
        period,
        indicator,
        rank() over (partition by market, period order by weight_ticks desc nulls last) as place,
        weight_ticks,
        weight_ticks / nullif(sum(weight_ticks) over (partition by market, period), 0) as share,
        largest_ticks,
        rows_seen
    from weighed
),

final as (
    select
        ranked.*,
        scores.r2_alone,
        scores.r2_added,
        scores.rank_correlation,
        scores.p_adjusted,
        scores.passes
    from ranked
    left join scores using (market, period, indicator)
)

select * from final order by market, period, place, indicator
