with fitted as (
    select * from queue_fit
),

renamed as (
    select
        market,
        period,
        queue,
        exponent,
        sessions,
        orders,
        told_right_train
    from fitted
)

select * from renamed
