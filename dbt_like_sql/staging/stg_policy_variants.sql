with variants as (
    select * from policy_variants
),

renamed as (
    select
        market,
        period,
        variant,
        style,
        threshold as threshold_ticks,
        prediction_weight,
        level_weight,
        ahead_weight,
        behind_weight,
        hysteresis as hysteresis_ticks,
        indicators,
        choices,
        net_pnl_train
    from variants
)

select * from renamed
