"""What a user may set of how a model is shown a video and asked; checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from niah.settings import is_int, is_number, positive_int
from niah.types import UserError

ANSWERS = ("generate", "letters", "texts")
NEW_TOKENS = 32
THOUGHT_TOKENS = 4096  # of an answer whose prompt opens a thought


@dataclass(frozen=True)
class Settings:
    """How a model is shown a video and asked.

    Args:
        max_frames: At most so many frames; None for as many as fit into the model's positions.
        fps: At most so many frames a second; with `max_frames`, the smaller number wins.
        frame_pixels: At most so many pixels a frame (height x width). Frames are made smaller and never larger.
        video_pixels: At most so many pixels of all frames together. With neither, the checkpoint's own budget.
        as_images: Frames go as images, also where the model takes video.
        frame_times: As images, each frame comes after a line that says its time; a video's times are its processor's.
        answer_by: "generate"; or the likelihood of each option's "letters" or "texts", from one prefill.
        max_new_tokens: None for 32, and 4096 where the prompt opens a thought.
        temperature: Replies are drawn at it; None for the most likely tokens.
        top_p: Of what is drawn from, the likeliest tokens that add up to it; likewise the `top_k` likeliest, 0 for all.
        samples: So many replies are drawn of each question, each from a prefill of its own.
        processor_kwargs: Handed to the processor.
        chat_template_kwargs: Handed to the chat template: enable_thinking …
    """

    max_frames: int | None = None
    fps: float | None = None
    frame_pixels: int | None = None
    video_pixels: int | None = None
    as_images: bool = False
    frame_times: bool = False
    answer_by: str = "generate"
    max_new_tokens: int | None = None
    processor_kwargs: Mapping[str, Any] = field(default_factory=dict)
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    temperature: float | None = None
    top_p: float = 1.0
    top_k: int = 0
    samples: int = 1

    def __post_init__(self) -> None:
        for name in ("max_frames", "frame_pixels", "video_pixels", "max_new_tokens"):
            if getattr(self, name) is not None:
                positive_int(name, getattr(self, name))
        if self.fps is not None and not (is_number(self.fps) and self.fps > 0):
            raise UserError(f"fps is a number above 0, got {self.fps!r}; fix --model_args")
        self._check_drawing()
        if self.answer_by not in ANSWERS:
            raise UserError(f"answer_by is one of {', '.join(ANSWERS)}, got {self.answer_by!r}; fix --model_args")
        for name in ("processor_kwargs", "chat_template_kwargs"):
            if not isinstance(getattr(self, name), Mapping):
                raise UserError(
                    f"{name} are named one by one: --model_args {name}.NAME=VALUE, got {getattr(self, name)!r}"
                )

    def _check_drawing(self) -> None:
        """Raise UserError for settings of drawn replies that are out of range, or that nothing is drawn with."""
        positive_int("samples", self.samples)
        drawn = self.temperature is not None
        if self.temperature is not None and not (is_number(self.temperature) and self.temperature > 0):
            raise UserError(
                f"temperature is a number above 0, got {self.temperature!r}; leave it out for likely tokens"
            )
        if not (is_number(self.top_p) and 0 < self.top_p <= 1) or not is_int(self.top_k, 0):
            raise UserError(f"top_p is above 0 and at most 1, top_k 0 or more, got {self.top_p!r} and {self.top_k!r}")
        if not drawn and (self.samples, self.top_p, self.top_k) != (1, 1.0, 0):
            raise UserError("samples, top_p and top_k are for replies that are drawn: name a temperature, too")
        if drawn and self.answer_by != "generate":
            raise UserError(f"answer_by={self.answer_by} draws nothing: leave temperature and samples out")

    def drawing(self) -> dict[str, float | str | None]:
        """Return what a record says of how replies were drawn; nothing where they were not."""
        if self.temperature is None:
            return {}
        return {"temperature": self.temperature, "top_p": self.top_p, "top_k": self.top_k}

    def most_frames(self, count: int, fps: float) -> int:
        """Return how many of a video's frames may be shown, before the model's positions are looked at."""
        by_rate = count if self.fps is None else max(1, round(count * self.fps / fps))
        return min(count, by_rate, count if self.max_frames is None else self.max_frames)

    def budget(self, frames: int) -> int | None:
        """Return how many pixels a frame may have where so many are shown; None for the checkpoint's own budget."""
        limits = [self.frame_pixels, self.video_pixels and max(1, self.video_pixels // max(1, frames))]
        return min((limit for limit in limits if limit is not None), default=None)
