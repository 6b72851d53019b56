with tried as (
    select * from tuning_trials
),

renamed as (
    select
        market,
        period,
        trial,
        threshold as threshold_ticks,
        prediction_weight,
        level_weight,
        ahead_weight,
        behind_weight,
        hysteresis as hysteresis_ticks,
        indicators,
        net_pnl,
        contracts,
        pnl_per_contract,
        sharpe
    from tried
)

select * from renamed
