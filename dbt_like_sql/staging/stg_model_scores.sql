with scores as (
    select * from model_scores
),

renamed as (
    select
        market,
        period,
        model,
        every as trained_on_every,
        rows_train,
        rows_test,
        mse as mse_ticks,
        r2,
        r2_low,
        r2_high,
        r2_train,
        rank_correlation,
        r2_held_out,
        champion,
        traded,
        fit_seconds,
        predict_row_us
    from scores
)

select * from renamed
