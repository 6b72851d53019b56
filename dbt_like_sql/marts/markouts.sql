with fills as (
    select * from stg_fills
),

facts as (
    select * from markets
),

later as (
    select
        market,
        session,
        side,
        liquidity,
        direction,
        price,
        quantity,
        unnest([0, 1, 5, 10, 60]) as horizon_seconds,
        unnest([mid, mid_1s, mid_5s, mid_10s, mid_60s]) as mid_then
    from fills
),

final as (
    select
        later.market,
        later.session,
        later.side,
        later.liquidity,
        later.horizon_seconds,
        count(*) as fills,
        sum(later.quantity)::bigint as contracts,
        sum(later.direction * (later.mid_then - later.price) * later.quantity * facts.multiplier) as markout,
        sum(later.direction * (later.mid_then - later.price) * later.quantity / facts.tick_size) / sum(later.quantity) as markout_ticks
    from later
    inner join facts using (market)
    where later.mid_then is not null
    group by all
)

select * from final order by market, session, side, liquidity, horizon_seconds
