with replayed as (
    select * from reconciliation
),

renamed as (
    select
        market,
        session,
        latency_ms,
        queue,
        exponent,
        own,
        orders,
        filled_log,
        filled_replay,
        missed,
        imagined,
        refused,
        time_to_fill_log_s,
        time_to_fill_replay_s,
        slippage_log_ticks,
        slippage_replay_ticks,
        ks_time_to_fill,
        ks_slippage,
        pnl_log,
        pnl_replay,
        pnl_missed,
        pnl_imagined,
        pnl_price
    from replayed
)

select * from renamed
