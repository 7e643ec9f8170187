"""Make a case of a question about a video file, which is scanned only when the case is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.integrations.benchmarks.frames import Frames
from niah.integrations.case_library import CaseMedia
from niah.media.scan import scan
from niah.types import Case, Question, Sampling, Source


@dataclass(frozen=True)
class PromptedCase(Case):
    """A case with its own complete prompt."""

    prompt: str | None = None

    def to_question(self) -> Question:
        """Return what the model is asked."""
        return Question(self.question, self.options, self.template, self.prompt)


@dataclass(frozen=True)
class FrameSettings:
    """Which frames of a benchmark's videos are shown, and their size."""

    frames: Frames = Frames()
    size: int | None = None  # pixels of the square frames are stretched to; None: as large as the video is displayed

    @property
    def sampling(self) -> Sampling:
        """The same settings as a suite writes them."""
        if self.size is None:
            return Sampling(self.frames.rate, fit="native")
        return Sampling(self.frames.rate, self.size, self.size)


def video_case(benchmark: str, case: str, video: Path, question: Question, screen: FrameSettings) -> CaseMedia:
    """Return a question about a video file as a case; decodes the file unless it was scanned before.

    Raises MediaError where the file is not a whole video.
    """
    index = scan(video)
    name = f"{video.stem}-{index.sha256[:12]}"
    source = Source(
        name, f"sha256:{index.sha256}", index.path, index.sha256, index.count(screen.frames.rate), index.seconds
    )
    timeline = screen.frames.timeline(index, name)
    length = sum(len(span) for span in timeline)
    case_of_video = _case(
        benchmark, case, question,
        condition="full",
        needle_source=source.identity,
        haystack=name,
        length=length,
        timeline=timeline,
        fps=1.0 if screen.frames.rate == "1" else length / index.seconds,
    )  # fmt: skip
    return CaseMedia(case_of_video, {name: source}, screen.sampling)


def textual_case(benchmark: str, case: str, question: Question, screen: FrameSettings) -> CaseMedia:
    """Return a question without a video as a case."""
    nothing: dict[str, Any] = {"needle_source": "", "haystack": "", "length": 0, "timeline": (), "fps": 1.0}
    return CaseMedia(_case(benchmark, case, question, condition="blind", **nothing), {}, screen.sampling)


def _case(benchmark: str, case: str, question: Question, **about: Any) -> PromptedCase:
    """Return the case of a question; `about` are the fields of its video."""
    return PromptedCase(
        id=case,
        suite=benchmark,
        version=1,
        needle="",
        needles=(),
        question=question.text,
        options=question.options,
        answer="",  # not needed to show a case
        type="",
        template=question.template,
        prompt=question.prompt,
        **about,
    )
