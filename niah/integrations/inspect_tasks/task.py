"""Offer every suite as a task of inspect_ai: its cases as samples with video, scored as we score.

inspect eval niah/integrations/inspect_tasks/task.py -T suite=smoke --model google/gemini-2.5-pro
inspect eval niah/integrations/inspect_tasks/task.py -T suite=smoke -T frames=32 --model openai/gpt-4o

By its file, as inspect_ai finds tasks of packages only where package and distribution have one name.
A video is rendered, or its frames encoded, when its sample is asked and not when the dataset is made: `--limit` then
saves work, and the frames of a thousand cases never lie in memory together.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio.to_thread
from inspect_ai import Task, task  # type: ignore[import-not-found]
from inspect_ai.dataset import MemoryDataset, Sample  # type: ignore[import-not-found]
from inspect_ai.model import (  # type: ignore[import-not-found]
    ChatMessageUser,
    ContentImage,
    ContentText,
    ContentVideo,
)
from inspect_ai.scorer import (  # type: ignore[import-not-found]
    CORRECT,
    INCORRECT,
    Score,
    Target,
    accuracy,
    grouped,
    scorer,
    stderr,
)
from inspect_ai.solver import Generate, TaskState, generate, solver  # type: ignore[import-not-found]
from PIL import Image

from niah.adapters.sampling import bin_centres
from niah.adapters.shown import time_line
from niah.integrations.lm_eval.suites import answer_of
from niah.io import cache_folder
from niah.prompt import format_prompt
from niah.run.config import resolve
from niah.run.plan import make_plan
from niah.scoring import extract_answer
from niah.suite.folder import GeneratedSuite
from niah.suite.render import video_of
from niah.types import Case, UserError

TOKEN_LIMIT = "max_tokens"  # inspect_ai's word for a reply that was cut there


@task
def videoniah(
    suite: str = "smoke",
    frames: int | None = None,
    frame_times: bool = True,
    lengths: Sequence[int] | int | None = None,
    depths: Sequence[float] | float | None = None,
    conditions: Sequence[str] | str | None = None,
) -> Task:
    """Return a suite as a task; accuracy by condition, as a mean over all conditions means nothing.

    Args:
        suite: A name, a .yaml file, or a folder of `niah generate`.
        frames: How many frames are shown as images, for models that take no video; None for the rendered video.
        frame_times: Whether each of these comes after a line with its time.
        lengths: Only these, as for `niah run`; likewise `depths` and `conditions`.
    """
    parts = {"lengths": lengths, "depths": depths, "conditions": conditions}
    given = {name: value if isinstance(value, list | tuple) else [value] for name, value in parts.items() if value}
    generated = make_plan(resolve({"suite": suite, **given}, None)).generated
    if any(not case.options for case in generated.cases):
        raise UserError(f"suite {generated.suite.name} asks for intervals of time, which this task does not score")
    return Task(
        dataset=MemoryDataset([sample_of(case) for case in generated.cases], name=generated.suite.name),
        solver=[show(generated, frames, frame_times), generate()],
        scorer=letter(),
    )


def sample_of(case: Case) -> Sample:
    """Return a case as a sample whose video is still to be put before the question."""
    kept = ("condition", "length", "depth", "type", "kind", "needle_source")
    return Sample(
        id=case.id,
        input=[ChatMessageUser(content=format_prompt(case.to_question()))],
        target=answer_of(case),
        metadata={"options": list(case.options), **{name: getattr(case, name) for name in kept}},
    )


@solver
def show(generated: GeneratedSuite, frames: int | None, frame_times: bool) -> Any:
    """Put the video of the sample's case, or some frames of it, before its question."""
    cases = {case.id: case for case in generated.cases}

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        case = cases[str(state.sample_id)]
        if case.timeline:
            content = await anyio.to_thread.run_sync(_content, case, generated, frames, frame_times)
            state.messages[-1].content = [*content, ContentText(text=state.messages[-1].text)]
        return state

    return solve


@scorer(
    metrics=[
        grouped(accuracy(), "condition", all=False),
        grouped(stderr(cluster="needle_source"), "condition", all=False, name_template="{group_name}_stderr"),
    ]
)
def letter() -> Any:
    """Score the option that a reply names, read as everywhere in VideoNIAH."""

    async def score(state: TaskState, target: Target) -> Score:
        reply, options = state.output.completion, state.metadata["options"]
        found = extract_answer(reply, options, cut_short=state.output.stop_reason == TOKEN_LIMIT)
        right = found == target.text
        return Score(value=CORRECT if right else INCORRECT, answer=found, explanation=reply)

    return score


def _content(case: Case, generated: GeneratedSuite, frames: int | None, frame_times: bool) -> list[Any]:
    """Return a case's video, rendered, or frames of it, each after its time."""
    video = video_of(case, generated, cache_folder() / "rendered")
    if frames is None:
        return [ContentVideo(video=_inline("video/mp4", Path(video.path()).read_bytes()), format="mp4")]
    used = bin_centres(len(video), frames)
    video.announce(used)
    content: list[Any] = []
    for number in used:
        if frame_times:
            content.append(ContentText(text=time_line(number / video.fps)))
        file = io.BytesIO()
        Image.fromarray(video.frames([number])[0]).save(file, "png")
        content.append(ContentImage(image=_inline("image/png", file.getvalue())))
    video.close()
    return content


def _inline(kind: str, data: bytes) -> str:
    """Return data as a URL: inspect_ai reads no file that a solver names."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
