"""The release's prompts word for word, and what its scripts make of subtitles.

Options stand as a Python list literal inside the sentence. CLIP sees the bare question only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SYSTEM = "You are a helpful assistant."
PLACE = "<image>"  # where the video goes

NEW_TOKENS = {
    "video_mme": 1,
    "video_mme_subtitles": 1,
    "longvideobench": 128,
    "mlvu": 256,
    "egoschema": 256,
    "activitynet_qa": 256,
}


def chat(user_text: str, video: bool = True) -> str:
    """Return the whole ChatML prompt around the user's text, with the video's place unless there is none."""
    place = f"{PLACE}\n" if video else ""
    return (
        f"<|im_start|>system\n{SYSTEM}<|im_end|>\n"
        f"<|im_start|>user\n{place}{user_text}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def user_text(benchmark: str, question: str, options: Sequence[str] | None = None, subtitle: str = "") -> str:
    """Return what a benchmark's script asks. Raises ValueError for a benchmark the release has no script for."""
    if benchmark not in NEW_TOKENS:
        raise ValueError(f"the release has no script for {benchmark!r}; it has: {', '.join(NEW_TOKENS)}")
    if benchmark == "activitynet_qa":
        return question + "?"
    if options is None:
        return question
    if benchmark == "video_mme_subtitles":
        return (
            f"This video's subtitles are listed below:\n{subtitle}.\n"
            f"Based on this video, please answer the following question:\n{question}.\n"
            f"Please think carefully and choose the best answer from the following options:\n{list(options)}\n"
            "The answer is: "
        )
    return f"{question}. Please choose the right answer from the following options: {list(options)}."


def subtitle_text(srt: str) -> str:
    """Return everything between a `>` and the next `<` on a line of an .srt file, a line each; the rest is dropped."""
    return "\n".join(found for line in srt.splitlines() for found in re.findall(r">([^<>]+)<", line))
