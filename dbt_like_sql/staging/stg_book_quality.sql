with quality as (
    select * from book_quality
),

renamed as (
    select
        market,
        session,
        records,
        events,
        trades,
        quarantined,
        quarantined / nullif(records, 0) as quarantined_share,
        refused,
        crossed as crossed_records,
        crossed_ns / 1e9 as crossed_seconds,
        locked_ns / 1e9 as locked_seconds,
        out_of_order,
        gaps,
        make_timestamp_ns(trusted_from) as trusted_from,
        silent_ns / 1e9 as silent_seconds,
        instruments,
        make_timestamp_ns(rolled_at) as rolled_at,
        feed_p50_ns / 1e6 as feed_p50_ms,
        feed_p99_ns / 1e6 as feed_p99_ms,
        off_tick_orders,
        off_tick_price / 1e9 as off_tick_price,
        off_tick_trades,
        front_share
    from quality
)

select * from renamed
