with matched as (
    select * from reconciled_orders
),

renamed as (
    select
        market,
        session,
        order_id,
        case side when 1 then 'buy' else 'sell' end as side,
        price / 1e9 as price,
        quantity,
        make_timestamp_ns(ts_request) as request_time,
        fate,
        refusal,
        filled_log,
        make_timestamp_ns(ts_fill_log) as fill_log_time,
        slippage_log_ticks,
        worth_log,
        filled_replay,
        make_timestamp_ns(ts_fill_replay) as fill_replay_time,
        slippage_replay_ticks,
        worth_replay,
        pnl_missed,
        pnl_imagined,
        pnl_price
    from matched
)

select * from renamed
