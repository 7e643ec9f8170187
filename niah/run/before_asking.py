"""Warn, before the first case is asked, of what a model cannot read: footage of another kind or too small, and words.

A worker that has loaded knows the side of the squares its model reads (`frame_side`), whether it was trained on
built-in footage alone (`built_in_footage_only`), and on which words alone (`known_words`); an adapter may have each.
"""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from tqdm import tqdm

from niah.media.resize import case_sampling
from niah.media.scan import scan
from niah.run.plan import Plan
from niah.run.process import Worker
from niah.terminal import printable_lines

MANY_WORDS = 8  # in a warning


def warn_before_asking(start: Callable[[], Worker], plan: Plan, model: str) -> Callable[[], Worker]:
    """Return what starts a worker like `start`; the first warns on stderr of what its model cannot read in the plan."""
    first = threading.Lock()  # taken by the first worker, and kept

    def start_and_warn() -> Worker:
        worker = start()
        if first.acquire(blocking=False):
            side = worker.metadata.get("frame_side")
            warnings = [
                foreign_footage(plan, model) if worker.metadata.get("built_in_footage_only") else None,
                None if side is None else small_frames(plan, model, int(side)),
                unknown_words(plan, model, worker.metadata.get("known_words", ())),
            ]
            for warning in filter(None, warnings):
                tqdm.write(printable_lines(warning), file=sys.stderr)  # on a line of its own, above the bar
        return worker

    return start_and_warn


def foreign_footage(plan: Plan, model: str) -> str | None:
    """Return the warning for a model that was trained on built-in footage; None where the suite's is built in."""
    suite = plan.generated.suite
    if suite.footage is not None:
        return None
    return (
        f"warning: {model} was trained on built-in, drawn footage alone, and suite {suite.name} has videos of its own: "
        "what it answers there says nothing. Ask a model that was trained on real video"
    )


def unknown_words(plan: Plan, model: str, known: Collection[str]) -> str | None:
    """Return the warning for a model of few words that is asked in others; None where it knows all of them or any.

    Of videos of a suite's own, `foreign_footage` has said enough.
    """
    if not known or plan.generated.suite.footage is None:
        return None
    unknown: dict[str, set[str]] = {}
    for case in plan.ordered:
        text = " ".join((case.template.replace("{question}", case.question), *case.options))
        unknown.setdefault(case.kind, set()).update(set(re.findall("[a-z]+", text.lower())) - set(known))
    kinds = [kind for kind, words in unknown.items() if words]
    if not kinds:
        return None
    words = sorted(set().union(*unknown.values()))
    listed = ", ".join(words[:MANY_WORDS]) + (", ..." if len(words) > MANY_WORDS else "")
    return (
        f"warning: {model} was trained on questions of {len(known)} words. Those of kind {', '.join(kinds)} have "
        f"{len(words)} others ({listed}), which it was not taught: it may guess there; needle_only shows if it does"
    )


def small_frames(plan: Plan, model: str, side: int) -> str | None:
    """Return the warning for a model that reads squares of `side` pixels; None where every case's frames are as large.

    In a suite of native pixels each case has its haystack's size, which is that of the file's scan.
    """
    sampling, sources = plan.generated.suite.sampling, plan.generated.sources
    reads = f"warning: {model} reads pictures of {side}x{side} pixels"
    remedy = "what it could see in its own size is not tested"
    if not sampling.of_case:
        if min(sampling.height, sampling.width) >= side:
            return None
        return (
            f"{reads}, and suite {plan.generated.suite.name} shows {sampling.height}x{sampling.width}, enlarged: "
            f"{remedy}. Ask a suite with sampling: {{fit: native}}, or of that size"
        )
    names = dict.fromkeys(case.canvas for case in plan.ordered if case.canvas is not None)
    small = []
    for name in names:
        source = sources[name]
        shown = case_sampling(sampling, scan(Path(source.path)).cropped(source.crop))
        if min(shown.height, shown.width) < side:
            small.append(f"{name} {shown.height}x{shown.width}")
    if not small:
        return None
    return f"{reads}, and of {len(names)} videos these are smaller and enlarged for it: {', '.join(small)}; {remedy}"
