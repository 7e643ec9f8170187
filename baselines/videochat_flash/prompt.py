"""The release's prompt: its system line, one place for the video, the sentence about time, the question."""

from __future__ import annotations

import re
from typing import Any

from baselines.videochat_flash.sampling import time_message

PLACEHOLDER = -200  # the id that stands for all visual tokens
PROMPT = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n<image>\nTIME_MESSAGE QUESTION<|im_end|>\n"
    "<|im_start|>assistant\n"
)
STOP = "<|im_end|>"


def write_prompt(question: str, seconds: float, frames: int) -> str:
    """Return the prompt for `frames` frames shown of a video of `seconds`; without a video it names none."""
    if not frames:
        return PROMPT.replace("<image>\nTIME_MESSAGE QUESTION", question)
    told = f"{time_message(seconds, frames)} {question}"
    return PROMPT.replace("TIME_MESSAGE QUESTION", told)


def encode_prompt(tokenizer: Any, prompt: str) -> list[int]:
    """Return the prompt's ids, with PLACEHOLDER where the release's own "<image>" line stands and nowhere else."""
    parts = re.split(r"(?<=user\n)<image>(?=\n)", prompt, maxsplit=1)
    ids = [tokenizer.encode(part, add_special_tokens=False) for part in parts]
    return [*ids[0], PLACEHOLDER, *ids[1]] if len(parts) == 2 else ids[0]


def stop_ids(tokenizer: Any, configured: tuple[int, ...]) -> tuple[int, ...]:
    """Return the ids that end a reply: the config's, and STOP where it is a single token."""
    ids = tokenizer.encode(STOP, add_special_tokens=False)
    return (*configured, *ids) if len(ids) == 1 else configured
