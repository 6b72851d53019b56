with ticks as (
    select * from raw_ticks
),

renamed as (
    select
        market,
        session,
        line::uinteger as row,
        make_timestamp_ns(ts_event) as event_time,
        make_timestamp_ns(ts_recv) as receive_time,
        (ts_recv - ts_event) / 1e6 as feed_delay_ms,
        publisher_id,
        instrument_id,
        chr(action) as action,
        chr(side) as side,
        case when price < 9223372036854775807 then price / 1e9 end as price,
        size,
        order_id,
        sequence,
        flags & 128 <> 0 as ends_event,
        flags & 32 <> 0 as is_snapshot
    from ticks
)

select * from renamed
