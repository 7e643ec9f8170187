"""Resolve the video references of lm-eval tasks to cases and their media.

lm-eval passes a model only text and JSON of a task, and logs both. A reference therefore names a library and a case
in it, and contains no path and no answer. Loading a task registers its library here, where the model finds it: both
run in the same process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from niah.types import Case, Question, Sampling, Source, UserError


@dataclass(frozen=True)
class CaseMedia:
    """One case and the media it is made of."""

    case: Case
    sources: Mapping[str, Source]
    sampling: Sampling


class CaseLibrary(Protocol):
    """The cases of one task, by name; all share one sampling."""

    @property
    def name(self) -> str:
        """The name of the library: equal names mean equal cases."""
        ...

    def question(self, case: str) -> Question:
        """Return the question of a case. Raises KeyError where there is none."""
        ...

    def media(self, case: str) -> CaseMedia:
        """Return a case and its media; may scan its video only now. Raises KeyError where there is none."""
        ...


_kept: dict[str, CaseLibrary] = {}


def register_library(library: CaseLibrary) -> None:
    """Register a library, so that references to its cases can be resolved in this process."""
    _kept[library.name] = library


def video_reference(library: str, case: str) -> dict[str, str]:
    """Return the reference that a task passes in place of a video."""
    return {"library": library, "case": case}


def check_reference(visual: Any) -> None:
    """Raise UserError for anything but a reference."""
    if not isinstance(visual, Mapping) or set(visual) != {"library", "case"}:
        raise UserError(
            f"a VideoNIAH model is shown video references, as the tasks of niah lm_eval hand them over, got {visual!r}"
        )


def referenced_question(visual: Any) -> Question:
    """Return the question of a referenced case, without scanning its video."""
    return _library(visual).question(visual["case"])


def resolve_reference(visual: Any) -> CaseMedia:
    """Return the case that a reference names, and its media. Raises UserError where there is none."""
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
