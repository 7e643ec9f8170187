"""A source that sleeps gives the frames of one that does not, whether they were announced or not, and reads each once."""

import threading

import numpy as np
import pytest
import torch

from niah.adapters.bench import NoiseVideo, StageCosts
from niah.adapters.overlap import SleepingVideo, overlap


@pytest.mark.parametrize("announced", [range(0), range(20), [3, 4, 9, 10], range(8)])
def test_frames_are_those_of_the_same_video_without_sleep(announced):
    before, video = threading.active_count(), SleepingVideo(20, 8, 0.0001)
    video.announce(announced)
    for wanted in ([3, 4], [9, 10], [11]):
        assert np.array_equal(video.frames(wanted), NoiseVideo(20, 8).frames(wanted))
    video.close()
    assert threading.active_count() == before
    assert video.slept >= 0.0005 and video.read >= 5


def test_what_is_announced_and_asked_for_in_order_is_read_once():
    video = SleepingVideo(20, 8, 0.0)
    video.announce(range(20))
    for start in range(0, 20, 6):
        video.frames(range(start, min(start + 6, 20)))
    assert video.read == 20


def test_a_model_is_run_to_get_warm_alone_and_beside_the_source():
    class Model:
        device, side, seen = torch.device("cpu"), 8, []

        def run(self, video, execution):
            self.seen.append(len(video))
            for start in range(0, len(video), 4):
                video.frames(range(start, start + 4))
            return StageCosts({}, 1)

    line = overlap(Model(), 24)
    assert Model.seen == [16, 24, 24]
    assert line.startswith("24 frames: computing ") and line.endswith(" of the longer")
