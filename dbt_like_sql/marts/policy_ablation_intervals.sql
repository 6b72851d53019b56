with traded as (
    select * from stg_policy_ablation
),

compared as (
    select
        traded.*,
        traded.net_pnl - whole.net_pnl as difference
    from traded
    inner join traded as whole on traded.market = whole.market and traded.session = whole.session and whole.variant = 'full'
),

places as (
    select
        market,
        session,
        row_number() over (partition by market order by session) - 1 as place,
        count(*) over (partition by market) as sessions
    from traded
    where variant = 'full'
),

draws as (
    select unnest(range(2000)) as draw
),

drawn as (
    select
        places.market,
        draws.draw,
        (hash(draws.draw * 100003 + places.place) % places.sessions)::bigint as place
    from places
    cross join draws
),

histories as (
    select
        compared.market,
        compared.variant,
        drawn.draw,
        sum(compared.net_pnl) as net_pnl,
        sum(compared.difference) as difference
    from drawn
    inner join places on drawn.market = places.market and drawn.place = places.place
    inner join compared on places.market = compared.market and places.session = compared.session
    group by all
),

intervals as (
    select
        market,
        variant,
        quantile_cont(net_pnl, 0.025) as net_low,
        quantile_cont(net_pnl, 0.975) as net_high,
        quantile_cont(difference, 0.025) as difference_low,
        quantile_cont(difference, 0.975) as difference_high
    from histories
    group by all
),

sums as (
    select
        market,
        variant,
        count(*) as sessions,
        sum(net_pnl) as net_pnl,
        sum(difference) as difference,
        sum(fees) as fees,
        sum(contracts)::bigint as contracts,
        sum(maker_contracts) / nullif(sum(contracts), 0) as maker_share,
        sum(cancelled) / nullif(sum(orders), 0) as cancelled_share
    from compared
    group by all
),

final as (
    select
        sums.market,
        sums.variant,
        sums.sessions,
        sums.net_pnl,
        intervals.net_low,
        intervals.net_high,
        sums.difference,
        intervals.difference_low,
        intervals.difference_high,
        sums.fees,
        sums.contracts,
        sums.maker_share,
        sums.cancelled_share
    from sums
    inner join intervals on sums.market = intervals.market and sums.variant = intervals.variant
)

select * from final order by market, net_pnl desc, variant
