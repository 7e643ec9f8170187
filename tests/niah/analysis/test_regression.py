"""Clustered means and slopes against scipy, whole matrices and hand calculations; variance components by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t, ttest_1samp

from niah.analysis.stats.components import variance_components
from niah.analysis.stats.observations import Observations, concatenate
from niah.analysis.stats.regression import fit, mean
from niah.analysis.stats.trend import slope, slope_difference, slope_within
from tests.helpers.observations import answers


def test_the_mean_of_equal_clusters_is_a_t_test_of_the_clusters_means():
    found = mean(answers({"a": (5, 5), "b": (1, 5), "c": (3, 5), "d": (0, 5), "e": (2, 5)}))
    by_scipy = ttest_1samp([1.0, 0.2, 0.6, 0.0, 0.4], 0.0)
    interval = by_scipy.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(by_scipy.pvalue)


def test_five_clusters_on_one_side_prove_nothing():
    assert mean(answers({name: (4, 4 + (name == "a")) for name in "abcde"})).p_value == 1 / 16


def test_a_slope_of_unequal_clusters_has_bell_and_mccaffreys_degrees_of_freedom():
    draw = np.random.default_rng(5)
    sizes = (3, 9, 4, 30, 6)
    groups = np.repeat(np.arange(5), sizes)
    design = np.stack([np.ones(len(groups)), draw.normal(size=len(groups))], axis=1)
    outcome = draw.random(len(groups))
    cases = Observations.of((f"s{group}", "h", ()) for group in groups)
    found = fit(cases, design, outcome)
    # the same with whole matrices: products of the vectors (I - H)_g' a_g, a slow loop over clusters
    bread = np.linalg.inv(design.T @ design)
    residual_maker = np.eye(len(groups)) - design @ bread @ design.T
    residuals = residual_maker @ outcome
    weights = design @ bread @ [0.0, 1.0]
    vectors = np.array([residual_maker[groups == g].T @ weights[groups == g] for g in range(5)])
    products = vectors @ vectors.T
    sandwich = sum((weights[groups == g] @ residuals[groups == g]) ** 2 for g in range(5))
    variance = sandwich * (weights @ weights) / np.trace(products)
    assert found.contrast([0.0, 1.0]).standard_error == pytest.approx(variance**0.5)
    degrees = np.trace(products) ** 2 / (products**2).sum()
    assert found.degrees_of_freedom(np.array([0.0, 1.0])) == pytest.approx(degrees)


def square(sources, haystacks, right):
    """Every source in every haystack."""
    return Observations.of((f"s{i}", f"h{j}", (float(right(i, j)),)) for i in range(sources) for j in range(haystacks))


def test_twenty_haystacks_are_clusters_too():
    found = mean(square(20, 20, lambda i, j: j < 10))
    assert found.haystacks_clustered and found.haystacks == 20
    assert found.standard_error == pytest.approx((0.25 / 19) ** 0.5)  # of 20 haystacks, half of them 1


def test_the_fewer_clusters_of_two_kinds_give_the_degrees_of_freedom():
    found = mean(square(40, 20, lambda i, j: (i + j) % 3 == 0))
    assert found.clusters == 20
    half = found.standard_error * t.ppf(0.975, 19)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half))


def test_nineteen_haystacks_are_taken_as_they_are():
    found = mean(square(20, 19, lambda i, j: j < 10))
    assert not found.haystacks_clustered
    assert found.standard_error == 0  # every source has the same 10 right of 19


def test_sources_that_lie_in_one_haystack_each_are_clustered_with_it():
    nested = Observations.of((f"s{i}", f"h{i // 2}", (i < 20,)) for i in range(40))
    found = mean(nested)
    assert (found.haystacks_clustered, found.clusters) == (True, 20)
    assert found.standard_error == pytest.approx((0.25 / 19) ** 0.5)  # not less, as 40 sources would have


def test_crossed_clusters_add_their_variances():
    draw = np.random.default_rng(2)
    needle, haystack = draw.normal(size=30), draw.normal(size=30)
    cases = square(30, 30, lambda i, j: needle[i] + haystack[j])
    # Independent rows and columns: the mean's variance is that of the needles' mean plus that of the haystacks'; the
    # part that both clusterings count, a thousandth of a needle's variance, is taken off once
    expected = (needle.var(ddof=1) / 30 + haystack.var(ddof=1) / 30) ** 0.5
    assert mean(cases).standard_error == pytest.approx(expected, rel=0.03)


def crossed(draw, needle, haystack, residual):
    """120 needles, each in two of 24 haystacks, four cases in each."""
    needles, haystacks = draw.normal(0, needle, 120), draw.normal(0, haystack, 24)
    return Observations.of(
        (f"s{i}", f"h{j}", (0.5 + needles[i] + haystacks[j] + draw.normal(0, residual),))
        for i in range(120)
        for j in (i % 24, (7 * i + 5) % 24)
        for _ in range(4)
    )


def test_variance_components_are_right_on_average():
    draw = np.random.default_rng(4)
    found = [variance_components(crossed(draw, 0.3, 0.2, 0.5)) for _ in range(60)]
    averages = [np.mean([getattr(one, name) for one in found]) for name in ("needle", "haystack", "residual")]
    assert averages == pytest.approx([0.09, 0.04, 0.25], rel=0.12)
    assert (found[0].needles, found[0].haystacks) == (120, 24)


def test_a_component_that_is_not_there_is_0():
    found = variance_components(square(12, 6, lambda i, j: i < 6))
    assert (found.haystack, found.residual) == pytest.approx((0, 0), abs=1e-12)
    assert found.needle == pytest.approx(0.25 * 12 / 11)  # twelve needles, half of them 1


def test_two_needles_in_two_haystacks_suffice():
    found = variance_components(
        concatenate([square(2, 2, lambda i, j: i)] * 2)
    )  # each case twice; needles 0 and 1 differ by 1
    assert (found.needle, found.haystack, found.residual) == pytest.approx((0.5, 0, 0), abs=1e-12)


def test_nested_needles_have_no_components():
    assert (
        variance_components(Observations.of((f"s{i}", f"h{i // 3}", (i % 2,)) for i in range(12) for _ in "ab")) is None
    )
    assert variance_components(answers({"a": (1, 2), "b": (2, 2)})) is None
    assert variance_components(Observations.of([])) is None


def test_components_solve_the_expected_sums_of_squares_of_an_unequal_design():
    draw = np.random.default_rng(8)
    places = [(i, j) for i in range(7) for j in range(5) for _ in range(draw.integers(0, 4))]
    needle, haystack = (np.array(one) for one in zip(*places, strict=True))
    outcome = 0.4 + draw.normal(0, 0.5, 7)[needle] + draw.normal(0, 0.4, 5)[haystack] + draw.normal(0, 0.3, len(places))
    found = variance_components(
        Observations.of((f"s{i}", f"h{j}", (y,)) for i, j, y in zip(needle, haystack, outcome, strict=True))
    )
    # The same with whole matrices: E[y' P y] is mean^2 1' P 1 plus, for each component, variance x trace(P Z Z').
    by_needle, by_haystack = np.eye(7)[needle], np.eye(5)[haystack]
    onto = [z @ np.linalg.inv(z.T @ z) @ z.T for z in (by_needle, by_haystack, np.ones((len(places), 1)))]
    projections = [np.eye(len(places)), *onto]
    parts = [np.ones_like(projections[0]), by_needle @ by_needle.T, by_haystack @ by_haystack.T, projections[0]]
    expected = [[np.trace(projection @ part) for part in parts] for projection in projections]
    squares = [outcome @ projection @ outcome for projection in projections]
    assert (found.needle, found.haystack, found.residual) == pytest.approx(np.linalg.solve(expected, squares)[1:])


# needles x haystacks, cases in each -> whether there are components: four means need more than four cases
DESIGNS = [(2, 2, 1, False), (2, 2, 2, True), (1, 9, 2, False), (9, 1, 2, False), (2, 3, 1, True)]


@pytest.mark.parametrize("needles, haystacks, cases, estimated", DESIGNS)
def test_components_need_more_cases_than_needles_and_haystacks(needles, haystacks, cases, estimated):
    observed = Observations.of(
        (f"s{i}", f"h{j}", (float((i + j + k) % 2),))
        for i in range(needles)
        for j in range(haystacks)
        for k in range(cases)
    )
    assert (variance_components(observed) is not None) == estimated


def test_a_difference_of_slopes_is_the_slope_of_one_model_minus_that_of_the_other():
    draw = np.random.default_rng(5)
    cases = [(f"s{i}", x, *map(float, draw.random(2) < (0.9 - 0.06 * x, 0.6))) for i in range(12) for x in range(5)]
    both = slope_difference(Observations.of((source, "h", (x, one, other)) for source, x, one, other in cases))
    alone = [slope(Observations.of((case[0], "h", (case[1], case[model])) for case in cases)).value for model in (2, 3)]
    assert both.value == pytest.approx(alone[0] - alone[1]) and both.value != pytest.approx(alone[0] + alone[1])


def test_a_slope_within_groups_leaves_out_what_moves_cases_between_groups():
    # Accuracy depends on the group alone, and longer videos put more cases into group 0
    points = Observations.of(
        (f"s{i}", "h", (x, float(group), group)) for i in range(8) for x in (1, 2) for group in [0] * (x + i % 2) + [1]
    )
    assert slope(points).value < -0.1
    assert slope_within(points) is None  # nothing is left to vary
    noisy = Observations.of((f"s{i}", "h", (x, g + i * (x - 1.5), g)) for i in range(8) for x in (1, 2) for g in (0, 1))
    assert slope_within(noisy).value == pytest.approx(3.5)  # the mean of 0 to 7
