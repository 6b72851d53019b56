with fits as (
    select * from stg_queue_fit
),

asked as (
    select * from stg_queue_fidelity
),

tested as (
    select
        fits.*,
        asked.session,
        asked.orders as orders_test,
        asked.missed,
        asked.imagined
    from fits
    inner join asked on fits.market = asked.market and fits.queue = asked.queue and fits.exponent = asked.exponent
    -- A session tests the last fit before it.
    where fits.period = (select max(last.period) from fits as last where last.market = asked.market and last.period <= asked.session)
),

final as (
    select
        market,
        period,
        queue,
        exponent,
        told_right_train,
        1 - sum(missed + imagined) / sum(orders_test) as told_right_test,
        sum(missed) / sum(orders_test) as missed_test,
        sum(imagined) / sum(orders_test) as imagined_test,
        count(*) as sessions,
        sum(orders_test)::bigint as orders_test
    from tested
    group by all
)

select * from final order by market, period, queue
