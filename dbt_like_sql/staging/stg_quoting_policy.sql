with chosen as (
    select * from quoting_policy
),

renamed as (
    select
        market,
        period,
        trial,
        trials,
        threshold as threshold_ticks,
        prediction_weight,
        level_weight,
        ahead_weight,
        behind_weight,
        hysteresis as hysteresis_ticks,
        indicators,
        net_pnl_train,
        sharpe_train,
        dsr as deflated_sharpe,
        dsr_trials as deflated_by_trials,
        pbo as overfitting_probability,
        first_session,
        last_session
    from chosen
)

select * from renamed
