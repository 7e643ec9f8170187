"""What goes into Video-XL: the user's settings, the frames shown, their pixels, and the release's prompts.

Every part of a prompt is tokenised on its own, as the release does, so that the prefix (14 tokens with its own
tokenizer) is the same whatever the question, and the cache of it can be shared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from baselines.video_xl.compress import RatioRule
from baselines.video_xl.config import PixelConfig
from niah.adapters.options import bytes_of_gib, read_options
from niah.adapters.preprocess import centre_square, standardise
from niah.adapters.spread import check_device_map
from niah.prompt import format_prompt
from niah.settings import positive_int, unknown_name
from niah.types import LETTERS, Question, UserError

ASSISTANT = "You are a helpful assistant."
VNBENCH_SYSTEM = (
    "Carefully watch this video and pay attention to every detail. Based on your observations, select the best option "
    "that accurately addresses the question."
)
END_OF_TURN = "<|im_end|>"
STYLES = ("chat", "niah", "vnbench")
ONE_A_SECOND = "second"


@dataclass(frozen=True)
class SummaryCompression:
    """How a video is compressed."""

    rule: RatioRule
    dynamic: bool = False
    frames: int | str | None = None  # show at most this many, evenly spread as the demo does, or ONE_A_SECOND
    seed: int = 0


@dataclass(frozen=True)
class VideoXLSettings:
    """What a user may set by `--model_args`; checked before any weight is read."""

    ratio: int | str | None = None  # 16, or several as 2/4/8; the checkpoint's own if not given
    mix: str | None = None  # how one of several is picked: see `RatioRule`
    dynamic: bool = False  # the paper's, not the release's: see `plan_dynamic`
    frames: int | str | None = None  # a number, or `second`: one a second, as the release's VNBench script
    prompt: str = "chat"
    max_new_tokens: int = 32
    store_gib: int | float = 1.0  # for summary tokens that later cases may share
    store_disk_gib: int | float = 8.0
    device_map: str | None = None  # spreads the language model's layers over the cards

    def __post_init__(self) -> None:
        if self.frames not in (None, ONE_A_SECOND):
            positive_int("frames", self.frames)
        positive_int("max_new_tokens", self.max_new_tokens)
        if self.prompt not in STYLES:
            raise UserError(unknown_name("prompt", str(self.prompt), STYLES))
        if not isinstance(self.dynamic, bool):
            raise UserError(f"dynamic must be True or False, got {self.dynamic!r}")
        bytes_of_gib("store_gib", self.store_gib)
        bytes_of_gib("store_disk_gib", self.store_disk_gib)
        check_device_map(self.device_map)
        self._ratios(())

    def compression(self, released: RatioRule, seed: int = 0) -> SummaryCompression:
        """Return how videos are compressed, by the checkpoint's own rule where the user says nothing."""
        rule = RatioRule(self._ratios(released.ratios), released.mix if self.mix is None else str(self.mix))
        if self.dynamic and len(set(rule.ratios)) < 2:
            raise UserError(
                f"dynamic compression chooses between ratios, got only {rule.ratios[0]}: give ratio=2/4/8/16"
            )
        return SummaryCompression(rule, self.dynamic, self.frames, seed)

    def _ratios(self, released: tuple[int, ...]) -> tuple[int, ...]:
        """Read a ratio or several ("2/4/8")."""
        if self.ratio is None:
            return released
        try:
            return tuple(int(part) for part in str(self.ratio).split("/"))
        except ValueError:
            raise UserError(f"ratio must be a number or several as 2/4/8, got {self.ratio!r}") from None


def read_settings(given: Mapping[str, Any]) -> VideoXLSettings:
    """Check the options a user gave. Raises UserError naming what is wrong."""
    return read_options(VideoXLSettings, "video_xl", given)


def record_settings(how: SummaryCompression, prompt: str) -> dict[str, float | str | None]:
    """Return what a record says about how its video was compressed."""
    several = len(how.rule.ratios) > 1 and not how.dynamic
    return {
        "ratio": "/".join(map(str, how.rule.ratios)),
        "mix": how.rule.mix if several else "",
        "dynamic": str(how.dynamic),
        "frames": how.frames,
        "prompt": prompt,
    }


def sample_frames(count: int, frames: int | str | None, fps: float = 1.0) -> list[int]:
    """Return which frames are shown: all, at most `frames` from the first to the last evenly, or one a second.

    Both ways round down, as the release's demo and its VNBench script do; the script leaves out the last, begun second.
    """
    if frames == ONE_A_SECOND:
        return [int(second * fps) for second in range(int(count / fps))]
    if frames is None or int(frames) >= count:
        return list(range(count))
    return [int(number) for number in np.linspace(0, count - 1, int(frames))]


def make_pixels(
    frames: UInt8[np.ndarray, "frames height width 3"], config: PixelConfig, device: str | torch.device = "cpu"
) -> Float[Tensor, "frames 3 side side"]:
    """Preprocess frames as CLIP does."""
    return standardise(centre_square(frames, config.side), config.mean, config.std, device)


@dataclass(frozen=True)
class PromptIds:
    """Token ids around a video."""

    prefix: tuple[int, ...]
    suffix: tuple[int, ...]


def write_prompt(question: Question, style: str, video: bool) -> tuple[str, str]:
    """Return the text before the video and the text after it; without a video the line break after it is left out.

    "chat" is the release's conversation, "niah" its needle test's, which starts the reply with an opening
    parenthesis, and "vnbench" its VNBench script's. Raises UserError for another style.
    """
    if style == "vnbench":
        options = "".join(f"({letter}) {text}\n" for letter, text in zip(LETTERS, question.options, strict=False))
        text = f"Question: {question.text}\nOptions:\n{options}"
    else:
        text = format_prompt(question)
    return wrap_in_chat(style, text, video)


def wrap_in_chat(style: str, text: str, video: bool = True) -> tuple[str, str]:
    """Return what stands before the video, and what after it with `text`, the question. Raises UserError."""
    if style not in STYLES:
        raise UserError(f"a prompt is one of {', '.join(STYLES)}, got {style!r}")
    system = VNBENCH_SYSTEM if style == "vnbench" else ASSISTANT
    before = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n"
    if style == "niah":
        return before, f"Question: {text}\nAnswer: <|im_end|>\n<|im_start|>assistant\nBest option:("
    opening = "\n" if video else ""
    return before, f"{opening}{text}<|im_end|>\n<|im_start|>assistant\n"


def stop_ids(tokenizer: Any, configured: frozenset[int]) -> frozenset[int]:
    """Return the ids that end a reply: the checkpoint's, and the end of a turn, should its config name another."""
    turn = tokenizer.get_vocab().get(END_OF_TURN)
    return configured if turn is None else configured | {turn}


def encode_prompt(tokenizer: Any, question: Question, style: str, video: bool, vocabulary: int) -> PromptIds:
    """Return the ids of both parts of a prompt.

    Raises UserError for a tokenizer that does not belong to the language model.

    Args:
        tokenizer: The checkpoint's tokenizer.
        question: What to ask.
        style: One of STYLES.
        video: Whether there is a video; a blind case has none.
        vocabulary: How many ids the language model knows.
    """
    parts = [tuple(tokenizer.encode(text, add_special_tokens=False)) for text in write_prompt(question, style, video)]
    largest = max(map(max, filter(None, parts)), default=0)
    if largest >= vocabulary:
        raise UserError(
            f"the tokenizer gives id {largest}, the language model knows {vocabulary}: it belongs to another checkpoint"
        )
    return PromptIds(*parts)
