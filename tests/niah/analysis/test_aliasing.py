"""Expected values come from loops over frames, or from suites drawn here by random.Random."""

import random

import numpy as np
import pytest

from niah.analysis.aliasing import SAMPLERS, Positions, aliasing, as_text, needles_seen, positions_of
from niah.figures.positions import draw_needles_seen
from niah.types import Case, Placement, Span

LENGTHS = (2000, 4000)
NEEDLES = 60


def drawn(start_of) -> Positions:
    """Return a suite of needles of 10 to 40 frames; `start_of(rng, bin, room)` places them."""
    rng = random.Random("suite")
    rows = []
    for needle in range(NEEDLES):
        frames = rng.randint(10, 40)
        for length in LENGTHS:
            number = (needle + length // 2000) % 5
            rows.append((length, frames, start_of(rng, number, length - frames), number))
    columns = np.array(rows).T
    return Positions(*columns, bin_count=5)


def anywhere(rng, number, room):
    return rng.randrange(-(-number * room // 5), (number + 1) * room // 5)


def fixed(rng, number, room):
    return round((0.1 + 0.2 * number) * room)


def test_samplers_look_where_they_say():
    assert SAMPLERS["bin centres"](10, 2).tolist() == [2, 7]
    assert SAMPLERS["linspace"](10, 4).tolist() == [0, 3, 6, 9]
    assert SAMPLERS["fixed rate"](10, 4).tolist() == [0, 3, 6, 9]
    assert SAMPLERS["fixed rate"](11, 4).tolist() == [0, 3, 6, 9]
    assert SAMPLERS["fixed rate"](12, 5).tolist() == [0, 3, 6, 9]


def test_starts_drawn_anywhere_are_not_aliased():
    found = aliasing(drawn(anywhere), range(1, 65), redraws=100, seed=0)
    assert not found.aliased
    assert as_text(found).endswith("no sampler is favoured")


def test_fixed_depths_are_aliased_with_uniform_sampling():
    found = aliasing(drawn(fixed), range(1, 65), redraws=100, seed=0)
    assert found.aliased
    # 15 frames at bin centres meet all of 0.1, 0.3, ... 0.9: every needle is seen, where 15 of 2,000 frames see 19 % of them.
    assert found.largest.seen == NEEDLES * len(LENGTHS) // 5 and found.largest.deviations > 10
    assert "24 needles seen" in as_text(found) and "needles lie where this sampler looks" in as_text(found)


def test_the_same_seed_gives_the_same_bound():
    suite = drawn(anywhere)
    first, again = (aliasing(suite, (7, 16), redraws=50, seed=3) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seen_and_expected_agree_with_a_loop_over_frames(sampler):
    suite = drawn(anywhere)
    found = aliasing(suite, (16,), redraws=2, seed=0, samplers={sampler: SAMPLERS[sampler]}).largest
    seen, expected = 0, 0.0
    for length, frames, start, number in zip(suite.lengths, suite.needle_frames, suite.starts, suite.bins, strict=True):
        if number != found.bin:
            continue
        looked_at = set(SAMPLERS[sampler](int(length), 16).tolist())
        room = length - frames
        starts = [one for one in range(room + 1) if min(5 * one // room, 4) == number]
        seen += any(frame in looked_at for frame in range(start, start + frames))
        expected += sum(any(frame in looked_at for frame in range(one, one + frames)) for one in starts) / len(starts)
    assert found.seen == seen
    assert found.expected == pytest.approx(expected)


def test_positions_are_those_of_full_cases():
    def case(name, condition, needles):
        timeline = (Span("haystack", 0, 50), Span("clip", 0, 10), Span("haystack", 50, 90))
        return Case(
            id=name, suite="s", version=2, condition=condition, needle="n", needle_source="clip", haystack="haystack",
            length=100, needles=needles, timeline=timeline, fps=1.0, question="?", options=("a", "b"), answer="A",
            type="t", repeats=0,
        )  # fmt: skip

    cases = [case("a", "full", (Placement("n", 50, 60),)), case("b", "no_needle", ())]
    suite = positions_of(cases, bin_count=5)
    assert (suite.lengths.tolist(), suite.needle_frames.tolist(), suite.starts.tolist()) == ([100], [10], [50])
    assert suite.bins.tolist() == [2]  # depth 50 / 90


def test_needles_seen_are_those_that_a_loop_over_frames_finds():
    suite = drawn(anywhere)
    for one in needles_seen(suite, (7, 64)):
        looks = {length: set(SAMPLERS[one.sampler](length, one.frames).tolist()) for length in LENGTHS}
        needles = zip(suite.lengths.tolist(), suite.starts.tolist(), suite.needle_frames.tolist(), strict=True)
        seen = sum(not looks[length].isdisjoint(range(start, start + frames)) for length, start, frames in needles)
        assert (one.needles, one.seen) == (NEEDLES * len(LENGTHS), seen)
        assert abs(one.seen - one.expected) < 4 * one.deviation


def test_the_picture_has_a_row_for_every_sampler_and_number_of_frames(tmp_path):
    png, _, csv = draw_needles_seen(needles_seen(drawn(fixed), (15, 16)), "fixed", tmp_path)
    assert png.stat().st_size > 5_000
    rows = csv.read_text().splitlines()
    assert rows[0] == "sampler,frames,needles,seen,expected,deviation"
    assert rows[1].startswith("bin centres,15,120,120,")  # 15 bin centres meet every fixed depth
    assert rows[2].startswith("bin centres,16,120,0,")  # and 16 none
    assert len(rows) == 1 + 3 * 2
