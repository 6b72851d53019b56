with requests as (
    select * from stg_orders
),

final as (
    select
        market,
        session,
        kind,
        count(*) as requests,
        median(to_exchange_ms) as to_exchange_p50_ms,
        quantile_cont(to_exchange_ms, 0.99) as to_exchange_p99_ms,
        median(round_trip_ms) as round_trip_p50_ms,
        quantile_cont(round_trip_ms, 0.99) as round_trip_p99_ms,
        count(*) filter (answer = 'too_late') / count(*) as too_late_share,
        count(*) filter (answer = 'rejected') / count(*) as rejected_share,
        count(*) filter (answer = 'filled') / count(*) as filled_at_once_share
    from requests
    group by all
)

select * from final order by market, session, kind
