"""What a model is given equals what its family's own documented code makes of the same file, and the same frames of it.

Whose code that is: docs/models.md. Processors have the defaults of their classes and a byte tokenizer. Files are decoded
by PyAV, as transformers decodes them with torchcodec, which is not everywhere.
"""

import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import resize
from transformers.video_processing_utils import BaseVideoProcessor
from transformers.video_utils import load_video

from baselines.huggingface.chat import Chat
from baselines.huggingface.settings import Settings
from niah.media.decoders.base import load_decoder
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.media.writer import write_mp4
from niah.types import Sampling, Source, Span
from tests.helpers import tiny_processors

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
ASKED = "What happens in the video?"
FRAMES, FPS, SIZE = 40, 10, (360, 480)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_processors.write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Write a clip of coloured squares that move."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    squares = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8).repeat(40, 0).repeat(40, 1)
    write_mp4(path, (np.roll(squares, 7 * number, 1) for number in range(FRAMES)), Fraction(FPS))
    return path


@pytest.fixture
def video(film, tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    index = scan(film)
    source = Source("film", f"sha256:{index.sha256}", index.path, index.sha256, index.count("native"), index.seconds)
    whole = (Span("film", 0, source.frames),)
    return SplicedVideo(whole, {"film": source}, Sampling("native", fit="native"), load_decoder("pyav"), FPS, tmp_path)


def chat(**film):
    """Return the conversation as families document it; `film` names the file where they do."""
    return [{"role": "user", "content": [{"type": "video", **film}, {"type": "text", "text": ASKED}]}]


READY = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}


def by_template(processor, path, **sampling):
    """Hand the path to the chat template, which samples frames."""
    sampled = []

    def decoded(self, paths, sample_indices_fn=None):
        (one,) = paths
        frames, metadata = load_video(one, backend="pyav", sample_indices_fn=sample_indices_fn)
        sampled.extend(int(index) for index in metadata.frames_indices)
        return [frames], [metadata]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseVideoProcessor, "fetch_videos", decoded)
        return processor.apply_chat_template(chat(path=path), **READY, **sampling), sampled


def by_array(processor, path):
    """Hand over eight frames as one array."""
    used = np.arange(0, FRAMES, FRAMES / 8).astype(int).tolist()
    frames = load_video(path, backend="pyav")[0][used]
    text = processor.apply_chat_template(chat(), add_generation_prompt=True)
    start = {"add_special_tokens": False} if text.startswith(tiny_processors.START) else {}  # documented without one
    return processor(text=text, videos=frames, return_tensors="pt", **start), used


def by_toolkit(processor, path, tokens):
    """Resize as Qwen's own toolkit does, where a video may have so many tokens: the processor resizes no more."""
    side, count = 2 * processor.video_processor.patch_size, 8  # two frames a second
    used = np.linspace(0, FRAMES - 1, count).round().astype(int).tolist()
    frames, metadata = load_video(path, backend="pyav", sample_indices_fn=lambda metadata, **_: used)
    least = 128 * side**2
    most = max(min(768 * side**2, 0.9 * tokens * side**2 / count * 2), int(1.05 * least))
    shrunk = math.sqrt(SIZE[0] * SIZE[1] / most)
    assert shrunk > 1 and SIZE[0] * SIZE[1] > least  # the share of a frame is what decides
    smaller = [math.floor(length / shrunk / side) * side for length in SIZE]
    frames = torch.from_numpy(frames).permute(0, 3, 1, 2)
    frames = resize(frames, smaller, InterpolationMode.BICUBIC, antialias=True).float()
    text = processor.apply_chat_template(chat(), add_generation_prompt=True)
    given = {"video_metadata": [metadata], "do_resize": False, "do_sample_frames": False, "return_tensors": "pt"}
    return processor(text=[text], videos=[frames], **given), used


def by_images(processor, path):
    """Hand over frames as images, before the question."""
    used = [3, 13, 23]
    frames = load_video(path, backend="pyav")[0][used]
    content = [{"type": "image", "image": Image.fromarray(frame)} for frame in frames]
    said = [{"role": "user", "content": [*content, {"type": "text", "text": ASKED}]}]
    return processor.apply_chat_template(said, **READY), used


MINICPM = {"downsample_mode": "16x", "max_slice_nums": 1, "use_image_id": False}
DOCUMENTED = {  # model type -> the documented way, what it is given
    "qwen2_vl": (by_template, {"fps": 1}),
    "qwen2_5_vl": (by_template, {"fps": 1}),
    "qwen3_vl": (by_template, {"fps": 4}),
    "llava_onevision": (by_array, {}),
    "llava_next_video": (by_template, {"num_frames": 8}),
    "video_llava": (by_array, {}),
    "internvl": (by_template, {"num_frames": 8}),
    "glm4v": (by_template, {}),
    "minicpmv4_6": (by_template, {**MINICPM, "max_num_frames": 128, "stack_frames": 1}),
    "gemma3": (by_images, {}),
}
MORE = {
    "glm46v": (by_template, {}),
    "gemma4": (by_template, {}),
    "molmo2": (by_template, {}),
    "perception_lm": (by_template, {"num_frames": 32}),
    "smolvlm": (by_template, {}),
    "video_llama_3": (by_template, {"fps": 1}),
}
HERE = {"minicpmv4_6": {"processor_kwargs": MINICPM}}  # how the same is set here
SLOW = [pytest.param(model, marks=pytest.mark.slow) for model in MORE]


def same(documented, ours):
    """Return the names of two inputs, which are equal in each."""
    assert documented.keys() == ours.keys()
    equal = lambda one, other: torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other  # noqa: E731
    assert {name for name in ours if not equal(documented[name], ours[name])} == set()
    return set(ours)


@pytest.mark.parametrize("model", [*DOCUMENTED, *SLOW])
@pytest.mark.filterwarnings("ignore")
def test_a_model_is_given_what_its_familys_own_code_gives_it(model, folder, film, video):
    if model == "smolvlm":
        pytest.importorskip("num2words", reason="num2words is not installed: pip install 'videoniah[smolvlm]'")
    how, given = {**DOCUMENTED, **MORE}[model]
    processor = tiny_processors.processor(model, folder)
    documented, used = how(processor, str(film), **given)
    ours = Chat(processor, Settings(**HERE.get(model, {})), torch.float32).inputs(video, used, SIZE, ASKED)
    assert {"input_ids", "attention_mask"} < same(documented, ours)
    assert re.search(rf"^\| `{model}` \|.*\| `[0-9a-f]{{8,40}}` \|$", PAGE, re.MULTILINE)  # its source


@pytest.mark.filterwarnings("ignore")
def test_a_frames_share_of_a_videos_tokens_is_that_of_qwens_toolkit(folder, film, video):
    processor = tiny_processors.processor("qwen2_5_vl", folder)
    documented, used = by_toolkit(processor, str(film), tokens=700)
    processor.video_processor.max_video_tokens = 700
    capped = Settings(processor_kwargs={"cap_pixels_per_frame": True})
    ours = Chat(processor, capped, torch.float32).inputs(video, used, SIZE, ASKED)
    ones, others = (inputs.pop("pixel_values_videos") for inputs in (documented, ours))
    assert "second_per_grid_ts" in same(documented, ours)
    assert ones.shape == others.shape
    # transformers resizes bytes by torchvision's second functions, the toolkit by its first, which differ at sharp edges
    assert (ones - others).abs().mean() < 0.002 and (ones == others).float().mean() > 0.98
