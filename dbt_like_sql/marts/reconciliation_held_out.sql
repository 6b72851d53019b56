with replayed as (
    select * from stg_reconciliation
),

sessions as (
    select
        market,
        session,
        row_number() over (partition by market order by session) as place,
        count(*) over (partition by market) as all_sessions
    from (select distinct market, session from replayed)
),

placed as (
    select
        replayed.*,
        place > (all_sessions + 1) // 2 as held_out
    from replayed
    inner join sessions using (market, session)
),

tried as (
    select
        market,
        latency_ms,
        queue,
        exponent,
        bool_or(own) as own,
        sum(missed + imagined) as wrong,
        count(*) as sessions_fitted
    from placed
    where not held_out
    group by all
),

-- Of settings that are wrong as often, the desk's own, then the shorter wire.
ranked as (
    select
        *,
        row_number() over (
            partition by market
            order by wrong, own desc, latency_ms, case queue when 'exact' then 1 when 'pessimist' then 2 when 'optimist' then 4 else 3 end
        ) as place
    from tried
),

fitted as (
    select * from ranked where place = 1
),

told as (
    select false as calibrated, placed.*, fitted.sessions_fitted
    from placed
    inner join fitted using (market)
    where placed.held_out and placed.own
    union all
    select true as calibrated, placed.*, fitted.sessions_fitted
    from placed
    inner join fitted using (market, latency_ms, queue, exponent)
    where placed.held_out
),

final as (
    select
        market,
        session,
        calibrated,
        latency_ms,
        queue,
        exponent,
        sessions_fitted,
        orders,
        filled_log,
        filled_replay,
        missed,
        imagined,
        ks_time_to_fill,
        ks_slippage,
        pnl_log,
        pnl_replay,
        pnl_missed,
        pnl_imagined,
        pnl_price
    from told
)

select * from final order by market, session, calibrated
