with found as (
    select * from indicator_buckets
),

renamed as (
    select
        market,
        period,
        indicator,
        bucket,
        lower,
        upper,
        count as rows_in_bucket,
        mean as mean_ticks,
        value as curve_ticks,
        error as error_ticks
    from found
)

select * from renamed
