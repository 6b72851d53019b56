"""What holds for every indicator: no look-ahead, one answer from batch and stream, odd under a mirror, bounded, at rest without news."""

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.books.schema import LEVELS
from assets.features.build import build
from assets.features.indicators import CLASSES, Indicator, catalogue
from assets.features.indicators.external import External
from assets.features.kernel import Stream

HORIZON = 10_000_000_000
LEADERS = ["LDR"]
SEEDS = st.integers(0, 2**32 - 1)


NEWS = External(series="news", delay=0.5, sign=-1)


def every() -> list[Indicator]:
    return [*catalogue(LEADERS), NEWS]


def table(own, leader, news, tick) -> pl.DataFrame:
    return build(
        *own, {"LDR": leader}, tick=tick, leader_ticks={"LDR": tick}, horizon_ns=HORIZON, chosen=every(), series={"news": news}
    )  # fmt: skip


def news_of(seed, after=500_000_000) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame({"ts_event": after + np.cumsum(rng.integers(0, 5_000_000_000, 40)), "value": rng.normal(size=40)})


def test_every_class_is_among_those_tested():
    assert {type(indicator) for indicator in every()} == set(CLASSES)
    assert len({indicator.leader for indicator in every()}) == 2


@settings(max_examples=15, deadline=None)
@given(SEEDS, st.integers(1, 119))
def test_what_comes_after_t_changes_nothing_up_to_t(make, seed, cut):
    own, leader = make.random(seed), make.random(seed + 1, start=1_400_000_000)
    t = own[0]["ts_event"][cut]

    def scrambled(ticks, other_seed):
        others = make.random(other_seed, start=t + 1)
        last = int(max(ticks[0]["row"].max(), *ticks[1]["row"].to_list(), 0)) + 1
        past = [frame.filter(pl.col("ts_event") <= t) for frame in ticks]
        return tuple(pl.concat([before, after.with_columns(pl.col("row") + last)]) for before, after in zip(past, others, strict=True))

    news, dreamt = news_of(seed), news_of(seed + 4, after=t + 1 - 500_000_000)
    dreamt = pl.concat([news.filter(pl.col("ts_event") + 500_000_000 <= t), dreamt])
    real = table(own, leader, news, make.tick).filter(pl.col("ts_event") <= t)
    dream = table(scrambled(own, seed + 2), scrambled(leader, seed + 3), dreamt, make.tick).filter(pl.col("ts_event") <= t)
    assert real.drop("label").equals(dream.drop("label"))
    settled = pl.col("ts_event") + HORIZON <= t
    assert real.filter(settled)["label"].equals(dream.filter(settled)["label"])


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_batch_is_the_stream_bit_for_bit(make, seed):
    own, leader, news = make.random(seed), make.random(seed + 1), news_of(seed)
    stream = Stream(every(), LEADERS, [make.tick, make.tick])
    events = []
    for m, (books, trades) in enumerate((own, leader)):
        events += [((row["ts_event"], m, row["row"], 1), row) for row in books.iter_rows(named=True)]
        events += [((row["ts_event"], m, row["row"], 0), row) for row in trades.iter_rows(named=True)]
    events += [((ts + 500_000_000, -1, 0, 0), -value) for ts, value in news.rows()]
    streamed = []
    for (ts, m, _, is_book), row in sorted(events, key=lambda event: event[0]):
        if m < 0:
            stream.value(NEWS.name, row)
            continue
        name = ["", *LEADERS][m]
        if not is_book:
            stream.trade(name, row["price"], row["size"], row["aggressor"])
            continue
        kinds = [(side, kind) for kind in ("px", "sz", "ct") for side in ("bid", "ask")]
        event = np.array([[row[f"{side}_{kind}_{level:02d}"] or 0 for level in range(LEVELS)] for side, kind in kinds], dtype=np.int64)
        values = stream.book(name, ts, event)
        if values is not None:
            streamed.append(values.astype(np.float32))
    batched = table(own, leader, news, make.tick).select(stream.names).to_numpy()
    assert batched.tobytes() == np.array(streamed).reshape(-1, len(stream.names)).tobytes()


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.sampled_from([1000, 0, -500]))
def test_a_mirrored_market_gives_exactly_the_negated_indicators_and_label(make, seed, about):
    own, leader, news = make.random(seed), make.random(seed + 1), news_of(seed)
    straight = table(own, leader, news, make.tick)
    mirrored = table(mirror(own, make.tick, about), mirror(leader, make.tick, about), news.with_columns(-pl.col("value")), make.tick)
    for name in [*(indicator.name for indicator in every()), "label"]:
        assert straight[name].equals(-mirrored[name]), name


def mirror(ticks, tick, about):
    """Bids become asks and asks bids, prices turn about so many ticks (about 0 they are negative), takers change sides."""
    (books, trades), twice = ticks, 2 * about * tick
    turned = {
        f"{one}_{kind}_{level:02d}": books[f"{other}_{kind}_{level:02d}"] * sign + shift
        for one, other in (("bid", "ask"), ("ask", "bid"))
        for kind, sign, shift in (("px", -1, twice), ("sz", 1, 0), ("ct", 1, 0))
        for level in range(LEVELS)
    }
    return books.with_columns(**turned), trades.with_columns(price=twice - trades["price"], aggressor=-trades["aggressor"])


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_values_are_finite_and_shares_lie_between_minus_one_and_one(make, seed):
    found = table(make.random(seed), make.random(seed + 1), news_of(seed), make.tick)
    for indicator in every():
        values = found[indicator.name].to_numpy()
        assert np.isfinite(values).all(), indicator.name
        if indicator.unit == "share":
            assert (np.abs(values) <= 1).all(), indicator.name


@settings(max_examples=10, deadline=None)
@given(SEEDS)
def test_one_level_of_book_is_enough_for_every_indicator(make, seed):
    """As in schema mbp-1: what needs more says nothing, what can use one level uses it."""
    found = table(make.random(seed, deepest=1), make.random(seed + 1, deepest=1), news_of(seed), make.tick)
    assert found["hollow"].to_list() == [0.0] * found.height
    assert found["depth_5"].equals(found["skew"].alias("depth_5"))
    assert found["deep_ofi_5_1s"].equals(found["ofi_1s"].alias("deep_ofi_5_1s"))


def test_what_was_long_ago_is_forgotten(make):
    """A day later every decayed sum is zero, not a denormal number's noise."""
    own, trades = make.random(7, 60)
    late = int(own["ts_event"][-1]) + 86_400_000_000_000
    still = [(500, 4, 1)], [(501, 4, 1)]
    quiet = make.books((late, *still), (late + 86_400_000_000_000, [(500, 5, 1)], [(501, 5, 1)]), rows=[9000, 9001])
    found = build(pl.concat([own, quiet]), trades, {}, tick=make.tick, leader_ticks={}, horizon_ns=HORIZON, chosen=catalogue([])).tail(1)
    remembers = [i.name for i in catalogue([]) if i.stem in {"momentum", "trades", "volume", "cancels", "impulse", "vwap", "micro"}]
    assert found.select(remembers).row(0) == (0.0,) * len(remembers)
