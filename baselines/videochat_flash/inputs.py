"""What goes into VideoChat-Flash: the user's settings, the frames shown, their pixels, clips of them, and the prompt.

Merged tokens of clips come out of the store where it has them, else they are encoded and stored. A clip is named by
the keys of its four frames, so a haystack's clips before the needle serve every case in which the same frames are
sampled; after the needle they do so where the needle moves clips by whole clips. Each clip is encoded alone, so that
its tokens are the same bits whether encoded now or found.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from baselines.videochat_flash.config import DROPOUTS, TokenDropout, VideoChatFlashConfig, read, stored_dropout
from baselines.videochat_flash.language import MODES
from baselines.videochat_flash.model import PLACEHOLDER, VideoChatFlash
from niah.adapters.feature_cache import FeatureCache
from niah.adapters.feature_store import FeatureStore
from niah.adapters.options import bytes_of_gib, read_options
from niah.adapters.preprocess import standardise, stretch_to_square
from niah.adapters.spread import check_device_map
from niah.integrations.benchmarks.prompts import in_style
from niah.prompt import format_prompt
from niah.settings import positive_int, unknown_name
from niah.types import Question, UserError, Video

FLOAT16_POSITIONS = 65_520  # the first whole number that float16 rounds to infinity
FEWEST = 64  # frames, where the video has so many
STEP = 8
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
DECODED = 16  # clips whose frames are decoded together and held: 64 frames of 3 bytes a pixel
PROMPTS = ("harness", "vlmevalkit")
DROPOUT_NAMES = ("config", "off", "stored", *DROPOUTS)
PROMPT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<image>\nTIME_MESSAGE QUESTION<|im_end|>\n"
    "<|im_start|>assistant\n"
)
STOP = "<|im_end|>"


@dataclass(frozen=True)
class VideoChatFlashSettings:
    """What a user may set by `--model_args`; checked before any weight is read."""

    max_frames: int = 512
    max_new_tokens: int = 32
    rope: str = "faithful"  # or exact
    dropout: str = "config"  # what the config's switch says; stored switches on what it spells out
    max_length: int | None = None  # where answers are refused, in place of where the release cuts
    yarn: int | float | None = None  # a factor, with rope=exact
    prompt: str = "harness"  # or vlmevalkit, as its evaluation asks Video-MME
    store_gib: int | float = 1.0  # for merged tokens of clips, which later cases may share
    store_disk_gib: int | float = 8.0
    device_map: str | None = None  # spreads the language model's layers over the cards

    def __post_init__(self) -> None:
        if self.rope not in MODES:
            raise UserError(f"rope must be one of {', '.join(MODES)}; got {self.rope!r}")
        if self.dropout not in DROPOUT_NAMES:
            raise UserError(f"dropout must be one of {', '.join(DROPOUT_NAMES)}; got {self.dropout!r}")
        if self.prompt not in PROMPTS:
            raise UserError(unknown_name("prompt", str(self.prompt), PROMPTS))
        _check_max_frames(self.max_frames)
        positive_int("max_new_tokens", self.max_new_tokens)
        if self.max_length is not None:
            positive_int("max_length", self.max_length)
        if self.yarn is not None:
            _check_yarn(self.yarn, self.rope)
        bytes_of_gib("store_gib", self.store_gib)
        bytes_of_gib("store_disk_gib", self.store_disk_gib)
        check_device_map(self.device_map)

    def configure(self, row: Mapping[str, Any]) -> VideoChatFlashConfig:
        """Return the config.json `row` with what the user changed. Raises UserError where the two do not fit."""
        config = read(row)
        if self.max_length is not None:
            config = dataclasses.replace(config, limit=self.max_length)
        if self.yarn is not None:
            positions = config.language.positions
            factor = float(self.yarn)
            scaling = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": positions}
            config = dataclasses.replace(config, language=dataclasses.replace(config.language, rope_scaling=scaling))
        return dataclasses.replace(config, dropout=_dropout(row, config, self.dropout))


def read_settings(given: Mapping[str, Any]) -> VideoChatFlashSettings:
    """Check the options a user gave. Raises UserError naming what is wrong."""
    return read_options(VideoChatFlashSettings, "videochat_flash", given)


def record_settings(config: VideoChatFlashConfig, rope: str) -> dict[str, float | str | None]:
    """Return what a record says about how the model was run."""
    dropped = config.dropout
    return {
        "rope": rope,
        "scaling": str(config.language.rope_scaling if rope == "exact" else None),
        "dropout": f"{dropped.kind} {list(dropped.layers)} {list(dropped.ratios)}" if dropped else "off",
        "limit": str(config.limit),
    }


def check_length(limit: int | None, tokens: int, shown: int, max_frames: int) -> None:
    """Raise UserError for a sequence whose end, the question, the release would cut off.

    Args:
        limit: Where the release cuts the sequence, if anywhere.
        tokens: Tokens of the sequence.
        shown: Frames shown.
        max_frames: The setting, for the message.
    """
    if limit is not None and tokens > limit:
        raise UserError(
            f"{shown} frames and the question are {tokens} tokens; the release cuts the sequence after {limit} and "
            f"would answer without the question. Show fewer frames (max_frames is {max_frames}) or lift the cut with "
            f"max_length={tokens} (then rope=exact keeps positions apart)"
        )


def check_positions(dtype: torch.dtype, rope: str, tokens: int, new_tokens: int) -> None:
    """Raise UserError for a sequence that the release's rotary table cannot hold in float16.

    From position 65,520 on it would be infinite, and every logit NaN. Known before any frame is decoded.

    Args:
        dtype: The model's.
        rope: "faithful" or "exact"; exact angles are in single precision.
        tokens: Tokens of the prompt.
        new_tokens: The most tokens of an answer.
    """
    if dtype == torch.float16 and rope == "faithful" and tokens + new_tokens > FLOAT16_POSITIONS:
        raise UserError(
            f"{tokens} tokens and {new_tokens} of an answer pass position {FLOAT16_POSITIONS:,}, from which on the "
            "release's rotary table is NaN in float16: set dtype=bfloat16, rope=exact or fewer frames (max_frames)"
        )


def sample_frames(frames: int, fps: float, most: int) -> list[int]:
    """Return the frames shown: about one a second in multiples of 8, at most `most`, then at least 64.

    They are the middles of equal integer intervals, in playing order; the last frame repeats where a video has fewer
    than 8. Raises ValueError for a video without frames.
    """
    if frames < 1:
        raise ValueError("a video without frames has none to sample")
    wanted = STEP * int(frames / fps // STEP) or STEP
    fewest = FEWEST if frames >= FEWEST else STEP * (frames // STEP)
    wanted = max(min(wanted, most), fewest)
    count = min(wanted, frames)
    # np.linspace, truncated, as the release: exact integer division would differ by a frame now and then.
    edges = np.linspace(0, frames, count + 1).astype(int)
    middles = ((edges[:-1] + edges[1:] - 1) // 2).tolist()
    return middles + [middles[-1]] * (wanted - count)


def time_message(seconds: float, frames: int) -> str:
    """Return the sentence with the duration and the number of frames shown."""
    return f"The video lasts for {seconds:.2f} seconds, and {frames} frames are uniformly sampled from it."


def make_pixels(
    frames: UInt8[np.ndarray, "frames height width 3"], size: int, device: str | torch.device = "cpu"
) -> Float[Tensor, "frames 3 size size"]:
    """Resize frames to the full square, bicubic, and standardise them; the aspect ratio is not kept.

    Holds 12 bytes a pixel of what it returns. Raises ValueError for anything but such frames.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"frames are (frames, height, width, 3) uint8, got {frames.shape} {frames.dtype}")
    return standardise(stretch_to_square(frames, size), MEAN, DEVIATION, device)


def write_prompt(question: str, frames: int, fps: float, shown: int) -> str:
    """Return the prompt for `shown` of a video's `frames` frames; without a video it mentions none."""
    if not frames:
        return PROMPT.replace("<image>\nTIME_MESSAGE QUESTION", question)
    return PROMPT.replace("TIME_MESSAGE QUESTION", f"{time_message(frames / fps, shown)} {question}")


def encode_prompt(tokenizer: Any, prompt: str, shown: int) -> list[int]:
    """Return the prompt's ids; where frames are shown, with PLACEHOLDER for the prompt's own "<image>"."""
    parts = prompt.split("<image>", maxsplit=1) if shown else [prompt]
    ids = [tokenizer.encode(part, add_special_tokens=False) for part in parts]
    return [*ids[0], PLACEHOLDER, *ids[1]] if shown else ids[0]


def stop_ids(tokenizer: Any, configured: tuple[int, ...]) -> tuple[int, ...]:
    """Return the ids that end a reply: the config's, and STOP where it is a single token."""
    ids = tokenizer.encode(STOP, add_special_tokens=False)
    return (*configured, *ids) if len(ids) == 1 else configured


Clip = tuple[int, ...]  # numbers of its frames


class ClipFeatures:
    """Merged tokens of clips, from a store or encoded now.

    `store`, if any, holds one model's clips: models must not share it.
    """

    def __init__(self, model: VideoChatFlash, store: FeatureStore | None) -> None:
        self.model = model
        self.cache = FeatureCache(store, model.dtype, model.device)

    @torch.inference_mode()
    def of(self, video: Video, shown: Sequence[int]) -> Iterator[tuple[Float[Tensor, "tokens dim"], bool]]:
        """Yield the merged tokens of one clip after another, and whether they were stored.

        Holds the frames and merged tokens of 16 clips, and the pixels and patches of one. Raises ValueError where
        `shown` makes no whole clips.
        """
        size = self.model.config.tower.clip_frames
        if len(shown) % size:
            raise ValueError(f"clips are of {size} frames, got {len(shown)} frames")
        clips = [tuple(shown[start : start + size]) for start in range(0, len(shown), size)]
        keys = video.keys(0, len(video))
        encoded: set[Clip] = set()

        def encode(missing: list[Clip]) -> Float[Tensor, "missing tokens dim"]:
            encoded.update(missing)
            return torch.stack([self._encode(frames) for frames in decode_clips(video, missing)])

        def announce(missing: list[Clip]) -> None:
            known = set(missing)
            video.announce([frame for part in parts for frame in frames_of(clip for clip in part if clip in known)])

        parts = [clips[start : start + DECODED] for start in range(0, len(clips), DECODED)]
        found = self.cache.get_or_encode(
            parts, lambda clip: tuple(keys[frame] for frame in clip), encode, announce=announce
        )
        clips_of = iter(parts)
        for rows, _ in found:
            row = None
            for clip, row in zip(next(clips_of), rows, strict=True):
                yield row.clone(), clip not in encoded  # a view would keep its whole part alive
            del rows, row

    @torch.inference_mode()
    def assemble(
        self, ids: Sequence[int], video: Video, shown: Sequence[int]
    ) -> tuple[Float[Tensor, "total hidden"], range, int]:
        """Return a prompt's embeddings, where visual tokens lie, and how many frames were stored."""
        size = self.model.config.tower.clip_frames
        reused: set[int] = set()

        def clips() -> Iterator[Float[Tensor, "tokens dim"]]:
            for number, (tokens, stored) in enumerate(self.of(video, shown)):
                reused.update(shown[number * size : (number + 1) * size] if stored else ())
                yield tokens

        embeds, visual = self.model.assemble(ids, clips(), len(shown) // size)
        return embeds, visual, len(reused)

    def _encode(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[Tensor, "tokens dim"]:
        """Return the merged tokens of one clip."""
        pixels = make_pixels(frames, self.model.config.tower.image_size, self.model.device)
        return self.model.encode(pixels[None])[0]


def frames_of(clips: Iterable[Clip]) -> list[int]:
    """Return the frames of clips, each once, in playing order."""
    return sorted({frame for clip in clips for frame in clip})


def decode_clips(video: Video, clips: list[Clip]) -> UInt8[np.ndarray, "clips frames height width 3"]:
    """Decode the frames of clips; a frame that a short video repeats is decoded once."""
    wanted = frames_of(clips)
    place = {frame: number for number, frame in enumerate(wanted)}
    return video.frames(wanted)[[[place[frame] for frame in clip] for clip in clips]]


@dataclass(frozen=True, eq=False)
class VideoChatFlashPrompt:
    """A prompt before it is read."""

    embeds: Float[Tensor, "tokens hidden"]
    visual: range  # where visual tokens lie
    shown: list[int]  # frames of the video, clip by clip
    reused: int  # of them, those whose clips were stored


class VideoChatFlashPrompts:
    """Embeds videos and questions in the release's words."""

    def __init__(self, features: ClipFeatures, tokenizer: Any, settings: VideoChatFlashSettings) -> None:
        self.features, self.tokenizer, self.settings = features, tokenizer, settings

    def embed(self, video: Video, question: Question) -> VideoChatFlashPrompt:
        """Return the whole prompt. Raises UserError where the release would cut the question away, or overflow."""
        config, settings = self.features.model.config, self.settings
        shown = sample_frames(len(video), video.fps, settings.max_frames) if len(video) else []
        prompt = write_prompt(format_prompt(in_style(question, settings.prompt)), len(video), video.fps, len(shown))
        ids = encode_prompt(self.tokenizer, prompt, len(shown))
        clips = len(shown) // config.tower.clip_frames
        tokens = len(ids) - bool(shown) + clips * config.tower.clip_tokens
        check_length(config.limit, tokens, len(shown), settings.max_frames)
        check_positions(self.features.model.dtype, settings.rope, tokens, settings.max_new_tokens)
        embeds, visual, reused = self.features.assemble(ids, video, shown)
        return VideoChatFlashPrompt(embeds, visual, shown, reused)


def _check_max_frames(max_frames: Any) -> None:
    """Raise UserError for a number of frames that the release's rule would not keep to."""
    if positive_int("max_frames", max_frames) < FEWEST or max_frames % 4:
        raise UserError(
            f"max_frames must be a multiple of 4 from {FEWEST} on, as the release shows clips of 4 frames and never "
            f"fewer than {FEWEST} frames of a video that has them; got {max_frames}"
        )


def _check_yarn(factor: Any, rope: str) -> None:
    if rope != "exact":
        raise UserError("yarn needs rope=exact: the release's own language model ignores rope_scaling")
    if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 1 <= factor < math.inf:
        raise UserError(f"yarn must be a factor from 1 up, 4 in the authors' own haystack run; got {factor!r}")


def _dropout(row: Mapping[str, Any], config: VideoChatFlashConfig, name: str) -> TokenDropout | None:
    """Return the dropout that the setting `name` stands for."""
    if name == "config":
        return config.dropout
    return {"off": None, "stored": stored_dropout(row), **DROPOUTS}[name]
