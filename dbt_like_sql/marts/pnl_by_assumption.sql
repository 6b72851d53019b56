with replayed as (
    select * from stg_what_if
),

compared as (
    select
        replayed.*,
        replayed.net_pnl - at_once.net_pnl as against_no_delay
    from replayed
    left join replayed as at_once
        on replayed.market = at_once.market and replayed.session = at_once.session
        and replayed.assumption = 'latency' and at_once.assumption = 'latency' and at_once.latency_ms = 0
),

final as (
    select
        market,
        assumption,
        setting,
        latency_ms,
        count(*) as sessions,
        avg(net_pnl) as net_pnl,
        stddev_samp(net_pnl) / sqrt(count(*)) as net_pnl_error,
        avg(against_no_delay) as against_no_delay,
        stddev_samp(against_no_delay) / sqrt(count(*)) as against_no_delay_error,
        avg(contracts) as contracts,
        sum(maker_contracts) / nullif(sum(contracts), 0) as maker_share,
        sum(cancelled) / nullif(sum(orders), 0) as cancelled_share
    from compared
    group by market, assumption, setting, latency_ms
)

select * from final order by market, assumption, latency_ms, setting
