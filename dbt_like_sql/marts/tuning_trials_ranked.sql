with trials as (
    select * from stg_tuning_trials
),

chosen as (
    select * from stg_quoting_policy
),

final as (
    select
        trials.market,
        trials.period,
        rank() over (partition by trials.market, trials.period order by trials.net_pnl desc) as place,
        trials.trial,
        coalesce(trials.trial = chosen.trial, false) as chosen,
        trials.net_pnl,
        trials.contracts,
        trials.pnl_per_contract,
        trials.sharpe,
        -- Nothing that earned more earned as much a contract.
        trials.pnl_per_contract > coalesce(max(trials.pnl_per_contract) over better, '-infinity'::double) as on_front,
        trials.threshold_ticks,
        trials.prediction_weight,
        trials.level_weight,
        trials.ahead_weight,
        trials.behind_weight,
        trials.hysteresis_ticks,
        trials.indicators
    from trials
    left join chosen using (market, period)
    window better as (partition by trials.market, trials.period order by trials.net_pnl desc, trials.trial rows between unbounded preceding and 1 preceding)
)

select * from final order by market, period, place, trial
