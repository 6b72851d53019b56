with trading_halts as (
    select * from trading_halts
),

renamed as (
    select
        market,
        session,
        make_timestamp_ns(halted_from) as halted_from,
        case when halted_until < 9223372036854775807 then make_timestamp_ns(halted_until) end as halted_until
    from trading_halts
)

select * from renamed
