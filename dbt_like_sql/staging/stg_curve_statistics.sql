with sums as (
    select * from curve_statistics
),

renamed as (
    select
        market,
        session,
        indicator,
        bucket,
        version,
        series,
        count as rows_in_bucket,
        label_sum as label_sum_ticks,
        label_sum / nullif(count, 0) as label_mean_ticks,
        rows as rows_in_session,
        label_square as label_square_ticks
    from sums
)

select * from renamed
