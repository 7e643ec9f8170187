"""Where lm-eval writes: a folder that one can predict, and no errors of git on the way.

lm-eval names the folder below --output_path by the setting `pretrained`, and by random letters for a model without it.
It also asks git for the commit of the current folder, and lets git print that there is none.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


def folder_name(model: str, arguments: Any) -> str:
    """Return the folder of a model's results: its name, and its settings if there are any."""
    settings = arguments.items() if isinstance(arguments, Mapping) else ()
    words = [model or "model", *(f"{key}={value}" for key, value in sorted(settings))]
    words += [arguments] if isinstance(arguments, str) and arguments else []
    return re.sub(r"[^A-Za-z0-9_.=-]+", "-", "-".join(words))


@contextmanager
def predictable(model: str, arguments: Any) -> Iterator[None]:
    """Within the block lm-eval names the folder of results by the model, and asks git silently."""
    from lm_eval import evaluator
    from lm_eval.loggers import evaluation_tracker

    places = (
        (evaluation_tracker, "random_name_id", lambda: folder_name(model, arguments)),
        (evaluator, "get_git_commit_hash", git_commit),
    )
    originals = [(module, name, getattr(module, name)) for module, name, _ in places if hasattr(module, name)]
    try:
        for module, name, replacement in places:
            if hasattr(module, name):
                setattr(module, name, replacement)
        yield
    finally:
        for module, name, original in originals:
            setattr(module, name, original)


def git_commit() -> str | None:
    """Return the commit of the current folder, None outside a checkout or without git."""
    try:
        done = subprocess.run(["git", "describe", "--always"], capture_output=True, text=True, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
