"""Intervals and tests checked against textbooks, hand calculations and simulated needles whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from niah.analysis.stats.detectable import smallest_by_mcnemar, smallest_difference
from niah.analysis.stats.korn_graubard import clustered_share
from niah.analysis.stats.observations import Observations, concatenate
from niah.analysis.stats.paired import holm, paired_difference, unpaired_difference
from niah.analysis.stats.proportions import clustered_interval, retention, share_of, wilson_interval
from niah.analysis.stats.regression import mean
from niah.analysis.stats.trend import slope, slope_difference
from tests.helpers.observations import answers, pair

# Newcombe 1998, "Two-sided confidence intervals for the single proportion", Table I, method 3
NEWCOMBE = [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]


@pytest.mark.parametrize("correct, n, low, high", NEWCOMBE)
def test_wilson_intervals_are_those_newcombe_printed(correct, n, low, high):
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=6e-5)


def test_an_interval_of_nothing_is_none():
    assert wilson_interval(0, 0) == (None, None)


def test_one_answer_a_source_is_clopper_pearson_but_for_the_spread_that_is_estimated():
    low, high = clustered_interval(answers({f"s{i}": (int(i < 10), 1) for i in range(20)}))
    # Clopper and Pearson for 9.5 of 19; for 10 of 20 tables have 0.272 to 0.728
    assert (low, high) == pytest.approx((0.272, 0.728), abs=0.01)


def test_agreeing_sources_are_as_many_answers_as_there_are_sources():
    found = clustered_interval(answers({f"s{i}": (25, 25) for i in range(20)}))
    assert found == pytest.approx((0.025 ** (1 / 20), 1.0))  # nothing wrong in 20 draws


def test_two_sources_have_an_interval():
    low, high = clustered_interval(answers({"a": (1, 2), "b": (2, 2)}))
    assert 0 < low < 0.75 < high <= 1


def test_a_share_over_needles_and_haystacks_rests_on_what_says_least():
    # 40 needles, each in two of 20 haystacks; haystack 0 holds half of the answers, and only it holds errors
    cases = Observations.of(
        (f"s{i}", f"h{j}", (j > 0 or i % 4 == 0,))
        for i in range(40)
        for j, count in ((0, 19), (1 + i % 19, 19))
        for _ in range(count)
    )
    right = cases.values[:, 0]
    numbers = [np.unique(kind, return_inverse=True)[1] for kind in (cases.sources, cases.haystacks)]
    needles, haystacks = (clustered_share(np.bincount(n, right), np.bincount(n)) for n in numbers)
    found, both = share_of(cases), mean(cases)
    assert (needles.few, haystacks.few, found.few) == (False, True, True)
    assert found.effective_clusters == haystacks.effective_clusters < needles.effective_clusters
    assert found.degrees_of_freedom == haystacks.degrees_of_freedom < needles.degrees_of_freedom
    assert found.variance == max(both.standard_error**2, needles.variance, haystacks.variance)
    assert both.standard_error**2 > needles.variance


def test_one_source_has_no_interval():
    assert clustered_interval(answers({"a": (3, 5)})) == (None, None)
    assert mean(answers({"a": (3, 5)})) is None
    assert mean(Observations.of([])) is None


# ---- two models


def mcnemar_pairs(both, first, second, neither):
    results = [(True, True)] * both + [(True, False)] * first + [(False, True)] * second + [(False, False)] * neither
    return Observations.of(pair(f"s{i}", "h", *result) for i, result in enumerate(results))


def test_mcnemar_and_its_interval_are_those_of_a_published_example():
    # Airway hyper-responsiveness of 21 children, Fagerland et al. 2013 (BMC Med Res Methodol 13:91): exact p 0.0703,
    # which is 2 (C(8,0) + C(8,1)) / 2^8; Bonett and Price's interval from (1 + 1) / 23 and (7 + 1) / 23 by hand.
    found = paired_difference(mcnemar_pairs(1, 1, 7, 12))
    assert (found.method, found.value) == ("exact McNemar", pytest.approx(-6 / 21))
    assert found.p_value == pytest.approx(18 / 256)
    assert (found.low, found.high) == pytest.approx((-0.508, -0.013), abs=1e-3)


def test_needles_that_are_asked_twice_are_clusters():
    pairs = Observations.of(pair(f"s{i}", "h", i < 15, i < 10) for i in range(20) for _ in range(2))
    found = paired_difference(pairs)
    assert (found.method, found.cases, found.sources) == ("paired t-test, clustered", 40, 20)
    assert found.value == 0.25 and found.low > 0 and found.p_value < 0.05


def test_models_that_agree_on_everything_are_not_known_to_be_equal():
    found = paired_difference(Observations.of([pair(f"s{i}", "h", True, True) for i in range(20) for _ in range(5)]))
    # Bonett and Price with no differing pair of 20: 1.96 sqrt(2 / 22 / 22) = 0.126
    assert (found.value, found.low, found.high) == pytest.approx((0, -0.126, 0.126), abs=1e-3)
    assert found.p_value == 1


def test_two_sources_prove_nothing():
    assert (
        paired_difference(Observations.of([pair(s, "h", True, False) for s in "ab" for _ in range(50)])).p_value > 0.05
    )


def test_a_p_value_is_below_5_per_cent_exactly_where_the_interval_leaves_0_out():
    draw = np.random.default_rng(3)
    agree = []
    for shift in np.linspace(0, 0.5, 20):
        right = draw.random((20, 4, 2)) < [0.5 + shift / 2, 0.5 - shift / 2]
        found = paired_difference(
            Observations.of([pair(f"s{i}", "h", *right[i, j]) for i in range(20) for j in range(4)])
        )
        agree.append((found.p_value < 0.05) == (found.low > 0 or found.high < 0))
        if abs(found.p_value - 0.05) > 0.005:  # at the edge, interpolation of percentiles decides
            assert agree[-1]
    assert sum(agree) >= 19


def test_sources_that_all_differ_by_a_third_are_as_uncertain_as_so_many_pairs():
    # numpy's deviation of draws that are all 1/3 is 5e-17, not 0. By hand for 8 pairs, 8/3 of them ahead:
    # 11/30 - 1/10 = 0.267 -+ 1.96 sqrt((0.467 - 0.071) / 10)
    found = paired_difference(Observations.of([pair(f"s{i}", "h", j < 1, False) for i in range(8) for j in range(3)]))
    assert (found.value, found.low, found.high) == pytest.approx((1 / 3, -0.123, 0.657), abs=1e-3)
    assert found.p_value > 0.05 and found.detectable == smallest_by_mcnemar(8)


def test_sources_that_all_have_a_third_right_are_as_many_answers_as_there_are_sources():
    found = clustered_interval(answers({f"s{i}": (1, 3) for i in range(8)}))
    exact = [beta.ppf(0.025, 8 / 3, 16 / 3 + 1), beta.ppf(0.975, 8 / 3 + 1, 16 / 3)]  # Clopper and Pearson, 8/3 of 8
    assert found == pytest.approx(exact)


@pytest.mark.parametrize("repeats", [1, 2])
def test_no_interval_of_a_difference_leaves_minus_1_to_1(repeats):
    # One source of seven has no difference, the others all have: 6/7 and more than 1/7 on either side
    ahead, behind = (
        paired_difference(
            Observations.of(
                [pair(f"s{i}", "h", *([right, not right] if i else [True] * 2)) for i in range(7)] * repeats
            )
        )
        for right in (True, False)
    )
    assert ahead.low > 0 and ahead.high == 1.0
    assert behind.high < 0 and behind.low == -1.0


def test_what_pairs_can_detect_is_limited_by_their_spread_and_by_mcnemar():
    few = paired_difference(mcnemar_pairs(38, 1, 1, 0))  # hardly any spread: McNemar still needs six that differ
    assert few.detectable == smallest_by_mcnemar(40)
    many = paired_difference(mcnemar_pairs(0, 20, 20, 0))
    assert many.detectable == pytest.approx(smallest_difference(1 / 39**0.5, 40)) and many.detectable > few.detectable


@pytest.mark.parametrize("repeats, clustered", [(1, False), (2, True)])
def test_haystacks_are_clusters_only_where_needles_are_asked_twice(repeats, clustered):
    pairs = Observations.of(pair(f"s{i}", f"h{(i + j) % 20}", i % 2, j) for i in range(40) for j in range(repeats))
    assert paired_difference(pairs).haystacks_clustered is clustered


def test_five_sources_on_one_side_happen_by_chance_one_time_in_sixteen():
    apart = Observations.of(pair(f"s{i}", "h", j < 5 + i, False) for i in range(5) for j in range(10))
    assert paired_difference(apart).p_value == 1 / 16
    assert smallest_difference(standard_error=0.01, clusters=5) == 1.0


def test_equal_models_of_few_sources_differ_significantly_one_time_in_twenty():
    # Needles favour one model or the other by chance alone. Of 300 tests at 5 %, 24 is the 99th centile; with four
    # sources nothing is ever called a difference.
    draw, told = np.random.default_rng(6), {4: 0, 8: 0}
    for sources in told:
        for _ in range(300):
            ease, favour = draw.uniform(0.2, 0.8, sources), draw.normal(0, 0.3, sources)
            first, second = (draw.binomial(10, np.clip(ease + side * favour, 0, 1)) for side in (1, -1))
            points = answers({f"s{i}": (n, 10) for i, n in enumerate(first)})
            others = answers({f"s{i}": (n, 10) for i, n in enumerate(second)})
            found = unpaired_difference(points, others)
            told[sources] += found.p_value < 0.05
    assert told[4] == 0 and told[8] <= 24


def test_a_difference_of_slopes_alone_survives_correction_for_a_whole_page():
    # 32 sources, of which the first model is right near and wrong far; the default suite's page holds 18 comparisons
    points = Observations.of((f"s{i}", "h", (x, x == 0 or i == 0, 1.0)) for i in range(32) for x in (0, 2))
    assert 18 * slope_difference(points).p_value < 0.05


def test_one_source_has_no_p_value():
    found = paired_difference(Observations.of([pair("s", "h", True, False)] * 3))
    assert (found.value, found.low, found.p_value, found.detectable) == (1.0, None, None, None)


def test_holm_corrects_in_steps():
    # Sorted: 4 x .005, 3 x .01, 2 x .03, then .04, which may not fall below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


# ---- what a suite can detect


def test_thirty_four_needles_detect_half_a_standard_deviation():
    # Cohen 1988 and G*Power's manual: a paired t-test with d = 0.5, 5 % two-sided, 80 % power wants 34 pairs
    assert smallest_difference(standard_error=1 / 34**0.5, clusters=34) == pytest.approx(0.5, abs=0.01)


def test_six_pairs_must_all_differ_for_mcnemar():
    assert smallest_by_mcnemar(6) == pytest.approx(0.8 ** (1 / 6))  # 2 x 2^-6 < 0.05, and all six do with power 0.8
    assert smallest_by_mcnemar(5) == 1.0
    assert smallest_difference(standard_error=0.0, clusters=6) == smallest_by_mcnemar(6)


def two_models(draw, apart):
    """24 needles, 4 cases each, of two models that are `apart` in accuracy and find the same needles easy."""
    chance = 0.5 + draw.uniform(-0.2, 0.2, (24, 1, 1)) + [apart / 2, -apart / 2]
    right = draw.random((24, 4, 2)) < chance
    return Observations.of(pair(f"s{i}", "h", *right[i, j]) for i in range(24) for j in range(4))


def test_the_smallest_detectable_difference_is_detected_four_times_in_five():
    draw = np.random.default_rng(0)
    smallest = np.mean([paired_difference(two_models(draw, 0.0)).detectable for trial in range(20)])
    seen = [paired_difference(two_models(draw, smallest)).p_value < 0.05 for trial in range(80)]
    assert 0.7 <= np.mean(seen) <= 0.9


# ---- slopes, gaps, retention

ANSCOMBE_X = (10, 8, 13, 9, 11, 14, 6, 4, 12, 7, 5)
ANSCOMBE_Y = (8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68)


def test_the_slope_is_anscombes():
    points = Observations.of((f"s{i}", "h", point) for i, point in enumerate(zip(ANSCOMBE_X, ANSCOMBE_Y, strict=True)))
    found = slope(points)
    assert found.value == pytest.approx(0.500, abs=1e-3)  # Anscombe 1973, first set: y = 3 + 0.5 x
    assert found.low < 0.5 < found.high


def test_a_slope_over_what_never_varies_is_none():
    assert slope(Observations.of((f"s{i}", "h", (2.0, i % 2)) for i in range(8))) is None
    assert slope(Observations.of([])) is None


def test_slopes_differ_by_the_difference_of_the_slopes():
    # In half of the sources the first model falls from 1 to 0 over two units; the second never changes
    points = Observations.of((f"s{i}", "h", (x, x == 0 or i < 4, 1.0)) for i in range(8) for x in (0, 2))
    assert slope_difference(points).value == pytest.approx(-0.25)


def test_an_unpaired_difference_is_over_sources_that_have_both():
    first, second = answers({"a": (4, 4), "b": (0, 4), "lost": (0, 9)}), answers({"a": (1, 2), "b": (0, 2)})
    assert unpaired_difference(first, second).value == pytest.approx(1 / 2 - 1 / 4)


def test_differences_of_conditions_and_retention_are_clustered_by_source_however_many_haystacks_there_are():
    def parts(spread: bool) -> list[Observations]:
        rights = [lambda i: i % 3 != 0, lambda i: i % 5 == 0, lambda i: i % 8 != 0]
        return [
            Observations.of((f"s{i // 4}", f"h{i % 20}" * spread, (right(i),)) for i in range(80)) for right in rights
        ]

    many, none = parts(True), parts(False)
    for found, same in zip(
        (unpaired_difference(*many[:2]), retention(*many)),
        (unpaired_difference(*none[:2]), retention(*none)),
        strict=True,
    ):
        assert (found.low, found.value, found.high) == (same.low, same.value, same.high)
        assert found.low is not None


def test_six_sources_that_all_agree_make_a_difference_significant_and_five_do_not():
    found = [
        unpaired_difference(answers({s: (1, 1) for s in names}), answers({s: (0, 1) for s in names}))
        for names in ("abcdef", "abcde")
    ]
    assert [one.p_value < 0.05 for one in found] == [True, False]


def test_a_difference_that_all_sources_agree_on_is_mirrored_when_the_conditions_are_swapped():
    right, wrong = (answers({s: (share, 1) for s in "abcdefgh"}) for share in (1, 0))
    one, other = unpaired_difference(right, wrong), unpaired_difference(wrong, right)
    assert (other.value, other.p_value) == (-one.value, pytest.approx(one.p_value))
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert 0 < one.low < one.high <= 1


def test_retention_is_the_part_left_of_the_difference_between_clip_and_question():
    sources = [f"s{i}" for i in range(8)]
    half, none, full = (answers({source: counts for source in sources}) for counts in ((1, 2), (0, 1), (1, 1)))
    found = retention(half, none, full)
    assert found.value == pytest.approx(0.5)  # (1/2 - 0) / (1 - 0), for every source
    assert (found.low, found.high) == (None, None)


def test_what_the_question_alone_gives_is_taken_off_both_sides_of_retention():
    sources = [f"s{i}" for i in range(8)]
    full, blind, alone = (answers({source: (right, 8) for source in sources}) for right in (4, 1, 7))
    assert retention(full, blind, alone).value == pytest.approx(0.5)  # (4/8 - 1/8) / (7/8 - 1/8)


def test_the_interval_of_retention_is_fiellers_with_a_blind_that_varies():
    # Fieller 1954: r is in the interval where t of full - blind - r (needle_only - blind) is not significant
    counts = [(3, 0, 6), (5, 2, 7), (4, 1, 8), (6, 3, 7), (2, 1, 6), (5, 1, 8)]
    full, blind, alone = (answers({f"s{i}": (c[k], 8) for i, c in enumerate(counts)}) for k in range(3))
    found = retention(full, blind, alone)
    shares = np.array(counts) / 8
    for ratio in (found.low, found.high):
        part = shares[:, 0] - shares[:, 1] - ratio * (shares[:, 2] - shares[:, 1])
        assert abs(part.mean()) / (part.std(ddof=1) / 6**0.5) == pytest.approx(2.5706, abs=1e-3)  # Student's t of 5
    assert found.low < found.value < found.high


def test_the_interval_of_retention_is_the_means_where_clip_and_question_are_certain():
    # blind is always wrong and the clip always right, so retention is the share of full, and Fieller's interval its own
    counts = {f"s{i}": (i % 5, 4) for i in range(10)}
    blind, alone = (answers({source: (right, 1) for source in counts}) for right in (0, 1))
    found, share = retention(answers(counts), blind, alone), mean(answers(counts))
    assert found.value == pytest.approx(0.5)
    assert (found.low, found.high) == pytest.approx((share.low, share.high))


def test_there_is_no_retention_if_the_clip_alone_is_no_better_than_blind():
    counts = answers({f"s{i}": (i % 2, 1) for i in range(8)})
    assert retention(counts, counts, counts) is None


def test_retention_uses_only_sources_that_have_all_three():
    full, blind, alone = (answers({f"s{i}": (right, 1) for i in range(4)}) for right in (1, 0, 1))
    assert retention(concatenate([full, answers({"lost": (0, 9)})]), blind, alone).value == pytest.approx(1.0)


@pytest.mark.parametrize("clusters", [32, 72, 73, 120, 500])
def test_the_smallest_difference_falls_with_the_number_of_clusters(clusters):
    # A paired t-test detects d = 2.80 / sqrt(n) with 80 % power for large n (1.96 + 0.84), a little more for small n.
    found = smallest_difference(0.01, clusters)
    assert 0.0280 <= found <= 0.0280 * (1 + 3 / clusters)
