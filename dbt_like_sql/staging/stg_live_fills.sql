with executions as (
    select * from live_fills
),

renamed as (
    select
        market,
        session,
        line as fill,
        order_id,
        make_timestamp_ns(ts_event) as fill_time,
        case side when 1 then 'buy' else 'sell' end as side,
        side as direction,
        price / 1e9 as price,
        quantity,
        liquidity,
        fee / 1e9 as fee,
        position,
        cash / 1e9 as cash,
        mid / 1e9 as mid,
        mid_1s / 1e9 as mid_1s,
        mid_5s / 1e9 as mid_5s,
        mid_10s / 1e9 as mid_10s,
        mid_60s / 1e9 as mid_60s
    from executions
)

select * from renamed
