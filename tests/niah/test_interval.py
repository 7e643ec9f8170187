"""The interval that a reply names, of a video of an hour."""

import pytest

from niah.scoring.interval import overlap, read_interval

REPLIES = [
    ("12:05 - 12:40", (725, 760)),
    ("12:05–12:40", (725, 760)),
    ("It is shown from 12:05 to 12:40.", (725, 760)),
    ("The clip is visible between 725 and 760 seconds.", (725, 760)),
    ("725s to 760s", (725, 760)),
    ("[725, 760]", (725, 760)),
    ("(725.5, 760.25)", (725.5, 760.25)),
    ('{"start": 725, "end": 760}', (725, 760)),
    ('{"start_time": "12:05", "end_time": "12:40"}', (725, 760)),
    ("It starts at 12:05 and ends at 12:40.", (725, 760)),
    ("from 12 minutes 5 seconds to 12 min 40 s", (725, 760)),
    ("12m5s - 12m40s", (725, 760)),
    ("0:12:05 to 0:12:40", (725, 760)),
    ("0.2 to 0.25 hours", (720, 900)),
    ("12 to 13 minutes", (720, 780)),
    ("I looked twice. <answer>12:05 to 12:40</answer>", (725, 760)),
    (r"First 1:00 to 2:00? No. \boxed{12:05 - 12:40}", (725, 760)),
    ("<think>1:00 to 2:00</think>12:05 to 12:40", (725, 760)),
    ("12:05 - 12:40, so from 12:05 to 12:40", (725, 760)),  # twice the same
    ("59:30 to 1:10:00", (3570, 3600)),  # cut to the video
    ("The video lasts 1:00:00. It is shown from 12:05 to 12:40.", (725, 760)),
    ("de 12:05 à 12:40", (725, 760)),
    ("0 hours 12 minutes to 0 hours 13 minutes", (720, 780)),  # not 12 minutes to 0 hours
    ("about 12:05 to about 12:40", (725, 760)),
    ("12:05 ~ 12:40", (725, 760)),
    ("00:12:05 --> 00:12:40", (725, 760)),
    ("从12:05到12:40之间。", (725, 760)),  # no blanks around times
    ("12分5秒到12分40秒", (725, 760)),
    ("725秒から760秒まで", (725, 760)),
    ("12:05부터 12:40까지", (725, 760)),
    ("第725帧到第760帧", None),  # frames
    ("725-760 フレーム", None),
    ("12:40 to 12:05", None),  # reversed
    ("12:05 to 12:05", None),
    ("1:10:00 to 1:20:00", None),  # after the end
    ("12:05 to 12:40 or 20:00 to 20:35", None),  # two of them
    ("frames 725 to 760", None),
    ("at 12:05", None),
    ("I cannot see the video.", None),
    ("", None),
    ("B", None),
]


@pytest.mark.parametrize("reply, interval", REPLIES)
def test_reply_is_read_as(reply, interval):
    assert read_interval(reply, 3600.0) == interval


OVERLAPS = [((0, 10), (0, 10), 1.0), ((0, 10), (5, 15), 1 / 3), ((0, 10), (10, 20), 0.0), ((0, 10), (2, 7), 0.5)]


@pytest.mark.parametrize("one, other, share", OVERLAPS)
def test_overlap_is_intersection_over_union(one, other, share):
    assert overlap(one, other) == overlap(other, one) == pytest.approx(share)


def test_a_long_reply_is_read_in_no_time():
    assert read_interval("12 " * 200_000, 3600.0) is None
    assert read_interval("starts at 12 " * 20_000, 3600.0) is None
