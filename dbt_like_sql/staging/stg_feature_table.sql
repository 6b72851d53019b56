with features as (
    select * from feature_table
),

renamed as (
    select
        market,
        session,
        make_timestamp_ns(ts_event) as event_time,
        row,
        own,
        bid_px / 1e9 as bid,
        ask_px / 1e9 as ask,
        (bid_px + ask_px) / 2e9 as mid,
        (ask_px - bid_px) / 1e9 as spread,
        label as label_ticks,
        * exclude (market, session, ts_event, row, own, bid_px, ask_px, label, line)
    from features
)

select * from renamed
