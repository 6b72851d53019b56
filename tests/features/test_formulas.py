"""Each formula worked by hand: a few events, the parameters, and what must come out."""

from dataclasses import dataclass, field
from math import exp, sqrt

import pytest

from assets.features.build import build
from assets.features.errors import FeaturesError
from assets.features.indicators import CLASSES, catalogue, flow, imbalance, indicators, motion
from assets.features.indicators.base import Indicator
from assets.features.indicators.external import External

SECOND = 1_000_000_000


def s(seconds: float) -> int:
    """Seconds into the session as a stamp; a session of the tests begins at 1,000 s."""
    return int((1_000 + seconds) * SECOND)


@dataclass
class Case:
    indicator: Indicator
    books: list
    expected: float
    trades: list = field(default_factory=list)
    leader: list = field(default_factory=list)


def q(seconds, bid, ask, bid_size=10, ask_size=10, bid_count=2, ask_count=2):
    """A quote of one level a side."""
    return (s(seconds), [(bid, bid_size, bid_count)], [(ask, ask_size, ask_count)])


DEEP = (s(0), [(100, 6, 3), (98, 2, 1)], [(102, 2, 1), (103, 5, 4)])
LIFT = q(2, 101, 102, 4, 8)
QUIET = q(0, 100, 101)

CASES = {
    "skew": Case(imbalance.Skew(), [DEEP], (6 - 2) / 8),
    "depth": Case(imbalance.DepthImbalance(levels=2), [DEEP], (8 - 7) / 15),
    "depth of more levels than there are": Case(imbalance.DepthImbalance(levels=5), [DEEP], (8 - 7) / 15),
    "count": Case(imbalance.CountImbalance(levels=2), [DEEP], (4 - 5) / 9),
    "pressure": Case(imbalance.Pressure(levels=2), [DEEP], ((6 / 1 + 2 / 3) - (2 / 1 + 5 / 2)) / (6 / 1 + 2 / 3 + 2 / 1 + 5 / 2)),
    "hollow": Case(imbalance.Hollow(), [DEEP], (103 - 102) - (100 - 98)),
    "weighted mid": Case(imbalance.WeightedMid(), [DEEP], (100 * 2 + 102 * 6) / 8 - 101),
    "vamp": Case(imbalance.Vamp(levels=2), [DEEP], (100 * 2 + 102 * 6 + 98 * 5 + 103 * 2) / (8 + 7) - 101),
    # Skew 0.6 is seen before the mid rises a tick and again before it falls half of one.
    "micro": Case(imbalance.MicroPrice(slow=2.0), [q(0, 100, 101, 8, 2), q(1, 101, 102, 8, 2), q(3, 100, 102, 8, 2)],
                  (1 * exp(-1) - 0.5) / (exp(-1) + 1)),
    "micro of the other side": Case(imbalance.MicroPrice(slow=2.0), [q(0, 100, 101, 8, 2), q(1, 101, 102, 2, 8)], -1.0),
    # The bid improves: its 4 contracts are new. The ask stays: 8 - 2 came to it.
    "ofi": Case(flow.OrderFlow(tau=1.0), [DEEP, LIFT], (4 - 6) / ((8 * exp(-2 / 300) + 12) / (exp(-2 / 300) + 1))),
    "ofi fades": Case(flow.OrderFlow(tau=1.0), [QUIET, q(0, 100, 101, 14, 10), q(3, 100, 101, 14, 9)],
                      (4 * exp(-3) + 1) / ((44 * exp(-3 / 300) + 23) / (2 * exp(-3 / 300) + 1))),
    # At the first level as above; at the second 98 -> 97 withdraws the 2 there and 103 gains one contract.
    "deep ofi": Case(flow.DeepOrderFlow(levels=2, tau=1.0), [DEEP, (s(2), [(101, 4, 2), (97, 9, 1)], [(102, 8, 2), (103, 6, 4)])],
                     (4 - 6 - 2 - 1) / ((8 * exp(-2 / 300) + 12) / (exp(-2 / 300) + 1))),
    # Prices stay: the bid grows, both sides grow at once, the ask shrinks. At a new price what was before is forgotten.
    "fresh": Case(flow.FreshFlow(tau=2.0), [QUIET, q(1, 100, 101, 14, 10), q(2, 100, 101, 15, 12), q(4, 100, 101, 15, 9)], exp(-3 / 2) + 1),
    "fresh at a new price": Case(flow.FreshFlow(tau=2.0),
                                 [QUIET, q(1, 100, 101, 14, 10), q(2, 100, 102, 14, 5), q(3, 100, 102, 9, 5)], -1.0),
    # Two orders make a better bid; one order joins the ask.
    "orders": Case(flow.OrderImbalance(tau=1.0), [DEEP, LIFT], (2 - 1) / 3),
    "orders fade": Case(flow.OrderImbalance(tau=2.0), [QUIET, q(0, 100, 101, 11, 10, 3, 2), q(4, 100, 101, 11, 12, 3, 4)],
                        (exp(-2) - 2) / (exp(-2) + 2)),
    # Ten contracts leave the ask, three of them by trades; two leave the bid.
    "cancels": Case(flow.CancelImbalance(tau=1.0), [QUIET, q(1, 100, 102, 8, 5, 2, 1)], (7 - 2) / 9, trades=[(s(1), 1, 101, 3, 1)]),
    "trades": Case(flow.TradeFlow(tau=2.0), [QUIET, q(1, 100, 101, 10, 4), q(3, 100, 101, 9, 4)],
                   (6 * exp(-1) - 1) / (6 * exp(-1) + 1), trades=[(s(1), 1, 101, 2, 1), (s(1), 2, 101, 4, 1), (s(3), 5, 100, 1, -1)]),
    "trade count": Case(flow.TradeCountFlow(tau=2.0), [QUIET, q(1, 100, 101, 10, 4), q(3, 100, 101, 9, 4)],
                        (2 * exp(-1) - 1) / (2 * exp(-1) + 1), trades=[(s(1), 1, 101, 2, 1), (s(1), 2, 101, 4, 1), (s(3), 5, 100, 1, -1)]),
    "volume": Case(flow.SignedVolume(tau=2.0), [QUIET, q(1, 100, 101, 10, 4)],
                   6 / ((20 * exp(-1 / 300) + 14) / (exp(-1 / 300) + 1)), trades=[(s(1), 1, 101, 6, 1)]),
    "impulse": Case(flow.TradeImpulse(tau=2.0), [QUIET, q(1, 100, 101, 9, 10), q(4, 100, 101, 9, 9)],
                    -exp(-3 / 2), trades=[(s(1), 1, 100, 1, -1)]),
    "run": Case(flow.TradeRun(), [QUIET, q(1, 100, 101, 9, 10), q(2, 100, 101, 9, 7)],
                2, trades=[(s(1), 1, 100, 1, -1), (s(2), 3, 101, 1, 1), (s(2), 4, 101, 2, 1)]),
    # Three contracts bought moved the mid half a tick: lambda is 1/6 tick a contract, and all three are still recent.
    "impact": Case(flow.PriceImpact(tau=2.0), [QUIET, q(1, 100, 102, 10, 5)], 0.5 * 3 / (3 * 3) * 3, trades=[(s(1), 1, 101, 3, 1)]),
    # The mid rises a tick after 2 s, then falls half a tick 3 s later.
    "momentum": Case(motion.Momentum(tau=2.0), [QUIET, q(2, 101, 102, 5, 5), q(5, 100, 102, 5, 5)], exp(-3 / 2) - 0.5),
    "crossover": Case(motion.Crossover(tau=2.0, slow=10.0), [QUIET, q(2, 101, 102, 5, 5), q(5, 101, 102, 6, 5, 1, 1)],
                      exp(-3 / 10) - exp(-3 / 2)),
    "stretch": Case(motion.Stretch(tau=2.0, slow=10.0), [QUIET, q(2, 101, 102, 5, 5), q(5, 101, 102, 6, 5, 1, 1)],
                    exp(-3 / 2) / sqrt(exp(-3 / 10) * 2 / 10)),
    "vwap": Case(motion.VwapDistance(tau=2.0), [QUIET, q(1, 101, 102, 5, 5), q(3, 101, 103, 5, 5)],
                 102 - (4 * exp(-1) * 101 + 1 * 102) / (4 * exp(-1) + 1), trades=[(s(1), 1, 101, 4, 1), (s(3), 2, 102, 1, 1)]),
    "last trade": Case(motion.LastTrade(), [QUIET, q(1, 100, 101, 8, 10)], 100 - 100.5, trades=[(s(1), 1, 100, 2, -1)]),
    "gap to a leader not yet seen": Case(motion.LeaderGap("LDR", tau=2.0), [QUIET, q(1, 101, 102)], 0.0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_formula_worked_by_hand(make, case):
    assert last(make, case) == pytest.approx(case.expected, rel=1e-6)


def test_every_class_is_worked_by_hand():
    assert {type(case.indicator) for case in CASES.values()} | {External} == set(CLASSES)


def test_the_gap_is_the_leaders_move_in_own_ticks_less_ones_own(make):
    """Leader and own rise a tick, learnt as beta one to one; then the leader goes two further alone."""
    own = [QUIET, q(1, 101, 102)]
    leader = [q(0, 200, 201, 5, 5), (s(1) + 1, [(201, 5, 1)], [(202, 5, 1)]), q(2, 203, 204, 5, 5)]
    gap = Case(motion.LeaderGap("LDR", tau=2.0), own, 0.0, leader=leader)
    keep, slow = exp(-0.5), exp(-1 / 300)
    after_own, after_leader, followed = 1.0, 1.0, 1.0  # the nanosecond between them takes nothing worth telling
    lead, followed = keep * after_leader + 2, keep * followed
    together = slow * (after_own * after_leader) + lead * followed
    squares = slow * (after_leader * after_leader) + lead * lead
    assert last(make, gap) == pytest.approx(together / squares * lead - followed, rel=1e-6)


def test_a_leaders_indicator_reads_the_leader_in_its_own_ticks(make):
    leader = [q(0, 50, 51, 9, 3), q(1, 52, 53, 9, 3)]
    own = [QUIET]
    assert last(make, Case(imbalance.Skew("LDR"), own, 0.0, leader=leader)) == pytest.approx(0.5)
    assert last(make, Case(motion.Momentum("LDR", tau=5.0), own, 0.0, leader=leader)) == pytest.approx(2.0)


def test_a_leader_not_yet_seen_has_no_opinion(make):
    late = [q(9, 50, 51, 9, 3)]
    found = frame(make, Case(imbalance.Skew("LDR"), [QUIET, LIFT], 0.0, leader=late))
    assert found["ldr_skew"].to_list() == [0.0, 0.0, 0.5]


def test_names_tell_leader_stem_and_parameters():
    assert motion.Momentum("LDR", tau=2.0).name == "ldr_momentum_2s"
    assert flow.OrderFlow(tau=0.5).name == "ofi_500ms"
    assert flow.OrderFlow(tau=0.5, slow=60.0).name == "ofi_500ms_60s"
    assert flow.DeepOrderFlow(levels=3, tau=0.0125).name == "deep_ofi_3_12_5ms"


def test_the_default_set_is_deterministic_and_small():
    names = [indicator.name for indicator in indicators(["LDR"])]
    assert names == [indicator.name for indicator in indicators(["LDR"])]
    assert len(names) >= 12
    assert set(names) <= {indicator.name for indicator in catalogue(["LDR"])}
    assert len({indicator.version for indicator in indicators(["LDR"])}) == len(names)


def test_the_catalogue_holds_every_class_and_more_than_twenty_indicators_of_one_market():
    assert {type(indicator) for indicator in catalogue(["LDR"])} | {External} == set(CLASSES)
    assert len(catalogue([])) > 20


def test_names_are_fit_for_sql():
    names = [indicator.name for indicator in catalogue(["LDR"])]
    assert all(name.replace("_", "a").isalnum() and name == name.lower() and not name[0].isdigit() for name in names)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: imbalance.Skew(tau=1.0), "indicator skew takes no tau: it takes no parameter"),
        (lambda: flow.OrderFlow(tau=0.001), "indicator ofi: tau must be from 0.01 to 3600 s, not 0.001"),
        (lambda: imbalance.Vamp(levels=11), "indicator vamp: levels must be from 1 to 10 levels, not 11"),
        (
            lambda: indicators(["LDR", "Ldr"]),
            "two indicators are named ldr_fresh_1s: take one out of the desk's indicators, or rename one of the leaders LDR, Ldr",
        ),
    ],
)
def test_a_wrong_parameter_is_named(wrong, sentence):
    with pytest.raises(FeaturesError) as error:
        wrong()
    assert str(error.value) == sentence


def frame(make, case):
    leaders = {"LDR": (make.books(*case.leader), make.trades())} if case.leader or case.indicator.leader else {}
    rows = range(10, 10 * len(case.books) + 10, 10)  # every trade of a case is before the book event of its stamp
    own = make.books(*case.books, rows=list(rows)), make.trades(*case.trades)
    return build(*own, leaders, tick=make.tick, leader_ticks={"LDR": make.tick}, horizon_ns=SECOND, chosen=[case.indicator])


def last(make, case) -> float:
    return frame(make, case)[case.indicator.name][-1]
