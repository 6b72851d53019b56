"""Evidence against cases worked by hand, and against searches in which there is something to find, or nothing."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from assets.fills import evidence

PNL = np.array([10.0, -5.0, 15.0, -20.0, 10.0])


def test_sharpe_by_hand():
    # Mean 2, squared deviations 64 + 49 + 169 + 484 + 64 = 830, over n - 1 = 207.5.
    assert evidence.sharpe(PNL) == pytest.approx(2 / math.sqrt(207.5))
    assert evidence.sharpe(PNL, 252) == pytest.approx(2 / math.sqrt(207.5) * math.sqrt(252))


@pytest.mark.parametrize("pnl", [[], [3.0], [2.0, 2.0, 2.0]])
def test_too_short_or_too_flat_a_series_has_no_ratio(pnl):
    series = np.array(pnl)
    assert evidence.sharpe(series) is None
    assert evidence.probabilistic_sharpe(series) is None
    assert evidence.deflated_sharpe(series, [series, PNL, -PNL])[0] is None


def test_probabilistic_sharpe_by_hand():
    # Symmetric series of +-1 around 0.5: skew 0, raw kurtosis 1, so the estimate's scale is exactly 1.
    pnl = np.array([1.5, -0.5] * 8)
    ratio = 0.5 / math.sqrt(16 / 15)
    assert evidence.probabilistic_sharpe(pnl) == pytest.approx(NormalDist().cdf(ratio * math.sqrt(15)))


def test_the_expected_best_of_ten_worthless_trials():
    # (1 - g) z(0.9) + g z(1 - 1/(10 e)) = 0.422784 * 1.281552 + 0.577216 * 1.789286.
    assert evidence.expected_best_sharpe(10, 0.1) == pytest.approx((0.422784 * 1.281552 + 0.577216 * 1.789286) / 10, rel=1e-4)
    assert evidence.expected_best_sharpe(1, 0.1) == 0


def test_the_expected_best_is_what_simulation_finds():
    noise = np.random.default_rng(1).normal(size=(2000, 24, 60))
    ratios = noise.mean(axis=2) / noise.std(axis=2, ddof=1)
    assert evidence.expected_best_sharpe(24, float(ratios.std())) == pytest.approx(ratios.max(axis=1).mean(), rel=0.03)


def test_deflated_sharpe_by_hand():
    """Three trials whose Sharpe ratios are r, 0 and -r spread by r: SR0 = r ((1 - g) z(2/3) + g z(1 - 1/(3 e)))."""
    winner = np.array([1.5, -0.5] * 8)
    r = 0.5 / math.sqrt(16 / 15)
    benchmark = r * (0.422784 * 0.430727 + 0.577216 * NormalDist().inv_cdf(1 - 1 / (3 * math.e)))
    expected = NormalDist().cdf((r - benchmark) * math.sqrt(15))
    assert evidence.deflated_sharpe(winner, [winner, winner - 0.5, -winner]) == (pytest.approx(expected, rel=1e-4), 3)


def test_the_wider_the_trials_the_less_the_best_of_them_proves():
    alone, close, wide = (evidence.deflated_sharpe(PNL + 4, [PNL + 4, *others])[0] for others in ([], [PNL + 3], [PNL - 9]))
    assert alone == evidence.probabilistic_sharpe(PNL + 4)
    assert alone > close > wide


def test_trials_that_never_traded_are_no_tries():
    idle = np.zeros(5)
    assert evidence.deflated_sharpe(PNL, [idle, PNL, -PNL, idle]) == evidence.deflated_sharpe(PNL, [PNL, -PNL])
    assert evidence.deflated_sharpe(PNL, [idle, PNL, -PNL, idle])[1] == 2


def test_overfitting_by_hand():
    """Four sessions, six choices of two of them."""
    a, b = [3.0, 3.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]
    # The first two and the last two: a wins 6 to 2 and then loses 0 to 2, b wins 2 to 0 and then loses 2 to 6.
    # Each of the other four choices: a wins 3 to 2, and again.
    assert evidence.overfitting_probability(np.array([a, b]).T) == pytest.approx(2 / 6)


def test_equals_share_their_rank():
    # Both trials are equal in every half: the winner's rank is 1.5 of 2, its omega one half, and that counts as overfitted.
    assert evidence.overfitting_probability(np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]).T, blocks=4) == pytest.approx(1.0)


def test_among_worthless_trials_the_best_is_below_the_median_half_the_time():
    random = np.random.default_rng(5)
    assert np.mean([evidence.overfitting_probability(random.normal(size=(20, 24))) for _ in range(200)]) == pytest.approx(0.5, abs=0.04)


def test_a_trial_that_is_truly_better_is_no_accident():
    pnl = np.random.default_rng(5).normal(size=(20, 24))
    pnl[:, 7] += 3
    assert evidence.overfitting_probability(pnl) == pytest.approx(0, abs=0.01)


def test_too_few_sessions_or_trials_say_nothing():
    noise = np.random.default_rng(1).normal(size=(20, 24))
    assert evidence.overfitting_probability(noise[:3]) is None
    assert evidence.overfitting_probability(noise[:, :1]) is None
    assert evidence.overfitting_probability(np.zeros((20, 24))) is None
    assert evidence.overfitting_probability(noise[:7]) is not None
