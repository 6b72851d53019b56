with refused as (
    select * from quarantine
),

renamed as (
    select
        market,
        session,
        row,
        make_timestamp_ns(ts_event) as event_time,
        chr(action) as action,
        chr(side) as side,
        case when price < 9223372036854775807 then price / 1e9 end as price,
        size,
        order_id,
        sequence,
        reason
    from refused
)

select * from renamed
