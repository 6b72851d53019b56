with executions as (
    select * from trades
),

renamed as (
    select
        market,
        session,
        make_timestamp_ns(ts_event) as event_time,
        make_timestamp_ns(ts_recv) as receive_time,
        row,
        instrument_id,
        price / 1e9 as price,
        size,
        case aggressor when 1 then 'buy' when -1 then 'sell' else 'unknown' end as aggressor,
        aggressor * size::bigint as signed_size
    from executions
)

select * from renamed
