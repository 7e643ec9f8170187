"""Frames pass through processors in chunks: what comes out equals what the library makes of the whole video."""

import copy

import numpy as np
import pytest
import torch
from transformers.models.auto.video_processing_auto import video_processor_class_from_name

from baselines.huggingface import stream
from baselines.huggingface.stream import CHUNK, StreamedVideoProcessor, fit, placeholder
from niah.types import UserError

FAMILIES = (  # the budget of the first row is divided among all frames, of the second it is one for each frame
    "Qwen3VL", "Glm4v", "Glm46V", "CohereCompass", "Cosmos3Edge", "HYV4VL",
    "Qwen2VL", "InternVL", "LlavaOnevision", "LlavaNextVideo", "VideoLlava", "SmolVLM", "Gemma4", "PerceptionLM",
)  # fmt: skip
WHOLE = ("VideoLlama3",)  # reads pixels to know shapes


class Frames:
    """Random frames, which counts how many are read at a time."""

    def __init__(self, count, height=48, width=64):
        self.array = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)
        self.largest = 0

    def read(self, start, stop):
        self.largest = max(self.largest, stop - start)
        return self.array[start:stop]


def processor(family):
    return video_processor_class_from_name(f"{family}VideoProcessor")()


def settings(count):
    metadata = {"total_num_frames": count, "fps": 1.0, "frames_indices": list(range(count)), "duration": float(count)}
    return {"video_metadata": [metadata], "do_sample_frames": False, "return_tensors": "pt"}


def streamed(original, frames, budget=None, dtype=torch.float32):
    shape = placeholder(*frames.array.shape[:3])
    return StreamedVideoProcessor(original, frames.read, budget, dtype)([shape], **settings(len(frames.array)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.filterwarnings("ignore")
def test_chunks_make_what_the_whole_video_makes(family, monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 4)
    count = 9
    original, frames = processor(family), Frames(count)
    whole = original([torch.from_numpy(frames.array).permute(0, 3, 1, 2)], **settings(count))
    parts = streamed(original, frames)
    assert whole.keys() == parts.keys()
    assert all(torch.equal(parts[name], value) for name, value in whole.items() if isinstance(value, torch.Tensor))
    assert frames.largest == 4


@pytest.mark.parametrize("family", WHOLE)
@pytest.mark.filterwarnings("ignore")
def test_a_processor_that_reads_pixels_to_know_shapes_gets_the_video_whole(family):
    frames = Frames(CHUNK + 4)
    streamed(processor(family), frames)
    assert frames.largest == CHUNK + 4


@pytest.mark.filterwarnings("ignore")
def test_chunks_are_kept_in_the_models_dtype():
    frames = Frames(CHUNK + 4)
    whole, half = (streamed(processor("Qwen3VL"), frames, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    assert torch.equal(whole["pixel_values_videos"].bfloat16(), half["pixel_values_videos"])


# A Qwen3-VL has 786,432 pixels for a whole video; a side is a multiple of 32.
SHRINKING = [(32, (4, 4)), (512, (1, 1))]


@pytest.mark.parametrize("count, grid", SHRINKING)
@pytest.mark.filterwarnings("ignore")
def test_the_size_of_frames_in_a_long_video_is_known_before_one_is_read(count, grid):
    made = StreamedVideoProcessor(processor("Qwen3VL"), None, None, torch.float32)(
        [placeholder(count, 384, 384)], **settings(count)
    )
    assert made["pixel_values_videos"].is_meta
    assert tuple(made["video_grid_thw"][0, 1:] // 2) == grid


FITS = [
    ((384, 384, 128 * 128, 32), (128, 128)),
    ((384, 640, 128 * 128, 32), (96, 160)),
    ((64, 64, 128 * 128, 32), (64, 64)),  # never larger
    ((384, 384, 100, 32), (32, 32)),  # never below one token
]


@pytest.mark.parametrize("given, size", FITS)
def test_a_frame_is_made_as_large_as_its_budget_allows(given, size):
    assert fit(*given) == size


def test_an_error_can_name_a_processor_that_streams():
    stands_in = StreamedVideoProcessor(processor("Qwen2VL"), None, 64, torch.float32)
    assert copy.deepcopy(stands_in).patch_size == 14  # as transformers does to print it


@pytest.mark.filterwarnings("ignore")
def test_a_budget_holds_for_each_frame_whatever_their_number():
    sizes = {
        tuple(streamed(processor("Qwen3VL"), Frames(count, 128, 128), 64 * 64)["video_grid_thw"][0, 1:].tolist())
        for count in (8, 80)
    }
    assert sizes == {(4, 4)}


def test_a_budget_for_frames_of_one_size_is_refused():
    with pytest.raises(
        UserError, match="LlavaOnevisionVideoProcessor reads frames of one size, {'height': 384, 'width': 384}: leave"
    ):
        streamed(processor("LlavaOnevision"), Frames(4), 64 * 64)
