with asked as (
    select * from shadow_orders
),

renamed as (
    select
        market,
        session,
        queue,
        exponent,
        orders,
        filled,
        filled_estimated,
        missed,
        imagined,
        told_right,
        time_error_s,
        time_error_mean_s,
        queue_error,
        queue_abs_error,
        markout_ticks,
        markout_estimated_ticks
    from asked
)

select * from renamed
