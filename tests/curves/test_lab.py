"""The lab against figures computed the long way, on sessions of known truth."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from assets.curves.choice import PENALTIES
from assets.curves.forms import KNOTS, LINEAR
from assets.curves.joint import MODESTY
from assets.curves.lab import search
from assets.curves.lab.gains import Window
from assets.curves.lab.readings import HORIZONS, read_session
from assets.curves.lab.scores import SHARED, holm, redundant, tables
from assets.curves.statistics import BUCKETS, edges
from assets.desk import NS
from assets.features.indicators import Indicator, indicators
from assets.features.indicators.flow import OrderFlow
from assets.features.indicators.imbalance import Skew, WeightedMid

TICK = 100_000_000
ROWS = 4_000
FORMULAS: list[Indicator] = [Skew(), WeightedMid(), OrderFlow(tau=1.0), OrderFlow(tau=10.0)]
"""Stand for: one that knows, a copy of it, one that knows something else, noise."""


def session(seed: int, knows: float = 1.0) -> pl.DataFrame:
    """A row every 0.2 s; the mid moves with what the first and third indicators know and hold for 20 s, and much noise."""
    random = np.random.default_rng(seed)
    first, third, noise = np.repeat(random.uniform(-1, 1, (3, ROWS // 100)), 100, axis=1)
    drift = knows * (0.05 * np.sign(first) + 0.04 * third)
    mid = 10_000 + np.rint(np.cumsum(drift + random.normal(0, 0.6, ROWS)))
    ts = NS * 1_000 + np.arange(ROWS) * NS // 5
    label = np.full(ROWS, np.nan)
    label[:-50] = mid[50:] - mid[:-50]
    values = {"skew": first, "wmid": 0.5 * first, "ofi_1s": 3 * third, "ofi_10s": noise}
    prices = {"bid_px": (mid.astype(np.int64) - 1) * TICK, "ask_px": (mid.astype(np.int64) + 1) * TICK}
    table = pl.DataFrame({"ts_event": ts, **prices, "label": label.astype(np.float32)})
    return table.with_columns(pl.col("label").fill_nan(None), *(pl.Series(name, x.astype(np.float32)) for name, x in values.items()))


@pytest.fixture(scope="module")
def window() -> Window:
    readings = [read_session(session(seed), FORMULAS, desk=4, tick=TICK) for seed in range(8)]
    return Window([reading for reading in readings if reading is not None], 4)


def cells(table: pl.DataFrame, indicator: Indicator) -> np.ndarray:
    """Signed bucket, counted from 1, the long way."""
    values = table[indicator.name].to_numpy().astype(np.float64)
    return np.sign(values) * (1 + np.clip(np.searchsorted(edges(indicator), np.abs(values), side="right") - 1, 0, BUCKETS - 1))


def known(table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(pl.col("ts_event") + HORIZONS[-1] * NS <= table["ts_event"][-1])


def design(indicator: Indicator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Places and labels of each session, the long way."""
    made = []
    for seed in range(8):
        table = known(session(seed))
        signed = cells(table, indicator).astype(int)
        rows = np.where(signed[:, None] == 0, 0, np.sign(signed)[:, None] * LINEAR.basis[np.abs(signed) - 1])
        made.append((rows, table["label"].to_numpy().astype(np.float64)))
    return made


def test_ranks_hits_and_moves_are_those_of_the_rows(window: Window) -> None:
    table, reading = known(session(0)), window.readings[0]
    label = table["label"].to_numpy()
    assert reading.rows == table.height
    for j, indicator in enumerate(FORMULAS):
        signed = cells(table, indicator)
        assert reading.ranks[j, 0] == pytest.approx(stats.spearmanr(signed, label).statistic, abs=1e-5)
        assert (reading.hits[j], reading.misses[j]) == ((signed * label > 0).sum(), (signed * label < 0).sum())
        assert reading.alike[0, j] == pytest.approx(stats.spearmanr(cells(table, FORMULAS[0]), signed).statistic, abs=1e-4)
    # The label looks 10 s ahead, as one of the horizons does: found from the rows' own mids it is the same.
    assert np.array_equal(reading.ranks[:, 0], reading.ranks[:, 1 + HORIZONS.index(10)])


def test_a_session_shorter_than_the_farthest_horizon_is_not_read() -> None:
    assert read_session(session(0)[:250], FORMULAS, desk=4, tick=TICK) is None


def test_what_a_curve_gains_is_what_the_fit_by_rows_gains_on_sessions_held_out(window: Window) -> None:
    """The third beside the fourth: penalised least squares on the rows of six sessions, squared errors on the two left out."""
    beside = window.added(2, [0, 1])
    penalties = window._penalties
    third, fourth = design(FORMULAS[2]), design(FORMULAS[3])
    for fold in ([0, 1], [2, 3], [4, 5], [6, 7]):
        rest = [k for k in range(8) if k not in fold]
        label = np.concatenate([third[k][1] for k in rest])
        weight = len(label) / KNOTS

        def coefficients(rows: np.ndarray, own: list[float], label: np.ndarray = label, weight: float = weight) -> np.ndarray:
            gram = rows.T @ rows
            for k, penalty in enumerate(own):
                block = slice(k * KNOTS, (k + 1) * KNOTS)
                gram[block, block] += MODESTY * gram[block, block] + penalty * weight * LINEAR.roughness
            return np.linalg.solve(gram, rows.T @ label)

        without = coefficients(np.concatenate([fourth[k][0] for k in rest]), [penalties[3]])
        gains = []
        for penalty in PENALTIES:
            both = coefficients(np.concatenate([np.hstack([fourth[k][0], third[k][0]]) for k in rest]), [penalties[3], penalty])
            gains.append(
                [
                    np.sum((fourth[k][1] - fourth[k][0] @ without) ** 2)
                    - np.sum((fourth[k][1] - np.hstack([fourth[k][0], third[k][0]]) @ both) ** 2)
                    for k in fold
                ]
            )
        # One of the penalties; which, the other stretches have chosen.
        assert min(np.abs(np.array(gains) - beside[fold]).max(axis=1)) < 1e-6 * np.abs(gains).max()


def test_the_tables_tell_the_one_that_knows_from_its_copy_and_from_noise(window: Window) -> None:
    made = tables(window, FORMULAS)
    row = {name: made.scores.row(k, named=True) for k, name in enumerate(window.names)}
    assert [row[name]["passes"] for name in window.names] == [True, True, True, False]
    assert row["skew"]["r2_alone_low"] > 0.005
    assert row["skew"]["r2_added"] < 0.1 * row["skew"]["r2_alone"]
    assert row["ofi_1s"]["r2_added"] > 0.3 * row["ofi_1s"]["r2_alone"]
    assert row["ofi_1s"]["monotonicity"] > 0.1
    assert (row["wmid"]["closest"], row["wmid"]["closest_correlation"]) == ("skew", pytest.approx(1, abs=0.01))
    assert sum(row[name]["dropped_for"] is not None for name in ("skew", "wmid")) == 1
    assert row["ofi_1s"]["kept"]
    assert row["ofi_10s"]["kept"]  # worth nothing, but like no other
    for name in window.names:
        assert row[name]["rank_low"] <= row[name]["rank_correlation"] <= row[name]["rank_high"]
    assert made.correlations.height == 6
    graph = made.buckets.filter(pl.col("indicator") == "skew", pl.col("count") > 0)
    value, mean, count = (graph[name].to_numpy() for name in ("value", "mean", "count"))
    assert np.average((value - mean) ** 2, weights=count) < 0.5 * np.average(mean**2, weights=count)
    assert (graph["error"] > 0).all()


def test_the_same_readings_give_the_same_tables(window: Window) -> None:
    again = Window(window.readings, 4)
    first, second = tables(window, FORMULAS), tables(again, FORMULAS)
    assert first.scores.equals(second.scores)
    assert first.buckets.equals(second.buckets)


def test_one_session_has_no_intervals_no_test_and_drops_nothing() -> None:
    reading = read_session(session(0), FORMULAS, desk=4, tick=TICK)
    assert reading is not None
    scores = tables(Window([reading], 4), FORMULAS).scores
    assert scores["r2_added"].null_count() == scores["p_value"].null_count() == scores["dropped_for"].null_count() == 4
    assert not scores["passes"].any()


def test_a_constant_indicator_is_worth_nothing() -> None:
    flat = [session(seed).with_columns(skew=pl.lit(0.0, pl.Float32)) for seed in range(4)]
    readings = [read_session(table, FORMULAS, desk=4, tick=TICK) for table in flat]
    row = tables(Window([reading for reading in readings if reading], 4), FORMULAS).scores.row(0, named=True)
    assert (row["rows"], row["r2_alone"], row["rank_correlation"], row["passes"], row["p_value"]) == (0, 0.0, 0.0, False, 1.0)


def test_holms_p_values() -> None:
    assert holm(np.array([0.04, 0.01, 0.03])) == pytest.approx([0.06, 0.03, 0.06])


def test_of_three_copies_the_best_stays_unless_a_lesser_one_says_all_of_it_and_more() -> None:
    alike = np.full((4, 4), 0.9)
    alike[3] = alike[:, 3] = 0.1
    alone = np.array([0.2, 0.3, 0.1, 0.0])
    assert redundant(alone, alike, lambda j, without: False) == {2: 1, 0: 1}
    assert redundant(alone, alike, lambda j, without: j == 0) == {2: 0, 1: 0}
    told: list[tuple[int, list[int]]] = []
    redundant(alone, alike, lambda j, without: bool(told.append((j, list(without)))))
    assert told == [(2, []), (0, [2])]


@pytest.mark.parametrize("seed", range(20))
def test_what_an_indicator_is_left_out_for_is_as_close_to_it_as_the_rule_says(seed: int) -> None:
    random = np.random.default_rng(seed)
    points = random.normal(size=(8, 2))
    alike, alone = np.corrcoef(points @ random.normal(size=(2, 12)) + 0.3 * random.normal(size=(8, 12))), random.random(8)
    dropped = redundant(alone, alike, lambda j, without: bool(random.random() < 0.2))
    kept = set(range(8)) - set(dropped)
    for j, other in dropped.items():
        assert abs(alike[j, other]) >= SHARED
        assert other in kept or not any(abs(alike[j, k]) >= SHARED for k in kept)


def test_of_a_chain_the_middle_is_named_though_it_was_left_out_in_its_turn() -> None:
    """The first is close to the second alone, the second to the third."""
    alike = np.array([[1, 0.75, 0.4], [0.75, 1, 0.8], [0.4, 0.8, 1]])
    assert redundant(np.array([0.1, 0.2, 0.3]), alike, lambda j, without: False) == {0: 1, 1: 2}


def test_the_search_finds_the_best_tau_and_does_so_again() -> None:
    def worth(candidates: list[Indicator]) -> list[dict[str, Any]]:
        return [
            {"indicator": each.name, "formula": each.stem, "leader": each.leader, "tau": each.tau or None, "slow": each.slow or None}
            | {"levels": each.levels or None, "sampler": "tpe", "score": -abs(np.log(each.tau / 2.0)) if each.tau else 0.0, "r2_alone": 0.0}
            for each in candidates
        ]

    told = [row | {"sampler": "grid"} for row in worth(search.grid([]))]
    found = list(search.tpe([], told, 8, worth))
    assert found == list(search.tpe([], told, 8, worth))
    best = search.trials([*told, *found]).filter(pl.col("best"), formula="momentum")
    assert abs(np.log(best["tau"][0] / 2.0)) < abs(np.log(3.0 / 2.0))  # nearer than the grid's nearest
    assert search.trials([*told, *found]).filter("best").group_by("formula").len()["len"].to_list() == [1] * len(search.kinds([]))


def test_the_grid_holds_the_catalogue_and_every_formula_of_every_market() -> None:
    names = {indicator.name for indicator in search.grid(["LDR"])}
    assert {indicator.name for indicator in indicators(["LDR"])} <= names
    assert {"deep_ofi_3_300ms", "ldr_momentum_100s", "cross_3s_18s", "ldr_gap_100ms"} <= names
