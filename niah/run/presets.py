"""Settings of an adapter that are chosen together: `--preset official` is what the scripts of a model's release set.

An adapter's module may assign PRESETS, which is read and not imported, as its name is all that the command line knows:

    PRESETS = {"official": {
        "settings": {...},  # of load(), for whatever is asked
        "suites": {...},  # of load(), for cases of suites
        "tasks": {"videoniah_mlvu": {...}},  # of load(), for each benchmark in lm-eval that a script asks
        "metadata": {...},  # of all these benchmarks
    }}

A setting that is given by hand takes precedence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from niah.run.adapter_files import literal_constant
from niah.run.registry import adapters, find_adapter
from niah.settings import unknown_name
from niah.types import UserError

CONSTANT = "PRESETS"


def suite_settings(model: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of load() for a suite: the preset's, under those given by hand.

    Raises UserError for a preset that the model does not have, and where no weights are named.
    """
    preset = _find(model, name)
    _refuse_micro(model, name, given)
    return {**preset.get("settings", {}), **preset.get("suites", {}), **given}


def task_settings(
    model: str, name: str, tasks: Iterable[str], given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of load(), and the metadata, for benchmarks that are asked in one command.

    Raises UserError like `suite_settings`, for a task that the preset does not know, and for tasks that need commands
    of their own because their settings differ.
    """
    preset = _find(model, name)
    _refuse_micro(model, name, given)
    known = preset.get("tasks", {})
    chosen: dict[str, dict[str, Any]] = {}
    for task in tasks:
        if task not in known:
            raise UserError(
                f"preset {name} of model {model!r} says nothing of the task {task}: no script of the release asks it "
                f"as it is asked here. Its tasks: {', '.join(sorted(known)) or 'none'}. Leave --preset out and name "
                "the settings"
            )
        chosen[task] = known[task]
    first, settings = next(iter(chosen.items()), ("", {}))
    for task, other in chosen.items():
        if other != settings:
            raise UserError(
                f"preset {name} sets {settings} for {first} and {other} for {task}: ask them in two commands"
            )
    return {**preset.get("settings", {}), **settings, **given}, dict(preset.get("metadata", {}))


def _find(model: str, name: str) -> Mapping[str, Any]:
    """Return a preset of a model. Raises UserError."""
    presets = _presets(find_adapter(model))
    if name in presets:
        return presets[name]
    if presets:
        raise UserError(unknown_name(f"preset of model {model!r}", name, sorted(presets)))
    having = ", ".join(other for other, target in sorted(adapters().items()) if _presets(target)) or "none"
    raise UserError(f"model {model!r} has no presets; models that have one: {having}. Leave --preset out")


def _presets(target: str) -> Mapping[str, Any]:
    found = literal_constant(target, CONSTANT)
    return found if isinstance(found, dict) else {}


def _refuse_micro(model: str, name: str, given: Mapping[str, Any]) -> None:
    """Raise UserError where the weights are those that ship: a preset says how released ones were asked."""
    if "pretrained" not in given:
        raise UserError(
            f"preset {name} of model {model!r} is how its release asks released weights: name them by "
            "--model_args pretrained=FOLDER_OR_HUB_NAME, or leave --preset out"
        )
