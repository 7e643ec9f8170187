"""Multiply-adds of a released ViLaMP, counted from its sizes; FLOPs are twice that.

The paper's Table 5 calls multiply-adds FLOPs, and counts SigLIP's linear maps, the projector and the language
model's linear maps alone: no attention, no head, no CLIP, no composer. `paper` repeats that count.
"""

from __future__ import annotations

from vilamp.release.composer import pooled_tokens
from vilamp.release.config import ReleaseConfig
from vilamp.release.tower_sizes import PictureSizes, TransformerSizes

PAPER_TEXT = 80  # tokens of text that Table 5 comes out with


def frame(config: ReleaseConfig) -> dict[str, int]:
    """Return multiply-adds a frame as streamed, by stage."""
    patches, width = config.patches, config.language.stack.hidden_size
    return {
        "clip": _tower(config.clip.vision, config.clip.picture, 1)
        + _attention(config.clip.vision, config.clip.picture.grid**2 + 1),
        "vision": siglip_linear(config) + _attention(config.siglip, patches),
        "merge": patches * width * (config.siglip.hidden_size + 2 * width),  # two maps, the rest absorbed
    }


def siglip_linear(config: ReleaseConfig) -> int:
    """Return multiply-adds a frame of SigLIP's linear maps."""
    return _tower(config.siglip, config.siglip_picture, 0)


def projector(config: ReleaseConfig) -> int:
    """Return multiply-adds a frame of the projector applied to every patch, as the release does."""
    width = config.language.stack.hidden_size
    return config.patches * width * (config.siglip.hidden_size + width)


def composer_as_released(config: ReleaseConfig) -> int:
    """Return multiply-adds a frame of the release's composer, whose query is mapped again for every patch."""
    width = config.language.stack.hidden_size
    return config.patches * width * (3 * width + config.clip.width)


def language_token(config: ReleaseConfig) -> int:
    """Return multiply-adds a token of the language model's linear maps, without head and attention."""
    sizes = config.language.stack
    key_width = sizes.hidden_size // sizes.heads * config.language.key_value_heads
    attention = 2 * sizes.hidden_size * (sizes.hidden_size + key_width)
    return sizes.layers * (attention + 3 * sizes.hidden_size * sizes.intermediate_size)


def prefill(config: ReleaseConfig, tokens: int) -> int:
    """Return multiply-adds of a causal prefill with the head at the last position."""
    sizes = config.language.stack
    attention = sizes.layers * sizes.hidden_size * tokens * (tokens + 1)  # queries with keys, weights with values
    return tokens * language_token(config) + attention + sizes.hidden_size * config.language.vocabulary


def total(config: ReleaseConfig, frames: int, tokens: int) -> int:
    """Return multiply-adds up to the first token, as streamed."""
    return frames * sum(frame(config).values()) + prefill(config, tokens)


def paper(config: ReleaseConfig, frames: int) -> int:
    """Return what Table 5 counts for so many frames."""
    kept = min(config.keyframes, frames)
    tokens = kept * pooled_tokens(config.patches, "bilinear") + frames - kept + PAPER_TEXT
    return frames * (siglip_linear(config) + projector(config)) + tokens * language_token(config)


def _tower(sizes: TransformerSizes, picture: PictureSizes, class_tokens: int) -> int:
    """Return multiply-adds a frame of a tower's linear maps, patch embedding included."""
    patches, width = picture.grid**2, sizes.hidden_size
    block = 4 * width**2 + 2 * width * sizes.intermediate_size
    return (patches + class_tokens) * sizes.layers * block + patches * 3 * picture.patch**2 * width


def _attention(sizes: TransformerSizes, tokens: int) -> int:
    return sizes.layers * 2 * tokens**2 * sizes.hidden_size
