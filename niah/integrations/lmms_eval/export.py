"""Write a suite as tasks of lmms-eval, so that each of its model wrappers can be asked the suite's cases.

A folder holds rendered videos, the documents, a YAML file for each task, and the suite itself, by which `niah import`
makes records of the samples. Cases without a video are a task of their own: some wrappers cannot be asked without one.
Where an interval is asked for, the modules that read one are copied beside the tasks, as a package of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from niah import clock
from niah.integrations.lm_eval.suites import answer_of, metric_name
from niah.integrations.lmms_eval import exported_task
from niah.io import replace_file, to_json_lines
from niah.prompt import format_prompt
from niah.scoring import interval, structured, visible
from niah.suite.folder import GeneratedSuite, case_lines, write_suite
from niah.suite.render import render
from niah.types import LETTERS, Case, UserError

SUITE = "suite"  # the folder with the suite as `niah generate` writes it
MODULE = "videoniah_task"  # the copy of `exported_task`
READER = (clock, structured, visible, interval)  # what reads an interval; they import one another and nothing else
NEW_TOKENS = 32


@dataclass(frozen=True)
class Export:
    """What was written."""

    folder: Path
    tasks: tuple[str, ...]
    cases: int
    videos: int


def export(generated: GeneratedSuite, folder: Path) -> Export:
    """Write the tasks of a suite into `folder`; a video that is there is not rendered again.

    Raises UserError where `folder` holds another suite's.
    """
    cases = generated.cases
    _refuse_other_suite(generated, folder)
    write_suite(generated, folder / SUITE)
    videos = _render(cases, generated, folder)
    replace_file(folder / f"{MODULE}.py", Path(exported_task.__file__).read_text(encoding="utf-8"))
    if any(case.asks_interval for case in cases):
        _write_reader(folder / exported_task.READER)
    name = f"videoniah_{generated.suite.name}"
    by_task = {
        name: [case for case in cases if case.timeline],
        f"{name}_blind": [case for case in cases if not case.timeline],
    }
    tasks = {task: asked for task, asked in by_task.items() if asked}
    for task, asked in tasks.items():
        replace_file(folder / f"{task}.jsonl", to_json_lines(document(case, videos) for case in asked))
        replace_file(folder / f"{task}.yaml", _task_yaml(task, _metrics(asked)))
    return Export(folder, tuple(tasks), len(cases), len(set(videos.values())))


def document(case: Case, videos: dict[str, str]) -> dict[str, Any]:
    """Return the document of a case; `videos` are the files of cases, relative to the folder."""
    start, stop = case.shown_seconds if case.asks_interval else (0.0, 0.0)
    return {
        "case": case.id,
        "condition": case.condition,
        "metric": metric_name("acc", case.kind, case.condition),
        "video": videos.get(case.id, ""),
        "prompt": format_prompt(case.to_question()),
        "letters": LETTERS[: len(case.options)],  # none where an interval is asked for
        "answer": answer_of(case),
        "shown_start": start,
        "shown_stop": stop,
        "seconds": case.length / case.fps,
        "source": case.needle_source,
    }


def _render(cases: Iterable[Case], generated: GeneratedSuite, folder: Path) -> dict[str, str]:
    """Render the videos that are not there yet, and return the file of each case; equal videos are rendered once."""
    first: dict[Any, str] = {}
    files: dict[str, str] = {}
    for case in cases:
        if case.timeline:
            name = first.setdefault((case.timeline, case.fps), f"videos/{case.id.replace('/', '-')}.mp4")
            if not (folder / name).is_file():
                render(case, generated, folder / name)
            files[case.id] = name
    return files


def _metrics(cases: Sequence[Case]) -> list[str]:
    """Return the metrics of a task: one for each kind and condition, and those of overlaps."""
    names = {metric_name("acc", case.kind, case.condition) for case in cases}
    if any(case.asks_interval and case.condition == "full" for case in cases):
        names.update(exported_task.OVERLAPS)
    return sorted(names)


def _write_reader(folder: Path) -> None:
    """Copy the modules that read an interval: lmms-eval's environment need not have this project."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "__init__.py", '"""How VideoNIAH reads an interval of time: copies of its modules."""\n')
    for module in READER:
        text = Path(str(module.__file__)).read_text(encoding="utf-8")
        here = re.sub(r"^from niah(?:\.scoring)?\.(\w+) import", rf"from {folder.name}.\1 import", text, flags=re.M)
        replace_file(folder / Path(str(module.__file__)).name, here)


def _task_yaml(task: str, metrics: Sequence[str]) -> str:
    """Return the YAML of a task: its documents, how a reply is generated, its metrics."""
    values = {
        "task": task,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{task}.jsonl"}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "answer",
        "cluster_key": "source",
        "generation_kwargs": {"max_new_tokens": NEW_TOKENS, "temperature": 0, "do_sample": False, "num_beams": 1},
        "metadata": [{"version": 1.0}],
    }
    functions = [f"doc_to_visual: !function {MODULE}.video_of", f"process_results: !function {MODULE}.score"]
    metric_list = [
        f"- metric: {name}\n  aggregation: !function {MODULE}.mean\n  higher_is_better: true" for name in metrics
    ]
    head = f"# python -m lmms_eval --include_path . --tasks {task} --model ... --log_samples --output_path out\n"
    plain = yaml.safe_dump(values, sort_keys=False)
    return head + plain + "\n".join([*functions, "metric_list:", *metric_list]) + "\n"


def _refuse_other_suite(generated: GeneratedSuite, folder: Path) -> None:
    """Raise UserError where a folder holds the tasks of other cases: its videos would be taken for these."""
    known = folder / SUITE / "cases.jsonl"
    if known.is_file() and known.read_text(encoding="utf-8") != case_lines(generated.cases):
        raise UserError(f"{folder} holds the tasks of another suite; name another folder, or delete it")
