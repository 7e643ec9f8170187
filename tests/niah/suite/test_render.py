"""Rendered cases: the frames meant, in the order meant, decoded from the file that was written."""

from pathlib import Path

import av
import numpy as np
import pytest

from niah.media.decoders.base import load_decoder
from niah.media.video import SplicedVideo
from niah.suite.build import generate
from niah.suite.config import load_suite
from niah.suite.folder import write_suite
from niah.suite.render import _compare, find_case, render
from niah.types import UserError
from tests.helpers import commands
from tests.helpers.generate_fakes import write_text

SUITE = (
    "name: shown",
    "lengths: [60]",
    "depths: [0.5]",
    "sampling: {rate: 1, width: 64, height: 64}",
    "footage: {world: shown, haystacks: 1, needles: 2}",
)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("render")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "footage"))
        yield generate(*load_suite(str(write_text(folder / "shown.yaml", *SUITE))))


def case_of(generated, condition):
    return next(case for case in generated.cases if case.condition == condition)


def video_of(generated, case, folder=Path(".")):
    return SplicedVideo(
        case.timeline, generated.sources, generated.suite.sampling, load_decoder("pyav"), case.fps, folder
    )


def decoded(path):
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def test_a_rendered_case_shows_the_needle_where_the_case_says(generated, tmp_path):
    case = case_of(generated, "full")
    render(case, generated, tmp_path / "case.mp4")
    shown = decoded(tmp_path / "case.mp4")  # (frames, 64, 64, 3)
    needle = case.needles[0]
    clip = video_of(generated, case_of(generated, "needle_only")).frames(range(needle.stop - needle.start))
    assert shown.shape == (60, 64, 64, 3)
    hidden = shown[needle.start : needle.stop].astype(int)
    assert np.abs(hidden - clip).mean() < 4 < np.abs(shown[: len(clip)].astype(int) - clip).mean()


def test_rendering_says_what_to_look_for(generated, tmp_path):
    case = case_of(generated, "full")
    line = render(case, generated, tmp_path / "case.mp4")
    needle = case.needles[0]
    assert "60 frames, checked" in line
    assert f"look for needle {needle.needle} in frames {needle.start} up to {needle.stop}" in line


def test_rendering_a_case_without_needle_says_so(generated, tmp_path):
    assert "no needle in it" in render(case_of(generated, "no_needle"), generated, tmp_path / "case.mp4")


def test_a_blind_case_has_nothing_to_render(generated, tmp_path):
    with pytest.raises(UserError, match="has no video"):
        render(case_of(generated, "blind"), generated, tmp_path / "case.mp4")


def test_another_case_s_video_is_told_from_this_one_s(generated, tmp_path):
    render(case_of(generated, "no_needle"), generated, tmp_path / "case.mp4")
    worst, where = _compare(video_of(generated, case_of(generated, "full")), tmp_path / "case.mp4")
    needle = case_of(generated, "full").needles[0]
    assert worst > 12 and where >= needle.start


def test_a_file_with_too_few_frames_is_refused(generated, tmp_path):
    render(case_of(generated, "needle_only"), generated, tmp_path / "case.mp4")
    with pytest.raises(UserError, match="instead of 60"):
        _compare(video_of(generated, case_of(generated, "full")), tmp_path / "case.mp4")


def test_an_unknown_case_names_the_one_that_may_have_been_meant(generated):
    with pytest.raises(UserError, match="no case is called 'needle-000.blnd'. The nearest: needle-000.blind"):
        find_case(generated, "needle-000.blnd")


def test_the_command_renders_from_a_folder_of_cases(generated, tmp_path, capsys):
    write_suite(generated, tmp_path / "cases")
    path = tmp_path / "new" / "case.mp4"
    assert commands.render(["needle-000.needle_only", "--suite", str(tmp_path / "cases"), "-o", str(path)]) == 0
    assert "look for needle needle-000 in frames 0 up to" in capsys.readouterr().out
    assert len(decoded(path)) == case_of(generated, "needle_only").length
