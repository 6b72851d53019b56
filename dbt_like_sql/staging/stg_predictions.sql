with predicted as (
    select * from predictions
),

renamed as (
    select
        market,
        session,
        make_timestamp_ns(ts_event) as event_time,
        row,
        prediction as predicted_ticks,
        label as label_ticks,
        label - prediction as error_ticks,
        * exclude (market, session, ts_event, row, prediction, label, line)
    from predicted
)

select * from renamed
