"""Replies that are drawn several times: accuracy over all of them, and what of the variance is the luck of the draw."""

import numpy as np
import pytest

from niah.analysis.load import read_run
from niah.analysis.samples import samples_summary
from niah.analysis.stats.components import sampling_components
from niah.types import DrawnReply
from tests.helpers.fake_runs import make_case, make_record, write_run

LENGTHS = (2000, 4000)


def test_the_split_of_a_textbook_design_is_that_of_its_mean_squares():
    # Balanced: mean squares of draws 1/2, of cases 1/2, of needles 2; two draws, two cases a needle, three needles.
    draws = [(needle, values) for needle, own in zip("abc", (1, 0, 1), strict=True) for values in ([own, own], [1, 0])]
    found = sampling_components(draws)
    within = (0 + 0.5) / 2
    between = np.mean([(1 - 0.5) ** 2, (0 - 0.5) ** 2, (1 - 0.5) ** 2])  # 2 (a - m)^2 + 2 (b - m)^2, over one degree
    needles = 4 * np.var([0.75, 0.25, 0.75], ddof=1)
    assert found.sampling == pytest.approx(within)
    assert found.case == pytest.approx(max(0, (between - within) / 2))
    assert found.needle == pytest.approx(max(0, (needles - between) / 4))


def test_the_split_is_right_on_average():
    draw = np.random.default_rng(0)
    found = []
    for _ in range(60):
        draws = []
        for needle in range(12):
            base = draw.normal(0, 0.3)
            for _ in range(3 + needle % 2):
                case = base + draw.normal(0, 0.2)
                draws.append((f"s{needle}", list(case + draw.normal(0, 0.5, 4))))
        found.append(sampling_components(draws))
    means = [np.mean([getattr(one, name) for one in found]) for name in ("needle", "case", "sampling")]
    assert means == pytest.approx([0.09, 0.04, 0.25], rel=0.2)


def test_one_case_a_needle_leaves_needle_and_case_together():
    found = sampling_components([("a", [1, 1]), ("b", [0, 0]), ("c", [1, 0])])
    assert (found.case, found.sampling) == (0.0, pytest.approx(0.5 / 3))
    assert found.needle == pytest.approx((2 * 0.25 - 0.5 / 3) / 2)


def test_two_needles_suffice_for_a_split():
    found = sampling_components([("a", [1, 1]), ("a", [1, 1]), ("b", [0, 0]), ("b", [0, 0])])
    assert (found.needle, found.case, found.sampling) == pytest.approx((0.5, 0, 0), abs=1e-12)


@pytest.mark.parametrize("draws", [[("a", [1]), ("b", [0])], [("a", [1, 0]), ("a", [1, 1])], []])
def test_without_a_second_draw_or_needle_there_is_no_split(draws):
    assert sampling_components(draws) is None


def run_of(folder, replies):
    """A run of two lengths in which needle n got the letters `replies[n]`."""
    cases = [make_case(f"n{number}", length=length) for number in range(len(replies)) for length in LENGTHS]
    drawn = {case.id: replies[int(case.needle[1:])] for case in cases}
    records = [make_record(case, drawn[case.id][0], samples=tuple(map(DrawnReply, drawn[case.id]))) for case in cases]
    return read_run(write_run(folder, cases, records))


def test_the_table_says_what_all_replies_are_worth_and_what_drawing_more_would_bring(tmp_path):
    lines = samples_summary([run_of(tmp_path, ["BB", "BA", "AA"])]).splitlines()
    assert lines[1].startswith("  accuracy 50.0% [") and lines[1].endswith(
        "of 12 replies to 6 cases; the first of each 66.7%"
    )
    assert lines[2] == "  right or wrong alike in all replies: 4 of 6 cases"
    # Mean squares: draws 1/6, cases 0, needles 1. So draws 1/6, needles 1/4; cases would be below 0.
    assert lines[3] == "  variance of one reply: drawing 40%, case 0%, needle 60%"
    # The roots of 1/12 + 1/36, of 1/12 + 1/72 and of 1/12: three needles, six cases.
    assert lines[4] == "  standard error, points: 33.3 with 1 reply, 31.2 with 2 replies, 28.9 with any number of them"


def test_a_reply_that_was_cut_is_read_as_one(tmp_path):
    case = make_case("n0")
    samples = (DrawnReply("B"), DrawnReply("Let me see. Option B shows", finish_reason="length"))
    run = read_run(write_run(tmp_path, [case], [make_record(case, "B", samples=samples)]))
    assert "accuracy 50.0% of 2 replies" in samples_summary([run])


def test_a_greedy_run_has_no_such_paragraph(tmp_path):
    case = make_case("n0")
    assert samples_summary([read_run(write_run(tmp_path, [case], [make_record(case)]))]) == ""
