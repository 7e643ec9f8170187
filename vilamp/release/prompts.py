"""The release's chat format word for word; what its scripts ask is in `niah.integrations.benchmarks.prompts`."""

from __future__ import annotations

SYSTEM = "You are a helpful assistant."
PLACE = "<image>"  # where the video goes


def chat(user_text: str, video: bool = True) -> str:
    """Return the whole ChatML prompt around the user's text, with the video's place unless there is none."""
    place = f"{PLACE}\n" if video else ""
    return (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{place}{user_text}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
