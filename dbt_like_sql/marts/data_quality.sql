with quality as (
    select * from stg_book_quality
),

refused as (
    select
        market,
        session,
        reason,
        count(*) as rows_refused
    from stg_quarantine
    group by all
),

reasons as (
    select
        market,
        session,
        first(reason order by rows_refused desc, reason) as main_reason,
        count(*) as reasons
    from refused
    group by all
),

final as (
    select
        quality.market,
        quality.session,
        quality.records = 0 as no_session,
        recording.complete,
        recording.damage,
        quality.records,
        quality.events,
        quality.trades,
        quality.quarantined,
        quality.quarantined_share,
        reasons.main_reason,
        coalesce(reasons.reasons, 0) as reasons,
        quality.crossed_seconds,
        quality.locked_seconds,
        quality.out_of_order,
        quality.gaps,
        quality.trusted_from,
        quality.instruments,
        quality.rolled_at,
        quality.feed_p50_ms,
        quality.feed_p99_ms,
        quality.off_tick_orders,
        quality.off_tick_trades,
        quality.front_share
    from quality
    left join stg_recording as recording using (market, session)
    left join reasons using (market, session)
)

select * from final order by market, session
