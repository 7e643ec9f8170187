"""Frame numbers map to displayed frames; presentation times are written by hand."""

from fractions import Fraction

import pytest

from niah.media.errors import MediaError
from niah.media.index import Index
from niah.types import UserError


def index(times, end, base=Fraction(1, 10)):
    return Index("clip.mp4", "0" * 64, 64, 48, 0, Fraction(1), base, tuple(times), end, (0,))


STEADY = index(range(0, 40), 40)  # ten frames a second for four seconds
UNEVEN = index((5, 6, 20), 25)  # shown at 0, 0.1 and 1.5 s; over at 2 s
NTSC = index((1001 * n for n in range(108_000)), 1001 * 108_000, Fraction(1, 30_000))  # an hour and 3.6 s


@pytest.mark.parametrize("rate, count", [("native", 40), ("1", 4), ("0.5", 2), ("3", 12), ("30000/1001", 120), (7, 28)])
def test_count_is_the_frame_numbers_before_the_end(rate, count):
    assert STEADY.count(rate) == count


def test_count_holds_the_number_that_starts_within_the_last_part_second():
    assert index(range(41), 41).count("1") == 5  # 0, 1, 2, 3 and 4 s of 4.1 s


@pytest.mark.parametrize("number, ordinal", [(0, 0), (1, 1), (2, 1), (14, 1), (15, 2), (19, 2)])
def test_displayed_frame_is_the_last_that_began(number, ordinal):
    assert UNEVEN.frame_at(number, "10") == ordinal


def test_frame_numbers_do_not_drift_within_an_hour():
    assert NTSC.ordinals(107_990, 108_000, "30000/1001") == list(range(107_990, 108_000))


def test_one_frame_a_second_of_ntsc_takes_the_frame_that_began_last():
    assert NTSC.frame_at(3600, "1") == 107_892  # 3600 * 30000 / 1001 = 107892.1


def test_number_past_the_end_is_an_index_error():
    with pytest.raises(IndexError, match="it has 0 to 4 at rate 1"):
        STEADY.frame_at(4, "1")


def test_native_frames_of_uneven_video_are_every_frame():
    assert UNEVEN.ordinals(0, 3, "native") == [0, 1, 2]


@pytest.mark.parametrize(
    "start, stop, rate, numbers",
    [
        (1.0, 3.0, "1", (1, 3)),
        (1.1, 3.0, "1", (2, 3)),
        (1.1, 1.3, "10", (11, 13)),  # as decimals: 1.1 * 10 is more than 11 in binary
        (0.5, 0.6, "native", (5, 6)),
        (None, None, "1", (0, 4)),
        (2.0, None, "native", (20, 40)),
        (3.0, 4.9, "1", (3, 4)),  # less than a step past the end: the end
        (3.0, 4.1, "native", (30, 40)),
    ],
)
def test_span_is_the_numbers_shown_in_it(start, stop, rate, numbers):
    assert STEADY.span(start, stop, rate) == numbers


def test_span_of_uneven_native_video_goes_by_presentation_time():
    assert UNEVEN.span(0.05, 1.5, "native") == (1, 2)


def test_span_more_than_a_step_past_the_end_is_refused_with_the_duration():
    with pytest.raises(MediaError, match=r"clip\.mp4: seconds 3 to 5\.5 were requested, the file lasts 4\.000 s"):
        STEADY.span(3.0, 5.5, "1")


def test_span_between_two_frames_is_refused():
    with pytest.raises(MediaError, match="no frame is displayed from 1.2 s up to 1.4 s at rate 1"):
        STEADY.span(1.2, 1.4, "1")


def test_frames_above_the_native_rate_are_counted_as_repeats():
    assert STEADY.repeats(0, 40, "20") == 20


def test_frames_at_the_native_rate_do_not_repeat():
    assert STEADY.repeats(0, 40, "10") == 0


def test_a_long_still_frame_repeats():
    assert UNEVEN.repeats(0, 20, "10") == 13 + 4  # the second shows 14 times, the third 5 times


@pytest.mark.parametrize("rate", ["fast", "0", "-1", "1/0", None])
def test_invalid_rate_is_refused(rate):
    with pytest.raises(UserError, match="rate must be 'native' or frames per second"):
        STEADY.count(rate)


def test_an_index_prints_in_one_line():
    assert repr(NTSC) == "Index('clip.mp4', 108,000 frames, 3603.600 s, 64x48, 00000000)"
