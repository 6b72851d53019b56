with points as (
    select * from stg_equity
),

closes as (
    select
        market,
        session,
        arg_max(equity, point) as closing_equity
    from points
    group by all
),

opens as (
    select
        market,
        session,
        coalesce(sum(closing_equity) over (partition by market order by session rows between unbounded preceding and 1 preceding), 0) as carried
    from closes
),

joined as (
    select
        points.market,
        points.session,
        points.point,
        points.event_time,
        points.position,
        points.equity as session_pnl,
        opens.carried + points.equity as total_pnl
    from points
    inner join opens using (market, session)
),

final as (
    select
        market,
        session,
        point,
        event_time,
        position,
        session_pnl,
        total_pnl,
        greatest(0, max(total_pnl) over (partition by market order by session, point)) - total_pnl as drawdown
    from joined
)

select * from final order by market, session, point
