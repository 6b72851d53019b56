with fits as (
    select * from stg_queue_fit
),

asked as (
    select
        *,
        -- A session tests the last fit before it.
        (select max(period) from fits where fits.market = asked.market and fits.period <= asked.session) as period
    from stg_shadow_orders as asked
),

tested as (
    select
        asked.*,
        fits.told_right_train
    from asked
    left join fits using (market, period, queue, exponent)
    -- Of the models with an exponent the one that was fitted; the others have nothing to fit.
    where asked.period is not null and (asked.queue not in ('power', 'share') or fits.exponent is not null)
),

final as (
    select
        market,
        period,
        queue,
        exponent,
        any_value(told_right_train) as told_right_train,
        1 - sum(missed + imagined) / sum(orders) as told_right,
        sum(missed) / sum(orders) as missed,
        sum(imagined) / sum(orders) as imagined,
        sum(filled) / sum(orders) as fill_rate,
        sum(filled_estimated) / sum(orders) as fill_rate_estimated,
        avg(time_error_mean_s) as time_error_mean_s,
        sum(queue_error * orders) / sum(orders) as queue_error,
        sum(queue_abs_error * orders) / sum(orders) as queue_abs_error,
        sum(markout_ticks * filled) / sum(filled) as markout_ticks,
        sum(markout_estimated_ticks * filled_estimated) / sum(filled_estimated) as markout_estimated_ticks,
        count(*) as sessions,
        sum(orders)::bigint as orders
    from tested
    group by market, period, queue, exponent
)

select * from final order by market, period, told_right desc, queue
