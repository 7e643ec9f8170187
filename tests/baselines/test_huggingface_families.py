"""docs/models.md against the processors of ten families, built with a byte tokenizer and no weights."""

import re
from pathlib import Path

import pytest
import torch
import transformers
from transformers import PreTrainedTokenizerFast
from transformers.models.auto.video_processing_auto import video_processor_class_from_name

from baselines.huggingface.chat import Chat
from baselines.huggingface.families import COUNTS, _family, _video_processor
from baselines.huggingface.settings import Settings
from tests.helpers import byte_tokenizer
from tests.helpers.tiny_huggingface import template

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
WORDS = (
    "<image>", "<video>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<img>", "</img>",
    "<IMG_CONTEXT>", "<|image|>", "<|video|>",
)  # fmt: skip
QWEN = ("<|vision_start|><|video_pad|><|vision_end|>", "Qwen2VL", {})
GLM = ("<|video|>", None, {"image_token": "<|image|>", "video_token": "<|video|>"})
INTERN = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
PATCHES = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
FAMILIES = {  # model type -> class, (words for a video, image processor, words of the tokenizer), settings
    "qwen2_vl": ("Qwen2VL", QWEN, {}),
    "qwen2_5_vl": ("Qwen2_5_VL", QWEN, {}),
    "qwen3_vl": ("Qwen3VL", QWEN, {}),
    "llava_onevision": ("LlavaOnevision", ("<video>", None, {}), {"num_image_tokens": 729, "vision_feature_select_strategy": "full"}),
    "llava_next_video": ("LlavaNextVideo", ("<video>", "LlavaNext", {}), PATCHES),
    "video_llava": ("VideoLlava", ("<video>", None, {}), PATCHES),
    "internvl": ("InternVL", ("<video>", "GotOcr2", {**INTERN, "video_token": "<video>"}), {}),
    "glm4v": ("Glm4v", GLM, {}),
    "glm46v": ("Glm46V", GLM, {}),
    "perception_lm": ("PerceptionLM", GLM, {"patch_size": 14, "pooling_ratio": 2}),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    byte_tokenizer.write(folder, 400, (*byte_tokenizer.SPECIALS, *WORDS))
    return folder


def row(model):
    """Return the cells of a class's row."""
    (line,) = re.findall(rf"^\| \**`{model}`\** \|.*$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.filterwarnings("ignore")
def test_a_row_says_what_the_family_does(folder, model):
    name, (video, images, words), settings = FAMILIES[model]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, **({"extra_special_tokens": words} if words else {}))
    frames = _video_processor(model)
    assert type(frames) is video_processor_class_from_name(type(frames).__name__)
    pictures = getattr(transformers, f"{images or name}ImageProcessor")()
    kind = getattr(transformers, f"{name}Processor")
    parts = {"image_processor": pictures, "tokenizer": tokenizer, "video_processor": frames}
    processor = kind(**parts, chat_template=template(video, "<image>"), **settings)
    chat = Chat(processor, Settings(), torch.float32)
    _, made_by, times, *sizes = row(model)
    assert (chat.as_video, made_by) == (True, f"`{name}Processor`")
    assert chat.gives_times((64, 64)) == (times != "no")
    assert tuple(sizes[: len(COUNTS)]) == _family(model, kind.__name__, frames).sizes
    assert chat.token_count(range(8), 8, 1.0, (64, 64), "hi") > chat.token_count([], 0, 1.0, (64, 64), "hi")
