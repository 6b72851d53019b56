with found as (
    select * from indicator_scores
),

renamed as (
    select
        market,
        period,
        indicator,
        formula,
        leader,
        tau,
        slow,
        levels,
        on_desk,
        sessions,
        rows,
        r2_alone,
        r2_alone_low,
        r2_alone_high,
        r2_added,
        r2_added_low,
        r2_added_high,
        rank_correlation,
        rank_low,
        rank_high,
        stability,
        stability_low,
        stability_high,
        hit_rate,
        monotonicity,
        rank_1s,
        rank_2s,
        rank_5s,
        rank_10s,
        rank_20s,
        rank_30s,
        rank_60s,
        t_value,
        p_value,
        p_adjusted,
        passes,
        closest,
        closest_correlation,
        kept,
        dropped_for
    from found
)

select * from renamed
