"""Build the prompts of benchmark questions, in one of four named styles.

- `release`: ViLaMP's scripts, word for word; the options are a Python list literal inside the sentence.
- `letters`: the question, a lettered line for each option, and "Answer with the option's letter from the given
  choices directly." (VNBench's examples, lmms-eval).
- `vlmevalkit`: VLMEvalKit's prompt for Video-MME, as VideoChat-Flash's evaluation has it (commit 2f8e2f5: its own
  last line without subtitles, "The best answer is:" with them).
- `harness`: the prompt of this project's suites, `niah.prompt.format_prompt`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from niah.integrations.benchmarks.item import Item, lettered
from niah.types import LETTERS, Question, UserError

STYLES = ("release", "letters", "vlmevalkit", "harness")
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
    """Return the question of an item in a named style.

    Args:
        script: name of the release's script for this benchmark; None if there is none.
        style: one of STYLES; None means "release" if there is a script, else "letters".
        item: the question.
        subtitle: the subtitles of the video, added to the prompt unless empty.

    Raises UserError for a style that does not exist.
    """
    style = style or ("release" if script else "letters")
    if style not in STYLES or (style == "release" and script is None):
        known = STYLES if script else STYLES[1:]
        raise UserError(f"prompt is one of {', '.join(known)} for this benchmark, got {style!r}")
    preface = f"This video's subtitles are listed below:\n{subtitle}\n" if subtitle else ""
    if style == "harness":
        return Question(item.question, item.options, preface + "{question}")
    if style == "vlmevalkit":
        prompt = vlmevalkit_text(item.question, item.printed or lettered(item.options), subtitle)
    elif style == "release":
        assert script is not None  # refused above
        name = script.removesuffix("_subtitles") if not subtitle else script
        prompt = user_text(name, item.question, item.printed or lettered(item.options), subtitle)
    else:
        prompt = "\n".join([preface + item.question, *lettered(item.options), DIRECTLY])
    return Question(item.question, item.options, prompt=prompt)


def user_text(benchmark: str, question: str, options: Sequence[str] | None = None, subtitle: str = "") -> str:
    """Return the prompt of a benchmark's script in the release. Raises ValueError where there is no script."""
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


def vlmevalkit_text(question: str, options: Sequence[str], subtitle: str = "") -> str:
    """Return VLMEvalKit's prompt for a question with lettered options."""
    frames, video = ("frames and subtitles", "video and the subtitles") if subtitle else ("frames", "video")
    letters = list(LETTERS[: len(options)])
    lines = [
        f"These are the {frames} of a video. Select the best answer to the following multiple-choice question based "
        f"on the {video}. Respond with only the letter ({', '.join(letters[:-1])}, or {letters[-1]}) of the correct "
        "option.",
        f"Question: {question}",
        "Option:",
        *options,
        "The best answer is:" if subtitle else DIRECTLY,
    ]
    before = [f"This video's subtitles are listed below: \n{subtitle}"] if subtitle else []
    return "\n".join([*before, *lines])


def in_style(question: Question, style: str) -> Question:
    """Return a suite's question in the words of a style: `release`, `vlmevalkit`, or `harness`, which changes nothing.

    A question that brings a complete prompt keeps it.
    """
    if question.prompt is not None or style == "harness":
        return question
    text, options = question.template.replace("{question}", question.text), lettered(question.options)
    prompt = vlmevalkit_text(text, options) if style == "vlmevalkit" else user_text("mlvu", text, options)
    return dataclasses.replace(question, prompt=prompt)
