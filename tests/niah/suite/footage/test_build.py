import os
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from niah.suite.config import Footage
from niah.suite.footage.balance import choose_clips
from niah.suite.footage.build import build
from niah.suite.footage.clips import draw_clip
from niah.suite.footage.scenes import draw_haystack, reserved_looks
from niah.types import LETTERS, UserError

SMALL = Footage("w", haystacks=2, needles=6, types=("motion", "digit", "count"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("footage")


@pytest.fixture(scope="module")
def built(folder):
    return build(SMALL, 150, "1", folder)


def decoded(path):
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return [frame.pts * frame.time_base for frame in frames], pictures.astype(int)


def test_haystacks_are_whole_files_of_the_frames_that_were_drawn(built):
    assert [(stack.name, stack.identity, stack.frames) for stack in built.haystacks] == [
        ("haystack-0", "footage-1:w/haystack-0", 150),
        ("haystack-1", "footage-1:w/haystack-1", 150),
    ]
    times, pictures = decoded(built.haystacks[1].path)
    assert times == list(range(150))
    assert abs(pictures - np.stack(list(draw_haystack("w", "haystack-1", 150)))).mean() < 6


def test_needles_are_the_clips_of_their_identities_and_targets(built):
    for number, needle in enumerate(built.needles):
        name = needle.identity.removeprefix("footage-1:w/").removesuffix(f"-{needle.type}")
        assert name.split(".")[0] == needle.name
        made = draw_clip("w", name, needle.type, reserved_looks("w")[number])
        assert (needle.question, needle.options, needle.answer) == (made.question, made.options, made.answer)
        assert built.targets[needle.name] == str(made.target)
        assert abs(decoded(needle.path)[1] - made.frames()).mean() < 6


def test_types_are_balanced(built):
    assert Counter(needle.type for needle in built.needles) == {"motion": 2, "digit": 2, "count": 2}


def test_letters_and_answers_take_turns_within_a_type():
    made = [one.clip for one in choose_clips("w", ("motion",) * 16)]
    right = [draw_clip.options[LETTERS.index(draw_clip.answer)] for draw_clip in made]
    assert Counter(zip((draw_clip.answer for draw_clip in made), right, strict=True)) == Counter(
        (letter, way) for letter in "ABCD" for way in ("left", "right", "up", "down")
    )


def test_answers_of_sixteen_digit_needles_differ_in_number_by_one_at_most():
    made = [one.clip for one in choose_clips("w", ("digit",) * 16)]
    assert sorted(Counter(c.options[LETTERS.index(c.answer)] for c in made).values()) == [1] * 4 + [2] * 6
    assert sorted(Counter(draw_clip.answer for draw_clip in made).values()) == [4] * 4


def test_letters_take_turns_where_the_answer_depends_on_the_target():
    made = [one.clip for kind in ("colour", "order") for one in choose_clips("w", (kind,) * 8)]
    assert sorted(Counter(draw_clip.answer for draw_clip in made).values()) == [4] * 4


def test_seventeen_needles_share_one_target_at_most(tmp_path):
    built = build(Footage("w", haystacks=1, needles=17, types=("count",)), 1, "1", tmp_path)
    assert sorted(Counter(built.targets.values()).values()) == [1] * 15 + [2]


def test_what_is_there_is_not_written_again(built, folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")}
    assert len(before) == 2 + 6
    assert build(SMALL, 150, "1", folder) == built
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.mp4")} == before


def test_a_file_cut_short_is_written_again(tmp_path):
    one = Footage("w", haystacks=1, needles=1, types=("motion",))
    path = Path(build(one, 60, "1", tmp_path).haystacks[0].path)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(av.error.InvalidDataError):
        decoded(path)
    build(one, 60, "1", tmp_path)
    assert decoded(path)[0] == list(range(60))


def test_lengths_and_rates_do_not_share_files(tmp_path):
    one = Footage("w", haystacks=1, needles=1, types=("motion",))
    wanted = [(30, "1"), (40, "1"), (30, "30000/1001"), (40, "30000/1001")]
    assert len({build(one, frames, rate, tmp_path).haystacks[0].path for frames, rate in wanted}) == 4


def test_files_play_at_the_rate_asked_for(tmp_path):
    stack = build(Footage("w", 1, 1, ("motion",)), 30, "30000/1001", tmp_path).haystacks[0]
    times, _ = decoded(stack.path)
    assert times == [Fraction(1001, 30000) * number for number in range(30)]


def test_native_rate_plays_at_one_frame_a_second(tmp_path):
    stack = build(Footage("w", 1, 1, ("motion",)), 30, "native", tmp_path).haystacks[0]
    assert decoded(stack.path)[0] == list(range(30))


def test_two_processes_building_at_once_leave_whole_files(tmp_path):
    code = (
        "import sys; from pathlib import Path; from niah.suite.config import Footage; from niah.suite.footage.build import build;"
        "build(Footage('w', 1, 4, ('motion',)), 400, '1', Path(sys.argv[1]))"
    )
    root = Path(__file__).resolve().parents[4]
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=root) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    expected = np.stack(list(islice(draw_haystack("w", "haystack-0", 400), 400)))
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert files[0].name == "haystack-0-400.mp4"
    assert [path.name.split(".")[0] for path in files[1:]] == [f"needle-00{n}" for n in range(4)]
    assert abs(decoded(files[0])[1] - expected).mean() < 6


WRONG = [
    (Footage("../w"), 10, "1", r"world names a folder, .* got '\.\./w'"),
    (Footage("w", types=("motoin",)), 10, "1", r"no type is called 'motoin'\. Did you mean 'motion'\?"),
    (Footage("w", types=()), 10, "1", "types must name at least one of motion, colour"),
    (Footage("w", needles=0), 10, "1", "needles must be at least 1, got 0"),
    (Footage("w", haystacks=0), 10, "1", "haystacks must be at least 1, got 0"),
    (Footage("w"), 0, "1", "at least 1 frame, asked for 0"),
    (Footage("w"), 10, "fast", "rate must be 'native' or frames per second .* got 'fast'"),
    (Footage("w"), 10, "1/0", "got '1/0'"),
    (Footage("w"), 10, "-1", "got '-1'"),
    (Footage("w", calibration=True), 65537, "1", "ask for fewer than 32 sources of 65537 frames"),
    (Footage("w", needles=257, calibration=True), 10, "1", "ask for fewer than 257 sources of 10 frames"),
]


@pytest.mark.parametrize("footage, frames, rate, message", WRONG)
def test_footage_that_cannot_be_drawn_is_refused(footage, frames, rate, message, tmp_path):
    with pytest.raises(UserError, match=message):
        build(footage, frames, rate, tmp_path)
    assert os.listdir(tmp_path) == []
