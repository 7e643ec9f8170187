"""What a model is given: a chat of one turn, the frames before the question, as its processor makes it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

from baselines.huggingface.settings import Settings
from baselines.huggingface.stream import CHUNK, ReadFrames, StreamedVideoProcessor, placeholder
from niah.adapters.shown import time_line
from niah.settings import unknown_name
from niah.types import UserError

DECIDED = {  # what of a processor and of a chat template is not for a user to set, and why
    "processor_kwargs": (
        ("text", "images", "videos", "video_metadata", "return_tensors", "add_special_tokens", "do_sample_frames",
         "num_frames", "fps"),
        "frames are chosen by max_frames and fps, at bin centres, and go to the processor with their times",
    ),
    "chat_template_kwargs": (("tokenize", "add_generation_prompt"), "a question is one turn that the model answers"),
}  # fmt: skip


class Chat:
    """Makes inputs of frames and a question, or counts the tokens they would have."""

    def __init__(self, processor: Any, settings: Settings, dtype: torch.dtype) -> None:
        """Raises UserError for settings that the processor does not know, or that are decided here."""
        _check(processor, settings)
        self.processor, self.settings, self._dtype = processor, settings, dtype
        self.as_video = vars(processor).get("video_processor") is not None and not settings.as_images

    def inputs(self, video: Any, used: Sequence[int], size: tuple[int, int], prompt: str) -> Any:
        """Return what `generate` takes, on the CPU.

        Args:
            video: A `Video`; frames are decoded in the order of `used`.
            used: The frames shown.
            size: Height and width of a frame.
            prompt: The question, as the prompt has it.
        """
        if not used:
            return self._processed(prompt, [])
        video.announce(used)
        if self.as_video:
            read = lambda start, stop: video.frames(used[start:stop])  # noqa: E731
            return self._video(read, used, len(video), video.fps, size, prompt)
        images = [frame for start in range(0, len(used), CHUNK) for frame in video.frames(used[start : start + CHUNK])]
        return self._images(images, [number / video.fps for number in used], prompt)

    def token_count(self, used: Sequence[int], count: int, fps: float, size: tuple[int, int], prompt: str) -> int:
        """Return how many tokens these frames and a question have, without decoding a frame.

        Where the processor reads pixels to know it, that is worked out from two and four black frames.
        """
        if not used:
            return self._processed(prompt, [])["input_ids"].shape[1]
        if self.as_video:
            try:
                return self._video(None, used, count, fps, size, prompt)["input_ids"].shape[1]
            except NotImplementedError:  # torch's word for what needs data
                pass
        two, four = (self._black(number, fps, size, prompt) for number in (2, 4))
        return two + (four - two) * (len(used) - 2) // 2

    def gives_times(self, size: tuple[int, int]) -> bool:
        """Return True if what the processor makes of frames depends on when they were shown.

        Four frames, as GLM-4V gives a pair of frames the time of its first one, which is 0 at any rate.
        """
        if not self.as_video:
            return self.settings.frame_times
        quick, slow = (self._video(_black(size), [0, 1, 2, 3], 4, fps, size, "") for fps in (1.0, 0.02))
        return quick.keys() != slow.keys() or any(not _same(quick[name], slow[name]) for name in quick)

    def _black(self, number: int, fps: float, size: tuple[int, int], prompt: str) -> int:
        """Return how many tokens so many black frames and a question have."""
        if self.as_video:
            inputs = self._video(_black(size), list(range(number)), number, fps, size, prompt)
        else:
            inputs = self._images(list(_black(size)(0, number)), [one / fps for one in range(number)], prompt)
        return inputs["input_ids"].shape[1]

    def _video(
        self, read: ReadFrames | None, used: Sequence[int], count: int, fps: float, size: tuple[int, int], prompt: str
    ) -> Any:
        """Return the inputs of a question about a video.

        Args:
            read: Returns frames by their places in `used`; None for tensors without data.
            used: The frames shown.
            count: How many frames the video has.
            fps: Its frames a second.
            size: Height and width of a frame.
            prompt: The question, as the prompt has it.
        """
        shown = {"total_num_frames": count, "fps": fps, "frames_indices": list(used), "duration": count / fps}
        processor = copy.copy(self.processor)
        original, budget = self.processor.video_processor, self.settings.budget(len(used))
        processor.video_processor = StreamedVideoProcessor(original, read, budget, self._dtype)
        given = {
            "videos": [placeholder(len(used), *size)],
            "video_metadata": [shown],
            "do_sample_frames": False,
        }
        if "position_id_per_seconds" in type(self.processor).valid_processor_kwargs.__annotations__:
            given["fps"] = len(used) * fps / count  # Qwen-Omni reads no metadata, and takes 1 or 2 a second if not told
        return self._processed(prompt, [{"type": "video"}], processor, **given)

    def _images(self, images: Sequence[Any], seconds: Sequence[float], prompt: str) -> Any:
        """Return the inputs of a question about images, each after a line with its time where that is wanted."""
        content = []
        for time in seconds:
            lines = [{"type": "text", "text": time_line(time)}] if self.settings.frame_times else []
            content += [*lines, {"type": "image"}]
        budget = self.settings.budget(len(images))
        return self._processed(
            prompt, content, images=list(images), **({} if budget is None else self._image_size(budget))
        )

    def _image_size(self, budget: int) -> dict[str, Any]:
        """Return what an image processor with a budget of pixels is given. Raises UserError for any other."""
        size = dict(getattr(self.processor.image_processor, "size", None) or {})
        if not {"shortest_edge", "longest_edge"} <= {name for name, value in size.items() if value}:
            raise UserError(
                f"{type(self.processor.image_processor).__name__} has no budget of pixels: leave frame_pixels and "
                "video_pixels out, or name what it has: processor_kwargs.NAME=VALUE"
            )
        return {
            "images_kwargs": {"size": {"shortest_edge": min(size["shortest_edge"], budget), "longest_edge": budget}}
        }

    def _processed(self, prompt: str, content: list[dict[str, str]], processor: Any = None, **given: Any) -> Any:
        """Return what the processor makes of frames and a question."""
        chat = [{"role": "user", "content": [*content, {"type": "text", "text": prompt}]}]
        text = self.processor.apply_chat_template(
            chat, add_generation_prompt=True, tokenize=False, **self.settings.chat_template_kwargs
        )
        given |= started_once(self.processor.tokenizer, text)
        return (processor or self.processor)(
            text=[text], return_tensors="pt", **given, **self.settings.processor_kwargs
        )


def _check(processor: Any, settings: Settings) -> None:
    """Raise UserError for settings that the processor does not know, or that are decided here."""
    for group, (decided, why) in DECIDED.items():
        for name in decided:
            if name in getattr(settings, group):
                raise UserError(f"{group}.{name} cannot be set: {why}. Leave it out")
    kinds = [getattr(processor, "valid_processor_kwargs", None)]
    kinds += [getattr(vars(processor).get(f"{part}_processor"), "valid_kwargs", None) for part in ("image", "video")]
    known = {name for kind in kinds if kind is not None for name in _names(kind)}
    unknown = sorted(set(settings.processor_kwargs) - known)
    if known and unknown:  # which transformers would leave out in silence
        raise UserError(unknown_name(f"setting of {type(processor).__name__}", unknown[0], sorted(known)))


def _names(kind: Any) -> set[str]:
    """Return the names in a typed dict, and in those it holds."""
    return set(kind.__annotations__).union(
        *(_names(one) for one in kind.__annotations__.values() if hasattr(one, "__annotations__"))
    )


def started_once(tokenizer: Any, text: str) -> dict[str, bool]:
    """Return with which settings a tokenizer writes no start token before a text that has one from its template."""
    start = tokenizer.bos_token
    return {"add_special_tokens": False} if start and text.startswith(start) else {}


def _black(size: tuple[int, int]) -> ReadFrames:
    return lambda start, stop: placeholder(stop - start, *size).copy()


def _same(one: Any, other: Any) -> bool:
    """Return True if two values of a processor's output are equal."""
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
