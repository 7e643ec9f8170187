"""Publish a run in lm-eval's format: results_DATE.json, and every case in samples_TASK_DATE.jsonl.

The names are those of lm-eval 0.4.13 and of `niah lm_eval`: `acc` is the accuracy of the `full`
cases, `acc_blind` and the like are the controls. lm-eval has no notion of a failed case: a case without a reply is
written as a sample with its status and without metrics, so that it counts as no answer.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from niah.analysis.load import RunData, read_run
from niah.analysis.scored import ScoredCase
from niah.integrations.hub.dataset_repo import UNKNOWN, config, plain, refuse_foreign, table, write_card
from niah.integrations.lm_eval.suites import document, score
from niah.io import refuse_link, replace_file, stored_path
from niah.prompt import format_prompt
from niah.run.metadata import read_metadata
from niah.types import UserError

GENERATION = {"until": [], "do_sample": False}
LOWER_IS_BETTER = ("unanswered",)


def write_run(run_folder: Path, folder: Path, licence: str | None = None) -> list[str]:
    """Write a run into `folder` and return the names of the files.

    Raises UserError where `run_folder` holds no run, or `folder` holds files that no earlier call wrote.
    """
    refuse_foreign(folder)
    run = read_run(run_folder)
    metadata = read_metadata(run_folder)
    decides = metadata["decides"]
    task = f"videoniah_{run.suite}"
    library = f"{run.suite}@{decides['cases_sha256'][:16]}"
    asked = [scored for scored in run.scored if scored.record is not None]
    samples = [_sample(number, scored, library) for number, scored in enumerate(asked)]
    date = _date(metadata, run_folder).strftime("%Y-%m-%dT%H-%M-%S.%f")
    model = re.sub(r"[^A-Za-z0-9_.-]+", "__", decides["model"]).lstrip(".") or "model"  # as lm-eval does, and more
    results = {**_results(task, run, samples), **_run_metadata(metadata, run)}
    names = [f"{model}/results_{date}.json", f"{model}/samples_{_file_name(task)}_{date}.jsonl"]
    head = {
        "pretty_name": f"VideoNIAH {run.suite}: {decides['model']}",
        "license": licence or UNKNOWN,
        "tags": ["videoniah", "lm-eval", "long-video", "needle-in-a-haystack"],
        "configs": [config("samples", "latest", names[1], default=True), config("results", "latest", names[0])],
    }
    card = write_card(folder, head, _body(run, results["results"][task]))
    refuse_link(folder / model)
    (folder / model).mkdir(exist_ok=True)
    _write(folder / names[0], json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False))
    _write(folder / names[1], "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples))
    return [card, *names]


def _sample(number: int, scored: ScoredCase, library: str) -> dict[str, Any]:
    """Return one line of the samples, as lm-eval logs it, with the record's status."""
    case, record = scored.case, scored.record
    assert record is not None  # only cases that were asked become samples
    prompt = format_prompt(case.to_question())
    row = document(library, case)
    arguments = {"arg_0": prompt, "arg_1": GENERATION, "arg_2": {"visual": {"library": library, "case": case.id}}}
    metrics = score(row, [scored.letter or record.reply]) if record.reply is not None else {}
    return {
        "doc_id": number,
        "doc": row,
        "target": row["answer"],
        "arguments": {"gen_args_0": arguments},
        "resps": [[one.text for one in record.samples] or [record.reply]],
        "filtered_resps": [record.reply],
        "filter": "none",
        "metrics": list(metrics),
        "doc_hash": _hash(json.dumps(row, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(prompt),
        "target_hash": _hash(row["answer"]),
        "status": record.status,
        "mode": record.mode,
        "option_scores": record.option_scores,
        "option_likelihoods": record.option_likelihoods and [asdict(one) for one in record.option_likelihoods],
        **{
            name: getattr(record, name)
            for name in ("frame_size", "frame_times", "finish_reason", "prompt_opens_thought")
        },
        **metrics,
    }


def _results(task: str, run: RunData, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return means with their standard errors, over the samples that have the metric."""
    values: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        for metric in sample["metrics"]:
            values[metric].append(sample[metric])
    means: dict[str, Any] = {"name": task, "alias": task, "sample_len": len(samples)}
    for metric, found in sorted(values.items()):
        means[f"{metric},none"] = sum(found) / len(found)
        means[f"{metric}_stderr,none"] = _standard_error(found)
    return {
        "results": {task: means},
        "versions": {task: run.cases[0].version},
        "n-shot": {task: 0},
        "higher_is_better": {task: {metric: metric not in LOWER_IS_BETTER for metric in sorted(values)}},
        "n-samples": {task: {"original": len(run.cases), "effective": sum(bool(s["metrics"]) for s in samples)}},
        "task_hashes": {task: _hash("".join(s["doc_hash"] + s["prompt_hash"] + s["target_hash"] for s in samples))},
    }


def _run_metadata(metadata: Mapping[str, Any], run: RunData) -> dict[str, Any]:
    """Return what was run, and on which machine; run.json contains no path of a machine."""
    decides = metadata["decides"]
    statuses = Counter(record.status for record in run.records.values())
    environment = {key: metadata[key] for key in ("versions", "device", "git", "worker", "python") if key in metadata}
    cases = {**statuses, "missing": len(run.cases) - len(run.records)}
    return {
        "config": {
            "model": decides["model"],
            "model_args": decides["model_args"],
            "device": decides.get("device"),
            "videoniah": {"cases": cases, "cases_sha256": decides["cases_sha256"], **environment},
        },
        "model_source": "videoniah",
        "model_name": run.model,
        "date": _date(metadata, run.folder).timestamp(),
    }


def _date(metadata: Mapping[str, Any], folder: Path) -> datetime:
    """Return when the run last ended; for an old run.json without dates, when its records were last written."""
    runs = metadata.get("runs", [])
    if runs:
        try:
            return datetime.fromisoformat(runs[-1]["ended"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{folder / 'run.json'} does not say when the run ended ({error!r}); restore it") from error
    records = folder / "records.jsonl"
    return datetime.fromtimestamp((stored_path(records) or records).stat().st_mtime)


def _standard_error(values: Sequence[float]) -> float | None:
    """Return the standard error of a mean; None for fewer than two values."""
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))


def _body(run: RunData, means: Mapping[str, Any]) -> str:
    """Return the text of the card: the metrics, and how to read them."""
    metrics = [name.removesuffix(",none") for name in means if name.endswith(",none") and "_stderr" not in name]
    rows = []
    for name in metrics:
        error = means[f"{name}_stderr,none"]
        rows.append((name, f"{means[f'{name},none']:.4f}", "" if error is None else f"{error:.4f}"))
    failed = sum(record.status != "ok" for record in run.records.values())
    return f"""# {plain(run.model)} on VideoNIAH suite {plain(run.suite)}

{len(run.records):,} of {len(run.cases):,} cases were asked; {failed:,} of them ended without an answer (see their
`status`) and count in no accuracy.

{table(("metric", "mean", "standard error"), rows)}
`acc` is the accuracy with the clip hidden in a long video; the other metrics are its controls. Each needle is asked
about many times, so these standard errors, which treat answers as independent, are too small.

```python
samples = datasets.load_dataset(FOLDER, "samples", split="latest")
results = datasets.load_dataset(FOLDER, "results", split="latest")
```
"""


def _file_name(task: str) -> str:
    """Return a task's name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", task)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _write(path: Path, text: str) -> None:
    replace_file(path, text.encode("utf-8", "backslashreplace"))
