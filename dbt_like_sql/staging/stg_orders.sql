with requests as (
    select * from orders
),

renamed as (
    select
        market,
        session,
        request,
        order_id,
        kind,
        reason,
        case side when 1 then 'buy' else 'sell' end as side,
        price / 1e9 as price,
        quantity,
        make_timestamp_ns(ts_request) as request_time,
        make_timestamp_ns(ts_arrival) as arrival_time,
        make_timestamp_ns(ts_response) as response_time,
        (ts_arrival - ts_request) / 1e6 as to_exchange_ms,
        (ts_response - ts_request) / 1e6 as round_trip_ms,
        answer,
        refusal,
        queue_ahead,
        score as score_ticks,
        prediction as predicted_ticks
    from requests
)

select * from renamed
