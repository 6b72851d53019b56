with fills as (
    select * from stg_fills
),

facts as (
    select * from markets
),

marked as (
    select
        fills.*,
        facts.tick_size,
        direction * (mid - price) * quantity as edge,
        direction * (mid_1s - price) * quantity as edge_1s,
        direction * (mid_5s - price) * quantity as edge_5s,
        direction * (mid_10s - price) * quantity as edge_10s,
        facts.multiplier
    from fills
    inner join facts using (market)
),

final as (
    select
        market,
        session,
        side,
        liquidity,
        count(*) as fills,
        sum(quantity)::bigint as contracts,
        sum(fee) as fees,
        sum(edge * multiplier) as spread_captured,
        sum(edge_1s * multiplier) as markout_1s,
        sum(edge_5s * multiplier) as markout_5s,
        sum(edge_10s * multiplier) as markout_10s,
        sum(edge / tick_size) / sum(quantity) as spread_captured_ticks,
        sum(edge_1s / tick_size) / sum(quantity) filter (mid_1s is not null) as markout_1s_ticks,
        sum(edge_5s / tick_size) / sum(quantity) filter (mid_5s is not null) as markout_5s_ticks,
        sum(edge_10s / tick_size) / sum(quantity) filter (mid_10s is not null) as markout_10s_ticks
    from marked
    group by all
)

select * from final order by market, session, side, liquidity
