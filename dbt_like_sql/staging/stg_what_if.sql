with replayed as (
    select * from what_if
),

renamed as (
    select
        market,
        session,
        assumption,
        setting,
        latency_ms,
        queue,
        queue_exponent,
        net_pnl,
        fees,
        contracts,
        maker_contracts,
        orders,
        cancelled
    from replayed
)

select * from renamed
