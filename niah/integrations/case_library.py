"""What a task's video references stand for.

lm-eval hands a model nothing of a task but text and JSON, and logs both. A reference therefore names a
library and a case in it and holds no path and no answer. Whoever loads a task keeps its library here, and
the model finds it: both live in one process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from niah.types import Case, Question, Sampling, Source, UserError


@dataclass(frozen=True)
class CaseMedia:
    """One case and the media it is shown from."""

    case: Case
    sources: Mapping[str, Source]
    sampling: Sampling


class CaseLibrary(Protocol):
    """The cases of one task, by name; all are sampled alike."""

    @property
    def name(self) -> str:
        """Which library it is: equal names mean equal cases."""
        ...

    def question(self, case: str) -> Question:
        """Return what is asked in the case of that name. Raises KeyError where there is none."""
        ...

    def media(self, case: str) -> CaseMedia:
        """Return the case of that name; may measure its video only now. Raises KeyError where there is none."""
        ...


_kept: dict[str, CaseLibrary] = {}


def register_library(library: CaseLibrary) -> None:
    """Make a library's references resolvable in this process."""
    _kept[library.name] = library


def video_reference(library: str, case: str) -> dict[str, str]:
    """Return what a task hands over in place of a video."""
    return {"library": library, "case": case}


def check_reference(visual: Any) -> None:
    """Raise UserError for anything but a reference."""
    if not isinstance(visual, Mapping) or set(visual) != {"library", "case"}:
        raise UserError(
            f"a VideoNIAH model is shown video references, as the tasks of niah.lm_eval hand them over, got {visual!r}"
        )


def referenced_question(visual: Any) -> Question:
    """Return what is asked about a referenced video; measures none."""
    return _library(visual).question(visual["case"])


def resolve_reference(visual: Any) -> CaseMedia:
    """Return what a reference stands for. Raises UserError for anything that stands for nothing."""
    return _library(visual).media(visual["case"])


def _library(visual: Any) -> CaseLibrary:
    """Return the library that a reference names."""
    check_reference(visual)
    if visual["library"] not in _kept:
        raise UserError(
            f"no task of this process has loaded {visual['library']!r}; let lm-eval build its requests anew, "
            "without --cache_requests"
        )
    return _kept[visual["library"]]
