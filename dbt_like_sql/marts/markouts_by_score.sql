with fills as (
    select * from stg_fills
),

decisions as (
    select
        market,
        session,
        order_id,
        score_ticks
    from stg_orders
    where kind = 'new' and score_ticks is not null
),

facts as (
    select * from markets
),

later as (
    select
        fills.market,
        fills.liquidity,
        floor(decisions.score_ticks / 0.2) * 0.2 as score_from_ticks,
        fills.direction,
        fills.price,
        fills.quantity,
        unnest([0, 1, 5, 10, 60]) as horizon_seconds,
        unnest([fills.mid, fills.mid_1s, fills.mid_5s, fills.mid_10s, fills.mid_60s]) as mid_then
    from fills
    inner join decisions on fills.market = decisions.market and fills.session = decisions.session and fills.order_id = decisions.order_id
),

final as (
    select
        later.market,
        later.liquidity,
        later.score_from_ticks,
        later.horizon_seconds,
        count(*) as fills,
        sum(later.quantity)::bigint as contracts,
        sum(later.direction * (later.mid_then - later.price) * later.quantity / facts.tick_size) / sum(later.quantity) as markout_ticks,
        stddev_samp(later.direction * (later.mid_then - later.price) / facts.tick_size) / sqrt(count(*)) as error_ticks
    from later
    inner join facts using (market)
    where later.mid_then is not null
    group by all
)

select * from final order by market, liquidity, score_from_ticks, horizon_seconds
