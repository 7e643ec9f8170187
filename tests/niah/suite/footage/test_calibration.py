from collections import Counter
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from niah.media.writer import write_mp4
from niah.suite.config import Footage
from niah.suite.footage.build import build
from niah.suite.footage.calibration import Barcode, draw_barcode, read_barcode
from niah.suite.footage.clips import draw_clip
from niah.suite.footage.scenes import draw_scene

CODES = [
    Barcode(0, 0, None),
    Barcode(255, 65535, None),
    Barcode(3, 9999, None),
    Barcode(0, 0, 0),
    Barcode(17, 39, 15),
]


def decoded(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize("code", CODES)
def test_a_code_says_what_was_written(code):
    assert read_barcode(draw_barcode(code)) == code


@pytest.mark.parametrize("crf", [18, 28, 35])
def test_codes_survive_h264(crf, tmp_path):
    codes = [Barcode(4 * n, 1000 * n, None if n % 3 else n % 16) for n in range(60)]
    write_mp4(tmp_path / "codes.mp4", map(draw_barcode, codes), Fraction(1), crf=crf)
    assert [read_barcode(frame) for frame in decoded(tmp_path / "codes.mp4")] == codes


@pytest.mark.parametrize("size", [(32, 32), (128, 128), (384, 384), (100, 70), (16, 16)])
def test_codes_survive_another_size(size, tmp_path):
    write_mp4(tmp_path / "codes.mp4", map(draw_barcode, CODES), Fraction(1), crf=28)
    pictures = [Image.fromarray(frame) for frame in decoded(tmp_path / "codes.mp4")]
    frames = [np.asarray(picture.resize(size, Image.Resampling.BILINEAR)) for picture in pictures]
    assert [read_barcode(frame) for frame in frames] == CODES


def test_one_wrong_block_makes_a_code_unreadable():
    frame = draw_barcode(CODES[2])
    for row in range(8):
        for column in range(8):
            wrong = frame.copy()
            block = wrong[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            block[:] = 255 - block
            assert read_barcode(wrong) is None


def test_nothing_is_read_from_other_footage():
    pictures = [*draw_scene("w", "haystack-0", 0).frames(0, 20), *draw_clip("w", "needle-000").frames(0, 10)]
    pictures += [np.full((64, 64, 3), value, np.uint8) for value in (0, 128, 255)]
    assert [read_barcode(picture) for picture in pictures] == [None] * 33


def test_nothing_is_read_from_a_frame_too_small_for_the_blocks():
    assert read_barcode(np.zeros((15, 64, 3), np.uint8)) is None


@pytest.mark.parametrize("numbers", [(256, 0, None), (0, 65536, None), (0, 0, 16), (-1, 0, None)])
def test_numbers_that_do_not_fit_are_refused(numbers):
    code = Barcode(*numbers)
    with pytest.raises(ValueError, match="does not fit: wanted source < 256, number < 65536, value < 16"):
        draw_barcode(code)


def test_calibration_files_say_in_every_frame_where_it_belongs(tmp_path):
    built = build(Footage("w", haystacks=2, needles=5, calibration=True), 300, "1", tmp_path)
    for source, stack in enumerate(built.haystacks):
        assert stack.identity == f"footage-1:w/haystack-{source}-calibration"
        codes = [read_barcode(frame) for frame in decoded(stack.path)]
        assert codes == [Barcode(source, number, None) for number in range(300)]
    for source, needle in enumerate(built.needles):
        value = needle.options["ABCD".index(needle.answer)]
        frames = decoded(needle.path)
        assert 10 <= len(frames) <= 40
        assert [read_barcode(frame) for frame in frames] == [Barcode(source, n, int(value)) for n in range(len(frames))]
        assert built.targets[needle.name] == value
        assert len(set(needle.options)) == 4


def test_sixteen_calibration_needles_hold_sixteen_numbers_and_all_letters(tmp_path):
    built = build(Footage("calibration", haystacks=1, needles=16, calibration=True), 1, "1", tmp_path)
    assert sorted(map(int, built.targets.values())) == list(range(16))
    assert set(Counter(needle.answer for needle in built.needles)) == set("ABCD")
