"""Run lm-eval's own command line with this project's models and tasks added; every flag is passed on.

lm-eval up to 0.4.13 looks for models in its own source only, so they are registered first. An adapter has its own name
there, unless lm-eval has a model of that name already (huggingface); videoniah-NAME always works.

An unknown model, task or key of --metadata, which lm-eval would ignore or end with a traceback, is refused here.
lm-eval passes the model's arguments and --metadata to every task in one mapping, so a task cannot distinguish a
mistyped key from one for another task. The command line can: it knows which tasks were named.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from niah.exit_codes import INCOMPLETE
from niah.integrations.lm_eval.model import model_for
from niah.integrations.lm_eval.naming import predictable
from niah.run.presets import task_settings
from niah.run.registry import GROUP
from niah.settings import unknown_name
from niah.terminal import to_stderr
from niah.types import UserError

TASKS = (Path(__file__).parent / "tasks", Path(__file__).parents[1] / "benchmarks" / "tasks")


def register(*targets: str) -> None:
    """Make every installed adapter, and those given as module:function, models of lm-eval."""
    import lm_eval.models  # first, so that lm-eval's own models keep their names
    from lm_eval.api.registry import model_registry

    del lm_eval
    for name in [point.name for point in entry_points(group=GROUP)]:
        for alias in (name, f"videoniah-{name}"):
            if alias not in model_registry:
                model_registry.register(alias, target=model_for(name))  # type: ignore[arg-type]
    for target in targets:
        if target not in model_registry:
            model_registry.register(target, target=model_for(target))  # type: ignore[arg-type]


def run(arguments: Sequence[str]) -> int:
    """Let lm-eval parse and run, with this project's tasks beside its own; return the exit code."""
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    setup_logging()
    preset, arguments = take_preset(arguments)
    sys.argv = ["niah lm_eval", *arguments]  # where lm-eval reads its command line
    command = HarnessCLI()
    namespace = command.parse_args()
    if hasattr(namespace, "include_path"):
        included = given(namespace, "include_path") or []
        namespace.include_path = [*map(str, TASKS), *([included] if isinstance(included, str) else included)]
    if vars(namespace).get("device"):
        namespace.model_args = {**(namespace.model_args or {}), "device": namespace.device}
    model = given(namespace, "model") or ""
    register(*([model] if ":" in model else []))
    if preset is not None:
        apply_preset(namespace, preset)
    if namespace.command == "run":
        refuse_unknown(namespace)
    save_errors = _SaveErrors()
    logging.getLogger("lm_eval").addHandler(save_errors)
    try:
        with predictable(model, given(namespace, "model_args")):
            command.execute(namespace)
    except ValueError as error:  # --log_samples without --output_path, --samples with --limit, ...
        raise as_user_error(error) from error
    finally:
        logging.getLogger("lm_eval").removeHandler(save_errors)
    if save_errors.messages:
        to_stderr(
            f"error: lm-eval says: {'; '.join(save_errors.messages)} ({given(namespace, 'output_path')}). The files "
            "there are not complete: free some space, or name another --output_path\n"
        )
        return INCOMPLETE
    return 0


def take_preset(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Return the value of --preset, which lm-eval does not know, and all other arguments."""
    parser = argparse.ArgumentParser(prog="niah lm_eval", add_help=False, allow_abbrev=False)
    parser.add_argument("--preset")
    found, others = parser.parse_known_args(list(arguments))
    return found.preset, others


def apply_preset(namespace: argparse.Namespace, preset: str) -> None:
    """Add a preset's settings and metadata to what was given by hand, which takes precedence. Raises UserError."""
    named = given(namespace, "tasks") or []
    tasks = [name for part in ([named] if isinstance(named, str) else named) for name in str(part).split(",")]
    model = (given(namespace, "model") or "").removeprefix("videoniah-")
    settings, metadata = task_settings(model, preset, tasks, given(namespace, "model_args") or {})
    namespace.model_args = settings
    namespace.metadata = {**metadata, **(given(namespace, "metadata") or {})}


class _SaveErrors(logging.Handler):
    """Collects messages about results that were not saved: lm-eval only logs them, and exits with code 0."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message about results that could not be saved."""
        if record.getMessage().startswith("Could not save"):
            self.messages.append(record.getMessage())


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
    foreign = [name for name in names if not own.match_tasks([name])]
    foreign = [name for name in foreign if not name.endswith(".yaml") and not Path(name).is_dir()]
    if foreign:
        _refuse_tasks(foreign, namespace.include_path, own.all_tasks)
    metadata = given(namespace, "metadata")
    found = [own.match_tasks([name]) for name in names]
    shots = given(namespace, "num_fewshot")
    if shots and all(found):  # lm-eval would drop them for our tasks, with a line in its log
        raise UserError(f"--num_fewshot {shots}: adapters get one question without examples; leave it out")
    if isinstance(metadata, Mapping) and all(found):  # a task that is not ours may read any key
        refuse_keys(metadata, own.task_index, {name for group in found for name in group})


def refuse_model(name: str | None) -> None:
    """Raise UserError for a model that lm-eval does not know, once ours are registered."""
    from lm_eval.api.registry import model_registry

    if name is not None and name not in model_registry:
        own = sorted(key for key in model_registry if f"videoniah-{key}" in model_registry)
        raise UserError(f"{unknown_name('model', name, own)} A model in development can be named as 'module:function'.")


def as_user_error(error: ValueError) -> UserError:
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
            raise UserError(f"{unknown_name('task', name, own)} lm-eval's own are listed by: ls tasks")


def refuse_keys(metadata: Mapping[str, Any], index: Mapping[str, Any], names: Iterable[str]) -> None:
    """Raise UserError for a key that none of the named tasks of ours reads."""
    tasks = {name for task in names for name in ({task} if index[task].cfg is not None else index[task].tags)}
    known = sorted({key for task in tasks for key in _read_by(index[task].cfg)})
    for key in metadata:
        if key not in known:
            raise UserError(f"--metadata: {unknown_name('key', key, known)}")


def _read_by(task: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys of --metadata that a task of ours reads, by the function that makes its documents."""
    from niah.integrations.benchmarks import vniah
    from niah.integrations.benchmarks.documents import BenchmarkSettings
    from niah.integrations.lm_eval import suites

    function = Path(str(task["custom_dataset"])).name  # lm-eval puts the folder of the YAML before it
    if function in [f"niah.integrations.lm_eval.suites.{name}" for name in ("load_documents", "load_option_documents")]:
        return (*suites.PARTS, *(() if task.get("dataset_kwargs") else ("suite",)))
    if function == "niah.integrations.benchmarks.vniah.load_documents":
        return (*vniah.SETTINGS, *(field.name for field in dataclasses.fields(vniah.Grid)))
    return tuple(field.name for field in dataclasses.fields(BenchmarkSettings))
