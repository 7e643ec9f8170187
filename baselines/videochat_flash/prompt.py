"""The release's prompt: its system line, one place for the video, the sentence about time, the question."""

from __future__ import annotations

from typing import Any

from baselines.videochat_flash.sampling import time_message

PLACEHOLDER = -200  # the id that stands for all visual tokens
PROMPT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<image>\nTIME_MESSAGE QUESTION<|im_end|>\n"
    "<|im_start|>assistant\n"
)
STOP = "<|im_end|>"


def write_prompt(question: str, frames: int, fps: float, shown: int) -> str:
    """Return the prompt for `shown` of a video's `frames` frames; without a video it names none."""
    if not frames:
        return PROMPT.replace("<image>\nTIME_MESSAGE QUESTION", question)
    return PROMPT.replace("TIME_MESSAGE QUESTION", f"{time_message(frames / fps, shown)} {question}")


def encode_prompt(tokenizer: Any, prompt: str, shown: int) -> list[int]:
    """Return the prompt's ids; of `shown` frames, with PLACEHOLDER for the prompt's own "<image>", no question's."""
    parts = prompt.split("<image>", maxsplit=1) if shown else [prompt]
    ids = [tokenizer.encode(part, add_special_tokens=False) for part in parts]
    return [*ids[0], PLACEHOLDER, *ids[1]] if shown else ids[0]


def stop_ids(tokenizer: Any, configured: tuple[int, ...]) -> tuple[int, ...]:
    """Return the ids that end a reply: the config's, and STOP where it is a single token."""
    ids = tokenizer.encode(STOP, add_special_tokens=False)
    return (*configured, *ids) if len(ids) == 1 else configured
