with curves as (
    select * from set_curves
),

renamed as (
    select
        market,
        period,
        indicators,
        indicator,
        bucket,
        lower,
        upper,
        count as rows_in_bucket,
        mean as mean_ticks,
        value as curve_ticks,
        error as error_ticks,
        version,
        code_version,
        fingerprint,
        first_session,
        last_session,
        form,
        penalty,
        note,
        passes,
        step,
        lambda_max,
        residual as residual_ticks,
        r2_train,
        r2_held_out
    from curves
)

select * from renamed
