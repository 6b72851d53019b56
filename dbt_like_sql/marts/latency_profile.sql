with requests as (
    select * from stg_orders
),

profiles as (
    select
        market,
        session,
        kind,
        count(*) as requests,
        -- Both quantiles of a delay from one sort of it.
        quantile_cont(to_exchange_ms, [0.5, 0.99]) as to_exchange_ms,
        quantile_cont(round_trip_ms, [0.5, 0.99]) as round_trip_ms,
        count(*) filter (answer = 'too_late') / count(*) as too_late_share,
        count(*) filter (answer = 'rejected') / count(*) as rejected_share,
        count(*) filter (answer = 'filled') / count(*) as filled_at_once_share
    from requests
    group by all
),

final as (
    select
        market,
        session,
        kind,
        requests,
        to_exchange_ms[1] as to_exchange_p50_ms,
        to_exchange_ms[2] as to_exchange_p99_ms,
        round_trip_ms[1] as round_trip_p50_ms,
        round_trip_ms[2] as round_trip_p99_ms,
        too_late_share,
        rejected_share,
        filled_at_once_share
    from profiles
)

select * from final order by market, session, kind
