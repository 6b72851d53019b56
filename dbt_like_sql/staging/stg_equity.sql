with accounts as (
    select * from equity
),

renamed as (
    select
        market,
        session,
        line as point,
        make_timestamp_ns(ts_event) as event_time,
        position,
        cash / 1e9 as cash,
        mid / 1e9 as mid,
        equity / 1e9 as equity
    from accounts
)

select * from renamed
