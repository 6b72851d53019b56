with scores as (
    select * from stg_model_scores
),

final as (
    select
        market,
        period,
        model,
        rank() over (partition by market, period order by r2 desc nulls last) as place,
        r2,
        r2_low,
        r2_high,
        champion,
        traded,
        r2_held_out,
        r2_train,
        r2_train - r2 as overfit,
        mse_ticks,
        rank_correlation,
        trained_on_every,
        rows_train,
        rows_test,
        fit_seconds,
        predict_row_us
    from scores
)

select * from final order by market, period, place, model
