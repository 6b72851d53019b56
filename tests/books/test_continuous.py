"""The stretches of a session as calendar, vendor and book show them."""

import polars as pl

from assets.books.continuous import continuous, read_continuous, rows_of
from assets.books.quality import faults
from assets.books.rebuild import rebuild
from assets.books.schema import TradingStretches
from assets.desk import Quality
from assets.hours import Window
from assets.lake import Lake, check

SECOND = 1_000_000_000
SESSION = Window(0, 100 * SECOND)


def quotes(*steps):
    """A bid at 100 and an offer at 110 from the start; then (second, action, side, price, order)."""
    standing = [(1, "A", "B", 100, 1), (1, "A", "A", 110, 2), *steps]
    return [
        {"ts_event": at * SECOND, "action": action, "side": side, "price": price, "order_id": order}
        for at, action, side, price, order in standing
    ]


def told(frame, records, window=SESSION, halts=()):
    raw = frame(records)
    made = rebuild(raw, open_ns=window.open_ns, close_ns=window.close_ns, halts=[*halts, *window.pauses])
    rows = rows_of(continuous(window, raw, made, halts))
    check(rows, TradingStretches, "stretches of a test")
    return [(begin // SECOND, end // SECOND, *why) for begin, end, *why in rows.iter_rows()]


def test_a_session_in_which_nothing_happens_is_one_stretch(frame):
    assert told(frame, quotes()) == [(0, 100, "open", "close", 7)]


def test_breaks_halts_and_a_long_crossed_book_divide_it(frame):
    crossing = [(40, "A", "B", 120, 3), (50, "C", "B", 120, 3), (51, "A", "B", 99, 4)]
    short = [(60, "A", "B", 120, 5), (61, "C", "B", 120, 5), (62, "A", "B", 98, 6)]
    window = SESSION.without([(70 * SECOND, 80 * SECOND)], "break")
    found = told(frame, quotes(*crossing, *short), window, halts=[(10 * SECOND, 20 * SECOND), (90 * SECOND, 2**63 - 1)])
    assert found == [
        (0, 10, "open", "halt", 7),
        (20, 40, "halt", "crossed", 7),
        (50, 70, "crossed", "break", 7),
        (80, 90, "break", "halt", 7),
    ]


def test_a_locked_book_and_one_that_crosses_for_a_second_divide_nothing(frame):
    steps = [(40, "A", "B", 110, 3), (50, "C", "B", 110, 3), (60, "A", "B", 120, 5), (61, "C", "B", 120, 5), (62, "A", "B", 98, 6)]
    assert told(frame, quotes(*steps)) == [(0, 100, "open", "close", 7)]


def test_a_roll_divides_it_and_names_both_instruments(frame):
    records = [*quotes(), *({**record, "ts_event": 30 * SECOND, "instrument_id": 8} for record in quotes())]
    assert told(frame, records) == [(0, 30, "open", "roll", 7), (30, 100, "roll", "close", 8)]


def test_what_was_written_is_read_with_the_sessions_hours(frame, tmp_path):
    lake, halted = Lake(tmp_path), SESSION.without([(0, 100 * SECOND)], "halt")
    window = SESSION.without([(10 * SECOND, 20 * SECOND)], "halt")
    for day, each in (("2026-09-07", window), ("2026-09-08", halted), ("2026-09-09", None)):
        lake.write("trading_stretches", rows_of(each), TradingStretches, market="M", session=day)
    assert read_continuous(lake, SESSION, "M", "2026-09-07") == window
    none = read_continuous(lake, SESSION, "M", "2026-09-08")
    assert none is not None
    assert not none.within(pl.Series([0, 50 * SECOND, 99 * SECOND]).to_numpy()).any()
    assert read_continuous(lake, None, "M", "2026-09-09") is None


def test_a_feed_that_ends_long_before_trading_does_is_told(frame):
    raw = frame(quotes((20, "A", "B", 99, 3)))
    for halts, silent in (((), 80), ([(30 * SECOND, 2**63 - 1)], 10), ([(30 * SECOND, 40 * SECOND)], 80)):
        quality = rebuild(raw, open_ns=0, close_ns=100 * SECOND, halts=halts).quality
        assert quality["silent_ns"].item() == silent * SECOND
        said = [sentence for sentence in faults(quality, Quality(max_silent_end_seconds=60)) if "before trading does" in sentence]
        assert bool(said) == (silent > 60)
    assert rebuild(raw).quality["silent_ns"].item() is None
