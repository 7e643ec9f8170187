"""Coverage by simulation: how often the 95 % intervals contain the true value, averaged over it."""

from __future__ import annotations

import numpy as np
import pytest

from niah.analysis.stats.observations import Observations
from niah.analysis.stats.paired import paired_difference
from niah.analysis.stats.proportions import clustered_interval, wilson_interval
from niah.analysis.stats.trend import slope
from tests.helpers.observations import answers, pair

SHARES = np.linspace(0.1, 0.9, 9)


def needles(draw, p, alike, sources=20):
    """How often each needle is answered rightly: all alike, or the whole range from never to always."""
    if alike == 0:
        return np.full(sources, p)
    return draw.beta(p * (1 - alike) / alike, (1 - p) * (1 - alike) / alike, sources)


@pytest.mark.parametrize("alike", [0.0, 0.3, 0.7])
def test_intervals_of_a_marginal_hold_the_truth_19_times_in_20(alike):
    draw, held = np.random.default_rng(1), []
    for p in SHARES:
        for _ in range(30):
            right = draw.binomial(10, needles(draw, p, alike))
            low, high = clustered_interval(answers({f"s{i}": (n, 10) for i, n in enumerate(right)}))
            held.append(low <= p <= high)
    assert np.mean(held) >= 0.92  # Clopper and Pearson's interval holds it more often


def test_wilson_holds_the_truth_19_times_in_20():
    from scipy.stats import binom

    held = [
        sum(binom.pmf(k, 32, p) for k in range(33) if wilson_interval(k, 32)[0] <= p <= wilson_interval(k, 32)[1])
        for p in SHARES
    ]
    assert 0.92 <= np.mean(held) <= 0.99


@pytest.mark.parametrize("crossed", [True, False])
def test_intervals_over_needles_and_haystacks_hold_the_truth_19_times_in_20(crossed):
    draw, held = np.random.default_rng(2), []
    for _ in range(200):
        sources, haystacks = draw.normal(0, 0.25, 20), draw.normal(0, 0.25, 20)
        points = []
        for i in range(20):
            for j in range(20) if crossed else (i, i, i):
                chance = np.clip(0.5 + sources[i] + haystacks[j], 0, 1)  # symmetric: the mean chance is 1/2
                points.append((f"s{i}", f"h{j}", (float(draw.random() < chance),)))
        low, high = clustered_interval(Observations.of(points))
        held.append(low <= 0.5 <= high)
    assert 0.92 <= np.mean(held) <= 0.99


@pytest.mark.parametrize("cases", [1, 6])
def test_intervals_of_a_difference_hold_the_truth_19_times_in_20(cases):
    draw, held = np.random.default_rng(4), []
    for p in (0.3, 0.5, 0.7):
        for _ in range(40):
            easy = needles(draw, p, 0.4)[:, None]
            first, second = draw.random((20, cases)) < easy, draw.random((20, cases)) < 0.8 * easy
            pairs = Observations.of(
                pair(f"s{i}", "h", first[i, j], second[i, j]) for i in range(20) for j in range(cases)
            )
            found = paired_difference(pairs)
            held.append(found.low <= 0.2 * p <= found.high)
    assert 0.92 <= np.mean(held) <= 0.99


def test_intervals_of_a_slope_hold_the_truth_19_times_in_20():
    draw, held, lengths = np.random.default_rng(5), [], np.array([2.0, 4, 6, 8, 10])
    for _ in range(300):
        chances = np.clip(needles(draw, 0.6, 0.2)[:, None], 0.1, 0.9) - 0.01 * (lengths - 6)
        right = draw.random((20, 5)) < chances
        found = slope(
            Observations.of((f"s{i}", "h", (x, right[i, j])) for i in range(20) for j, x in enumerate(lengths))
        )
        held.append(found.low <= -0.01 <= found.high)
    assert 0.92 <= np.mean(held) <= 0.99
