import pytest

from niah.suite.footage.clips import CLIP_FRAMES, TYPES
from niah.suite.footage.decoys import decoy
from niah.suite.footage.draw import Look
from niah.suite.footage.scenes import reserved_looks

TARGET = reserved_looks("w")[3]


def shown(scene, number):
    """Return the digit and the place of the target in one frame, or None."""
    labels = [label for label in scene.sprites(number) if Look(label.shape, label.colour) == TARGET]
    return (labels[0].digit, labels[0].x, labels[0].y) if labels else None


def decoys(type, numbers):
    return [decoy("w", "needle-000", number, type, TARGET) for number in numbers]


def test_the_asked_look_stands_still_where_a_direction_is_asked():
    for scene in decoys("motion", range(0, 40, 2)):
        places = {shown(scene, number) for number in range(scene.count)}
        assert len(places) == 1 and None not in places


def test_the_asked_look_carries_no_digit_where_a_digit_is_asked():
    for scene in decoys("digit", range(0, 40, 2)):
        digits = {shown(scene, number)[0] for number in range(scene.count)}
        assert digits == {None}


@pytest.mark.parametrize("type", TYPES)
def test_every_other_decoy_is_about_a_near_look_and_never_shows_the_asked_one(type):
    for scene in decoys(type, range(1, 40, 2)):
        looks = [track.look for track in scene.tracks]
        assert TARGET not in looks
        assert any(look.colour == TARGET.colour or look.shape == TARGET.shape for look in looks)


@pytest.mark.parametrize("type", TYPES)
def test_decoys_are_as_long_as_clips(type):
    counts = [scene.count for scene in decoys(type, range(60))]
    assert CLIP_FRAMES[0] <= min(counts) <= 12 and 38 <= max(counts) <= CLIP_FRAMES[1]


def test_a_decoy_follows_from_its_names_alone():
    one, again, other = (decoy("w", "needle-000", number, "motion", TARGET).frames() for number in (0, 0, 2))
    assert (one == again).all()
    assert one.shape != other.shape or (one != other).any()
