"""Prompts by name.

- `release`: ViLaMP's scripts, word for word; options stand as a Python list literal inside the sentence.
- `letters`: the question, a lettered line for each option, and "Answer with the option's letter from the given
  choices directly." (VNBench's examples, lmms-eval).
- `harness`: the prompt of this project's suites, `niah.prompt.format_prompt`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from niah.integrations.benchmarks.item import Item, lettered
from niah.types import Question, UserError

STYLES = ("release", "letters", "harness")
DIRECTLY = "Answer with the option's letter from the given choices directly."
NEW_TOKENS = {
    "video_mme": 1,
    "video_mme_subtitles": 1,
    "longvideobench": 128,
    "mlvu": 256,
    "egoschema": 256,
    "activitynet_qa": 256,
}


def make_question(script: str | None, style: str | None, item: Item, subtitle: str = "") -> Question:
    """Return the question of an item in a named style; None is the release's where it has a script, else letters.

    A video without subtitles is asked about without them. Raises UserError for a style there is none of.
    """
    style = style or ("release" if script else "letters")
    if style not in STYLES or (style == "release" and script is None):
        known = STYLES if script else STYLES[1:]
        raise UserError(f"prompt is one of {', '.join(known)} for this benchmark, got {style!r}")
    said = f"This video's subtitles are listed below:\n{subtitle}\n" if subtitle else ""
    if style == "harness":
        return Question(item.question, item.options, said + "{question}")
    if style == "release":
        assert script is not None  # refused above
        name = script.removesuffix("_subtitles") if not subtitle else script
        prompt = user_text(name, item.question, item.printed or lettered(item.options), subtitle)
    else:
        prompt = "\n".join([said + item.question, *lettered(item.options), DIRECTLY])
    return Question(item.question, item.options, prompt=prompt)


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
