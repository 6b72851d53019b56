with requests as (
    select market, session, 'live' as run, order_id, kind, answer from stg_live_orders
    union all
    select market, session, 'replay' as run, order_id, kind, answer from stg_orders
),

fills as (
    select market, session, 'live' as run, * exclude (market, session) from stg_live_fills
    union all
    select market, session, 'replay' as run, * exclude (market, session) from stg_fills
),

facts as (
    select * from markets
),

sent as (
    select
        market,
        session,
        run,
        count(*) filter (kind = 'new') as orders,
        count(*) filter (answer = 'too_late') as too_late
    from requests
    group by all
),

executed as (
    select
        market,
        session,
        run,
        count(distinct order_id) as filled_orders,
        sum(quantity)::bigint as contracts,
        sum(direction * (mid - price) / tick_size * quantity) filter (liquidity = 'maker')
        / sum(quantity) filter (liquidity = 'maker') as spread_captured_ticks,
        sum(direction * (mid_10s - price) / tick_size * quantity) filter (liquidity = 'maker')
        / sum(quantity) filter (liquidity = 'maker' and mid_10s is not null) as markout_10s_ticks,
        arg_max(cash + position * mid * multiplier, fill) as net_pnl
    from fills
    inner join facts using (market)
    group by all
),

runs as (
    select
        market,
        session,
        run,
        orders,
        too_late,
        coalesce(filled_orders, 0) as filled_orders,
        coalesce(contracts, 0) as contracts,
        spread_captured_ticks,
        markout_10s_ticks,
        coalesce(net_pnl, 0) as net_pnl
    from sent
    left join executed using (market, session, run)
),

final as (
    select
        market,
        session,
        live.orders as live_orders,
        replay.orders as replay_orders,
        live.filled_orders / nullif(live.orders, 0) as live_fill_rate,
        replay.filled_orders / nullif(replay.orders, 0) as replay_fill_rate,
        live.contracts as live_contracts,
        replay.contracts as replay_contracts,
        live.too_late as live_too_late,
        replay.too_late as replay_too_late,
        live.spread_captured_ticks as live_spread_captured_ticks,
        replay.spread_captured_ticks as replay_spread_captured_ticks,
        live.markout_10s_ticks as live_markout_10s_ticks,
        replay.markout_10s_ticks as replay_markout_10s_ticks,
        live.net_pnl as live_net_pnl,
        replay.net_pnl as replay_net_pnl,
        live.net_pnl - replay.net_pnl as gap
    from (select * from runs where run = 'live') as live
    inner join (select * from runs where run = 'replay') as replay using (market, session)
)

select * from final order by market, session
