with books as (
    select * from clean_books
),

renamed as (
    select
        market,
        session,
        make_timestamp_ns(ts_event) as event_time,
        make_timestamp_ns(ts_recv) as receive_time,
        row,
        records,
        instrument_id,
        bid_px_00 / 1e9 as bid,
        bid_sz_00 as bid_size,
        bid_ct_00 as bid_orders,
        ask_px_00 / 1e9 as ask,
        ask_sz_00 as ask_size,
        ask_ct_00 as ask_orders,
        (bid_px_00 + ask_px_00) / 2e9 as mid,
        (ask_px_00 - bid_px_00) / 1e9 as spread,
        coalesce(bid_sz_00, 0) + coalesce(bid_sz_01, 0) + coalesce(bid_sz_02, 0) + coalesce(bid_sz_03, 0) + coalesce(bid_sz_04, 0)
            + coalesce(bid_sz_05, 0) + coalesce(bid_sz_06, 0) + coalesce(bid_sz_07, 0) + coalesce(bid_sz_08, 0) + coalesce(bid_sz_09, 0) as bid_depth,
        coalesce(ask_sz_00, 0) + coalesce(ask_sz_01, 0) + coalesce(ask_sz_02, 0) + coalesce(ask_sz_03, 0) + coalesce(ask_sz_04, 0)
            + coalesce(ask_sz_05, 0) + coalesce(ask_sz_06, 0) + coalesce(ask_sz_07, 0) + coalesce(ask_sz_08, 0) + coalesce(ask_sz_09, 0) as ask_depth,
        [
            {'price': bid_px_00 / 1e9, 'contracts': bid_sz_00, 'orders': bid_ct_00},
            {'price': bid_px_01 / 1e9, 'contracts': bid_sz_01, 'orders': bid_ct_01},
            {'price': bid_px_02 / 1e9, 'contracts': bid_sz_02, 'orders': bid_ct_02},
            {'price': bid_px_03 / 1e9, 'contracts': bid_sz_03, 'orders': bid_ct_03},
            {'price': bid_px_04 / 1e9, 'contracts': bid_sz_04, 'orders': bid_ct_04},
            {'price': bid_px_05 / 1e9, 'contracts': bid_sz_05, 'orders': bid_ct_05},
            {'price': bid_px_06 / 1e9, 'contracts': bid_sz_06, 'orders': bid_ct_06},
            {'price': bid_px_07 / 1e9, 'contracts': bid_sz_07, 'orders': bid_ct_07},
            {'price': bid_px_08 / 1e9, 'contracts': bid_sz_08, 'orders': bid_ct_08},
            {'price': bid_px_09 / 1e9, 'contracts': bid_sz_09, 'orders': bid_ct_09}
        ] as bids,
        [
            {'price': ask_px_00 / 1e9, 'contracts': ask_sz_00, 'orders': ask_ct_00},
            {'price': ask_px_01 / 1e9, 'contracts': ask_sz_01, 'orders': ask_ct_01},
            {'price': ask_px_02 / 1e9, 'contracts': ask_sz_02, 'orders': ask_ct_02},
            {'price': ask_px_03 / 1e9, 'contracts': ask_sz_03, 'orders': ask_ct_03},
            {'price': ask_px_04 / 1e9, 'contracts': ask_sz_04, 'orders': ask_ct_04},
            {'price': ask_px_05 / 1e9, 'contracts': ask_sz_05, 'orders': ask_ct_05},
            {'price': ask_px_06 / 1e9, 'contracts': ask_sz_06, 'orders': ask_ct_06},
            {'price': ask_px_07 / 1e9, 'contracts': ask_sz_07, 'orders': ask_ct_07},
            {'price': ask_px_08 / 1e9, 'contracts': ask_sz_08, 'orders': ask_ct_08},
            {'price': ask_px_09 / 1e9, 'contracts': ask_sz_09, 'orders': ask_ct_09}
        ] as asks
    from books
)

select * from renamed
