import hashlib
from fractions import Fraction
from itertools import islice

import av
import numpy as np
import pytest

from niah.media.writer import write_mp4
from niah.suite.footage.draw import COLOURS, DIGITS, SHAPES, glyph
from niah.suite.footage.scenes import common_looks, draw_haystack, draw_scene, reserved_looks

# python -c "import hashlib, niah.suite.footage.scenes as f
# print(hashlib.sha256(f.draw_scene('golden', 'haystack-0', NUMBER).frames()).hexdigest())"
# with numpy 2.4 on x86-64, Python 3.11. Another hash means other scores: then bump FOOTAGE_VERSION too.
GOLDEN = {
    0: "f72e24f9578b5d2b5dd367d0327f7693f7298c836a78b093a5db6b8f6ab31744",
    7: "8f7626a7db3d087da46268aac80a1395000e2be92e6eb8e5a4ce20eb4c48e9af",
}


def through_h264(pictures, folder, crf=18):
    path = folder / "encoded.mp4"
    write_mp4(path, pictures, Fraction(1), crf=crf)
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("number", GOLDEN)
def test_pictures_are_those_of_version_1(number):
    assert hashlib.sha256(draw_scene("golden", "haystack-0", number).frames().tobytes()).hexdigest() == GOLDEN[number]


def test_a_world_reserves_16_looks_two_of_each_colour():
    looks = reserved_looks("w")
    assert len(set(looks)) == 16
    assert {colour: sum(look.colour == colour for look in looks) for colour in COLOURS} == dict.fromkeys(COLOURS, 2)
    assert {look.shape for look in looks} == set(SHAPES)


def test_haystack_looks_share_every_colour_and_shape_with_the_reserved_ones():
    assert len(common_looks("w")) == 48 - 16
    assert {look.colour for look in common_looks("w")} == set(COLOURS)
    assert {look.shape for look in common_looks("w")} == set(SHAPES)


def test_no_haystack_shows_a_reserved_look():
    shown = {(s.shape, s.colour) for number in range(100) for s in draw_scene("w", "haystack-0", number).sprites(0)}
    assert len(shown) > 20
    assert not shown & set(map(tuple, reserved_looks("w")))


def test_scenes_have_24_to_120_frames_1_to_3_sprites_and_digits_on_about_half():
    made = [draw_scene("w", "haystack-0", number) for number in range(300)]
    assert min(one.count for one in made) >= 24
    assert max(one.count for one in made) <= 120
    sprites = [sprite for one in made for sprite in one.sprites(0)]
    assert {len(one.sprites(0)) for one in made} == {1, 2, 3}
    assert 0.4 < sum(sprite.digit is not None for sprite in sprites) / len(sprites) < 0.6


def test_labels_say_what_the_pixels_show():
    for number in range(40):
        made = draw_scene("w", "labels", number)
        frame = made.frame(10)
        for sprite in made.sprites(10):
            # Off the centre, where even a ring is filled and a cross reaches.
            assert tuple(frame[sprite.y + 4, sprite.x]) == COLOURS[sprite.colour]
            if sprite.digit is not None:
                plate = frame[sprite.y - 3 : sprite.y + 4, sprite.x + 9 : sprite.x + 14, 0]
                assert ((plate < 128) == glyph(sprite.digit)).all()


def test_digits_are_distinct_in_at_least_4_of_35_pixels():
    glyphs = [glyph(digit) for digit in DIGITS]
    assert min((a != b).sum() for n, a in enumerate(glyphs) for b in glyphs[:n]) >= 4


def test_sprites_of_a_scene_never_touch_and_stay_in_the_picture():
    for number in range(60):
        made = draw_scene("w", "apart", number)
        for n in range(made.count):
            boxes = [(s.x - 6, s.x + (6 if s.digit is None else 15), s.y - 6, s.y + 6) for s in made.sprites(n)]
            assert all(left >= 0 and right < 64 and top >= 0 and bottom < 64 for left, right, top, bottom in boxes)
            for i, (left, right, top, bottom) in enumerate(boxes):
                for other_left, other_right, other_top, other_bottom in boxes[:i]:
                    assert right < other_left or other_right < left or bottom < other_top or other_bottom < top


def test_texture_and_sprites_move():
    made = draw_scene("w", "haystack-0", 3)
    assert (made.frame(0) != made.frame(made.count - 1)).any(axis=2).mean() > 0.5
    assert made.sprites(0) != made.sprites(made.count - 1)


def test_a_longer_haystack_begins_like_a_shorter_one():
    short = np.stack(list(draw_haystack("w", "haystack-1", 130)))
    assert len(short) == 130
    assert (short == np.stack(list(islice(draw_haystack("w", "haystack-1", 1000), 130)))).all()


@pytest.mark.parametrize("other", [("v", "haystack-0", 0), ("w", "haystack-1", 0), ("w", "haystack-0", 1)])
def test_other_names_give_other_pictures(other):
    assert (draw_scene("w", "haystack-0", 0).frame(0) != draw_scene(*other).frame(0)).any()


def test_a_frame_beyond_the_scene_is_refused():
    made = draw_scene("w", "haystack-0", 0)
    with pytest.raises(IndexError, match=f"0 to {made.count - 1}, asked for {made.count}"):
        made.frame(made.count)


def test_every_colour_and_digit_can_be_told_after_h264(tmp_path):
    wanted, seen = [], []
    for number in range(40):
        made = draw_scene("w", "encoded", number)
        decoded = through_h264(made.frames(0, 12), tmp_path)[11].astype(int)
        for sprite in made.sprites(11):
            # Below the centre, where every shape is filled.
            middle = decoded[sprite.y + 3 : sprite.y + 5, sprite.x - 1 : sprite.x + 2].mean((0, 1))
            colour = min(COLOURS, key=lambda name: abs(middle - COLOURS[name]).sum())
            digit = None
            if sprite.digit is not None:
                dark = decoded[sprite.y - 3 : sprite.y + 4, sprite.x + 9 : sprite.x + 14].mean(2) < 128
                digit = min(DIGITS, key=lambda n: (dark != glyph(n)).sum())
            wanted.append((sprite.colour, sprite.digit))
            seen.append((colour, digit))
    assert {colour for colour, _ in wanted} == set(COLOURS)
    assert {digit for _, digit in wanted} == {None, *DIGITS}
    assert seen == wanted
