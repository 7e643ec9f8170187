"""Tiny models of transformers with random weights, written to a folder as a released checkpoint is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessor,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5OmniConfig,
    Qwen2_5OmniProcessor,
    Qwen2_5OmniThinkerForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
    WhisperFeatureExtractor,
)

from tests.helpers import byte_tokenizer

VOCABULARY = 300  # 256 bytes and the specials
SPECIALS = (*byte_tokenizer.SPECIALS, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 2000,
    "bos_token_id": None,
    "eos_token_id": 256 + 1,
}


def template(video: str, image: str) -> str:
    """Return a chat template in the manner of ChatML, with these words for a video and an image."""
    part = "{% if p.type == 'video' %}VIDEO{% elif p.type == 'image' %}IMAGE{% else %}{{ p.text }}{% endif %}"
    return (
        (
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for p in m.content %}"
            + part
            + "{% endfor %}<|im_end|>\n"
            "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
        )
        .replace("VIDEO", video)
        .replace("IMAGE", image)
    )


def qwen2_vl(folder: Path) -> Path:
    """Write a Qwen2-VL whose every two frames of 16 x 16 are one token: 2 x 2 patches of 8, merged into one."""
    tokenizer = _tokenizer(folder)
    vision = {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "patch_size": 8, "mlp_ratio": 2}
    text = {**TEXT, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}}
    ids = dict(zip(("vision_start", "vision_end", "image", "video"), range(259, 263), strict=True))
    tokens = {f"{name}_token_id": number for name, number in ids.items()}
    torch.manual_seed(0)
    config = Qwen2VLConfig(vision_config=vision, text_config=text, **tokens)
    Qwen2VLForConditionalGeneration(config).save_pretrained(folder)
    size = {"shortest_edge": 16 * 16, "longest_edge": 16 * 16}
    frames = Qwen2VLVideoProcessor(size=size, patch_size=8, cap_pixels_per_frame=False)
    pictures = Qwen2VLImageProcessor(size=size, patch_size=8)
    words = template("<|vision_start|><|video_pad|><|vision_end|>", "<|vision_start|><|image_pad|><|vision_end|>")
    Qwen2VLProcessor(pictures, tokenizer, frames, chat_template=words).save_pretrained(folder)
    return folder


def qwen3_vl(
    folder: Path, positions: int = 2000, vision: dict[str, Any] | None = None, text: dict[str, Any] | None = None
) -> Path:
    """Write a Qwen3-VL with the released processor's patches and budget: 32 x 32 pixels of two frames are a token.

    `vision` and `text` hold what else is in the configs of its towers.
    """
    tokenizer = _tokenizer(folder)
    seeing = {
        "depth": 1, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
        "deepstack_visual_indexes": [0], "num_position_embeddings": 64,
    }  # fmt: skip
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3], "mrope_interleaved": True}
    reading = {
        **TEXT,
        "head_dim": 16,
        "max_position_embeddings": positions,
        "rope_parameters": rope,
        "pad_token_id": 258,
    }
    ids = dict(zip(("vision_start", "vision_end", "image", "video"), range(259, 263), strict=True))
    torch.manual_seed(0)
    config = Qwen3VLConfig(
        vision_config={**seeing, **(vision or {})},
        text_config={**reading, **(text or {})},
        **{f"{name}_token_id": number for name, number in ids.items()},
    )
    Qwen3VLForConditionalGeneration(config).save_pretrained(folder)
    size = {"shortest_edge": 4096, "longest_edge": 25165824}  # preprocessor_config.json of Qwen3-VL's checkpoints
    frames = Qwen3VLVideoProcessor(size=size, cap_pixels_per_frame=False)
    pictures = Qwen2VLImageProcessor(size={"shortest_edge": 65536, "longest_edge": 16777216}, patch_size=16)
    words = template("<|vision_start|><|video_pad|><|vision_end|>", "<|vision_start|><|image_pad|><|vision_end|>")
    Qwen3VLProcessor(pictures, tokenizer, frames, chat_template=words).save_pretrained(folder)
    return folder


def qwen2_5_omni(folder: Path) -> Path:
    """Write the part of a Qwen2.5-Omni that writes answers, named as in a checkpoint that also holds a voice."""
    marks = {"audio": "<|AUDIO|>", "image": "<|image_pad|>", "video": "<|video_pad|>"}
    specials = ("<|vision_start|>", "<|vision_end|>", *marks.values(), "<|audio_bos|>", "<|audio_eos|>")
    _tokenizer(folder, specials)
    named = {f"{name}_token": token for name, token in marks.items()}
    named |= {"vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>"}
    named |= {"audio_bos_token": "<|audio_bos|>", "audio_eos_token": "<|audio_eos|>"}
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, extra_special_tokens=named)
    vision = {
        "depth": 1, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "out_hidden_size": 32,
        "fullatt_block_indexes": [0], "patch_size": 8, "window_size": 16,
    }  # fmt: skip
    audio = {"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "output_dim": 32}
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    ids = {"audio_token_index": 261, "image_token_index": 262, "video_token_index": 263}
    ids |= {
        "vision_start_token_id": 259,
        "vision_end_token_id": 260,
        "audio_start_token_id": 264,
        "audio_end_token_id": 265,
    }
    text = {**TEXT, "rope_parameters": rope}
    torch.manual_seed(0)
    config = Qwen2_5OmniConfig(
        thinker_config={"vision_config": vision, "audio_config": audio, "text_config": text, **ids}
    )
    thinker = Qwen2_5OmniThinkerForConditionalGeneration(config.thinker_config)
    weights = {f"thinker.{name}": weight.contiguous() for name, weight in thinker.state_dict().items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config.save_pretrained(folder)
    size = {"shortest_edge": 16 * 16, "longest_edge": 16 * 16}
    frames, pictures = Qwen2VLVideoProcessor(size=size, patch_size=8), Qwen2VLImageProcessor(size=size, patch_size=8)
    words = template("<|vision_start|><|video_pad|><|vision_end|>", "<|vision_start|><|image_pad|><|vision_end|>")
    hearing = WhisperFeatureExtractor(feature_size=128)
    Qwen2_5OmniProcessor(pictures, frames, hearing, tokenizer, chat_template=words).save_pretrained(folder)
    return folder


def llava_onevision(folder: Path) -> Path:
    """Write a LLaVA-OneVision whose frame of 32 x 32 is 4 tokens: 4 x 4 patches of 8, pooled. One more ends a video."""
    tokenizer = _tokenizer(folder, ("<image>", "<video>"))
    vision = {
        "model_type": "siglip_vision_model", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 32, "patch_size": 8, "vision_use_head": False,
    }  # fmt: skip
    text = {"model_type": "qwen2", **TEXT}
    places = {"image_token_index": 259, "video_token_index": 260, "image_grid_pinpoints": [[32, 32]]}
    torch.manual_seed(0)
    config = LlavaOnevisionConfig(vision_config=vision, text_config=text, **places)
    LlavaOnevisionForConditionalGeneration(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    pictures = LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=[[32, 32]])
    settings = {"num_image_tokens": 16, "vision_feature_select_strategy": "full"}
    words = template("<video>", "<image>")
    frames = LlavaOnevisionVideoProcessor(size=size)
    LlavaOnevisionProcessor(pictures, tokenizer, frames, chat_template=words, **settings).save_pretrained(folder)
    return folder


def smolvlm(folder: Path) -> Path:
    """Write a SmolVLM whose frame of 32 x 32 is 4 tokens: 4 x 4 patches of 8, two a side put together."""
    specials = ("<image>", "<fake_token_around_image>", "<global-img>", "<video>", "<end_of_utterance>")
    _tokenizer(folder, specials)
    named = {"image_token": "<image>", "fake_image_token": specials[1], "global_image_token": specials[2]}
    named |= {"video_token": "<video>", "end_of_utterance_token": specials[4]}
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, extra_special_tokens=named, pad_token="<|endoftext|>")
    vision = {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 8,
    }  # fmt: skip
    text = {"model_type": "llama", **TEXT, "pad_token_id": 258}
    torch.manual_seed(0)
    config = SmolVLMConfig(vision_config=vision, text_config=text, image_token_id=259, scale_factor=2)
    SmolVLMForConditionalGeneration(config).save_pretrained(folder)
    size = {"longest_edge": 32}
    pictures = SmolVLMImageProcessor(size=size, max_image_size=size)
    frames = SmolVLMVideoProcessor(size=size, max_image_size=size)
    words = template("<video>", "<image>")
    SmolVLMProcessor(pictures, tokenizer, frames, image_seq_len=4, chat_template=words).save_pretrained(folder)
    return folder


def _tokenizer(folder: Path, specials: tuple[str, ...] = SPECIALS[3:]) -> PreTrainedTokenizerFast:
    """Write the byte tokenizer into the folder and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    byte_tokenizer.write(folder, VOCABULARY, (*byte_tokenizer.SPECIALS, *specials))
    return PreTrainedTokenizerFast.from_pretrained(folder)
