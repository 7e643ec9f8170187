"""Processors of transformers' families with their own default sizes, around a byte tokenizer: no weights, no files."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import transformers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from baselines.huggingface.families import _video_processor
from tests.helpers import byte_tokenizer
from tests.helpers.tiny_huggingface import template

START = "<s>"
GLM = {"image_token": "<|image|>", "video_token": "<|video|>"}
GEMMA = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image>"}
HEARING = {"audio_token": "<|audio|>", "boa_token": "<audio>", "eoa_token": "</audio>"}
MINICPM = {
    "image_token": "<image>", "video_token": "<video>", "image_start_token": "<img>", "image_end_token": "</img>",
    "slice_start_token": "<slice>", "slice_end_token": "</slice>", "image_id_start_token": "<id>",
    "image_id_end_token": "</id>",
}  # fmt: skip
INTERN = {
    "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}  # fmt: skip
MOLMO = ("<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>", "<frame_start>", "<im_end>", "<frame_end>", "<im_low>")  # fmt: skip
WORDS = (
    START, "<image>", "<video>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
    *GLM.values(), *INTERN.values(), *GEMMA.values(), *HEARING.values(), *MINICPM.values(), *MOLMO,
)  # fmt: skip
QWEN = "<|vision_start|><|video_pad|><|vision_end|>"
PATCHES = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}


@dataclass(frozen=True)
class Parts:
    """What a family's processor is made of.

    Args:
        name: What its classes are called.
        video: The words for a video, or for an image, in its chat template.
        images: The class of its image processor, where it has another family's.
        words: Special tokens by the names that its processor asks the tokenizer for.
        settings: Further arguments of its processor.
        start: Whether its tokenizer puts a token before every text, and its chat template the same one.
    """

    name: str
    video: str = QWEN
    images: str | None = None
    words: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    start: bool = False


FAMILIES = {  # by model type
    "qwen2_vl": Parts("Qwen2VL"),
    "qwen2_5_vl": Parts("Qwen2_5_VL", images="Qwen2VL"),
    "qwen3_vl": Parts("Qwen3VL", images="Qwen2VL"),
    "llava_onevision": Parts(
        "LlavaOnevision", "<video>", settings={"num_image_tokens": 729, "vision_feature_select_strategy": "full"}
    ),
    "llava_next_video": Parts("LlavaNextVideo", "<video>", "LlavaNext", settings=PATCHES, start=True),
    "video_llava": Parts("VideoLlava", "<video>", settings=PATCHES, start=True),
    "internvl": Parts("InternVL", "<video>", "GotOcr2", INTERN),
    "glm4v": Parts("Glm4v", "<|video|>", words=GLM),
    "glm46v": Parts("Glm46V", "<|video|>", words=GLM),
    "perception_lm": Parts("PerceptionLM", "<|video|>", None, GLM, {"patch_size": 14, "pooling_ratio": 2}, True),
    "video_llama_3": Parts("VideoLlama3"),
    "minicpmv4_6": Parts("MiniCPMV4_6", "<video>", words=MINICPM),
    "molmo2": Parts("Molmo2", "<|video|>"),
    "gemma3": Parts("Gemma3", "<start_of_image>", words=GEMMA, start=True),
    "gemma4": Parts("Gemma4", "<|video|>", words=GEMMA | HEARING, start=True),
    "smolvlm": Parts("SmolVLM", "<video>"),
}


def write_tokenizer(folder: Path) -> Path:
    """Write the tokenizer that all these processors share."""
    byte_tokenizer.write(folder, 400, (*byte_tokenizer.SPECIALS, *dict.fromkeys(WORDS)))
    return folder


def processor(model: str, folder: Path) -> Any:
    """Return a family's processor with the defaults of its classes, and the tokenizer that lies in a folder."""
    parts = FAMILIES[model]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(
        folder,
        bos_token=START,
        pad_token="<|endoftext|>",
        **({"extra_special_tokens": parts.words} if parts.words else {}),
    )
    if parts.start:
        first = [(START, tokenizer.convert_tokens_to_ids(START))]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{START} $A", special_tokens=first)
    made = {
        "tokenizer": tokenizer,
        "image_processor": getattr(transformers, f"{parts.images or parts.name}ImageProcessor")(),
    }
    frames = _video_processor(model)
    if frames is not None:
        made["video_processor"] = frames
    if model == "gemma4":
        made["feature_extractor"] = transformers.Gemma4AudioFeatureExtractor()
    words = (START if parts.start else "") + template(parts.video, parts.video)
    return getattr(transformers, f"{parts.name}Processor")(**made, chat_template=words, **parts.settings)
