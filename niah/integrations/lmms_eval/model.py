"""Offer every adapter as one model of lmms-eval: `--model videoniah --model_args adapter=vilamp`.

lmms-eval finds it by the entry point `lmms_eval.models`. Its tasks pass the path of a video, or none, and a complete
prompt; options are read from the prompt's lettered lines, so that adapters that score options can answer.

A task that letters its options reads a letter, and finds one in any text: to lmms-eval, "Between two chairs" says B.
So a reply in which our own scoring reads an option is handed over as that option's letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmms_eval.api.model import lmms  # type: ignore[import-not-found]
from lmms_eval.models.registry_v2 import ModelManifest  # type: ignore[import-not-found]

from niah.integrations.benchmarks.frames import Frames
from niah.integrations.benchmarks.item import split_question
from niah.integrations.benchmarks.video_case import FrameSettings, textual_case, video_case
from niah.integrations.case_library import CaseMedia, register_library, video_reference
from niah.integrations.lm_eval.model import VideoLM, cut_reply, refuse_sampling
from niah.scoring import CUT_SHORT, extract_answer
from niah.types import Question, Record, UserError


def manifest() -> Any:
    """Return what lmms-eval registers."""
    return ModelManifest(model_id="videoniah", simple_class_path=f"{__name__}.VideoLmms")


class RequestLibrary:
    """The cases of one call, as they come out of lmms-eval's requests."""

    name = "lmms-eval"

    def __init__(self) -> None:
        self.cases: dict[str, CaseMedia] = {}

    def question(self, case: str) -> Question:
        """Return the question of a case."""
        return self.cases[case].case.to_question()

    def media(self, case: str) -> CaseMedia:
        """Return a case and its media."""
        return self.cases[case]


class VideoLmms(lmms):
    """One adapter under lmms-eval; `frame_...` say how a video is shown, the other settings are VideoLM's."""

    is_simple = True

    def __init__(
        self,
        frame_sampling: str = "paper",
        frame_limit: int | None = None,
        frame_size: int | None = None,
        device: str | None = None,
        **settings: Any,
    ) -> None:
        """Check the settings. Raises UserError."""
        super().__init__()
        self.screen = FrameSettings(Frames(frame_sampling, frame_limit), frame_size)
        self.model = VideoLM.create_from_arg_obj(settings, {"device": device})

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Return the adapter's reply to each prompt about its video."""
        asked = RequestLibrary()
        references, questions = [], []
        for number, request in enumerate(requests):
            prompt, generation, to_visual, *where = request.args
            refuse_sampling(generation)
            questions.append(Question(*split_question(prompt), prompt=prompt))
            references.append(self._note(asked, f"{number}", questions[-1], to_visual, where))
        records = self.model.ask(references)
        return [
            _letter(record, question) or cut_reply(record.reply or "", request.args[1])
            for record, question, request in zip(records, questions, requests, strict=True)
        ]

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Return the likelihood of each continuation; those of one document are its options."""
        asked = RequestLibrary()
        options: dict[Any, list[str]] = {}
        for request in requests:
            prompt, target, _, *where = request.args
            options.setdefault((prompt, *where), []).append(_text(target, self._document(where)))
        references = []
        for request in requests:
            prompt, target, to_visual, *where = request.args
            texts = dict.fromkeys(text.strip() for text in options[prompt, *where])
            if len(texts) < 2:
                raise UserError(f"only options of one question can be compared, got {list(texts)} alone for {prompt!r}")
            question = Question(prompt, tuple(texts), prompt=prompt)
            ref = self._note(asked, f"{where}/{prompt}", question, to_visual, where)
            references.append((ref, _text(target, self._document(where))))
        return self.model.likelihoods(references)

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Refuse: an adapter answers one question."""
        raise UserError("an adapter answers one question at a time; tasks of several rounds cannot be asked")

    def _document(self, where: Sequence[Any]) -> Any:
        document, task, split = where
        return self.task_dict[task][split][document]

    def _note(self, asked: RequestLibrary, case: str, question: Question, to_visual: Any, where: Sequence[Any]) -> dict:
        """Keep one case and return its reference. Raises UserError for anything but one video file, or none."""
        visuals = to_visual(self._document(where)) or []
        if len(visuals) > 1 or not all(isinstance(visual, str) for visual in visuals):
            raise UserError(f"a task must hand over the path of one video, or none, got {visuals!r:.200}")
        if visuals:
            asked.cases[case] = video_case(asked.name, case, Path(visuals[0]), question, self.screen)
        else:
            asked.cases[case] = textual_case(asked.name, case, question, self.screen)
        register_library(asked)
        return video_reference(asked.name, case)


def _text(target: Any, document: Any) -> str:
    """Return a continuation, which lmms-eval gives as text or as a function of the document."""
    return str(target(document) if callable(target) else target)


def _letter(record: Record, question: Question) -> str | None:
    """Return the letter of the option that a reply names; None if it names none, or the question letters none."""
    if record.reply is None or not question.options:
        return None
    cut_short = record.finish_reason == CUT_SHORT and record.mode == "generated"
    return extract_answer(record.reply, question.options, bool(record.prompt_opens_thought), cut_short)
