"""Refuse what lm-eval would end in a traceback, or drop without a word: a model, a task, a key of --metadata.

lm-eval hands every task the model's arguments and --metadata in one mapping, so a task cannot tell a key that was
mistyped from one that is not meant for it. The command line can: it knows what --metadata gave and which tasks read it.
"""

from __future__ import annotations

import argparse
import dataclasses
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from niah.settings import unknown
from niah.types import UserError

TASKS = (Path(__file__).parent / "tasks", Path(__file__).parents[1] / "benchmarks" / "tasks")


def given(namespace: argparse.Namespace, name: str) -> Any:
    """Return a flag of lm-eval's from the command line, or else from its YAML; None where neither names it."""
    flags = vars(namespace)
    if flags.get(name) or not flags.get("config"):
        return flags.get(name)
    from lm_eval.config.evaluate_config import EvaluatorConfig

    try:
        return EvaluatorConfig.load_yaml_config(namespace.config).get(name)
    except (OSError, ValueError, TypeError) as error:  # not there, not YAML, no mapping
        raise UserError(f"--config {namespace.config}: {error}; name a YAML file of lm-eval's flags") from error


def refuse_unknown(namespace: argparse.Namespace) -> None:
    """Raise UserError for a model or task that does not exist, and for what no named task reads: keys, examples."""
    from lm_eval.tasks import TaskManager

    refuse_model(given(namespace, "model"))
    named = given(namespace, "tasks")
    if not named:
        raise UserError("no task was named; for instance: --tasks videoniah_smoke")
    names = [name for part in ([named] if isinstance(named, str) else named) for name in str(part).split(",")]
    own = TaskManager(include_path=list(map(str, TASKS)), include_defaults=False)
    strange = [name for name in names if not own.match_tasks([name])]
    strange = [name for name in strange if not name.endswith(".yaml") and not Path(name).is_dir()]
    if strange:
        _refuse_tasks(strange, namespace.include_path, own.all_tasks)
    metadata = given(namespace, "metadata")
    found = [own.match_tasks([name]) for name in names]
    shots = given(namespace, "num_fewshot")
    if shots and all(found):  # lm-eval would leave them out of our tasks with a line in its log
        raise UserError(f"--num_fewshot {shots}: adapters are asked one question without examples; leave it out")
    if isinstance(metadata, Mapping) and all(found):  # a task of somebody else may read any key
        refuse_keys(metadata, own.task_index, {name for group in found for name in group})


def refuse_model(name: str | None) -> None:
    """Raise UserError for a model that lm-eval does not know, once ours are registered."""
    from lm_eval.api.registry import model_registry

    if name is not None and name not in model_registry:
        own = sorted(key for key in model_registry if f"videoniah-{key}" in model_registry)
        raise UserError(f"{unknown('model', name, own)} A model in development can be named as 'module:function'.")


def in_words(error: ValueError) -> UserError:
    """Return what lm-eval refuses in the command line as our own error. Raises any other again: it is a bug."""
    if "evaluate_config" not in traceback.extract_tb(error.__traceback__)[-1].filename:
        raise error
    return UserError(f"lm-eval says: {error} (niah lm_eval run --help)")


def _refuse_tasks(names: Sequence[str], include_path: Sequence[str], own: Sequence[str]) -> None:
    """Raise UserError for the first name that is no task of lm-eval's either."""
    from lm_eval.tasks import TaskManager

    every = TaskManager(include_path=list(map(str, include_path)))  # takes seconds, so only where it is needed
    for name in names:
        if not every.match_tasks([name]):
            raise UserError(f"{unknown('task', name, own)} lm-eval's own are listed by: ls tasks")


def refuse_keys(metadata: Mapping[str, Any], index: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise UserError for a key that none of the named tasks of ours reads."""
    tasks = {name for task in names for name in ({task} if index[task].cfg is not None else index[task].tags)}
    known = sorted({key for task in tasks for key in _read_by(index[task].cfg)})
    for key in metadata:
        if key not in known:
            raise UserError(f"--metadata: {unknown('key', key, known)}")


def _read_by(task: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of --metadata that a task of ours reads, by the function that makes its documents."""
    from niah.integrations.benchmarks import vniah
    from niah.integrations.benchmarks.table import Settings
    from niah.integrations.lm_eval import suites

    function = Path(str(task["custom_dataset"])).name  # lm-eval puts the folder of the YAML before it
    if function == "niah.integrations.lm_eval.suites.documents":
        return (*suites.PARTS, *(() if task.get("dataset_kwargs") else ("suite",)))
    if function == "niah.integrations.benchmarks.vniah.documents":
        return (*vniah.SETTINGS, *(field.name for field in dataclasses.fields(vniah.Grid)))
    return tuple(field.name for field in dataclasses.fields(Settings))
