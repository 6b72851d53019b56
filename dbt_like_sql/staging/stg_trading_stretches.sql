with trading_stretches as (
    select * from trading_stretches
),

renamed as (
    select
        market,
        session,
        make_timestamp_ns(trading_from) as trading_from,
        make_timestamp_ns(trading_until) as trading_until,
        (trading_until - trading_from) / 1e9 as seconds,
        begins,
        ends,
        instrument_id
    from trading_stretches
)

select * from renamed
