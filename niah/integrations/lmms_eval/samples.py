"""Read lmms-eval's samples of an exported suite back into records, with the replies as the model gave them.

lmms-eval decides which frames a model is shown and does not log them. So a record says that none are known
(`frames_used` 0), and checks of frames have nothing to check. Scores are recomputed from the replies, as for any run;
where lmms-eval read another letter, that is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.integrations.lmms_eval.export import SUITE
from niah.io import read_json_lines
from niah.option_scores import answered_interval, answered_letter
from niah.prompt import format_prompt
from niah.run.case_runner import make_record
from niah.run.config import without_machine_paths
from niah.run.folder import input_keys, locked, suite_files, write_inputs
from niah.run.messages import WorkerResult
from niah.run.records import check_record, rewrite_records
from niah.scoring.interval import format_interval
from niah.suite.folder import GeneratedSuite, read_suite
from niah.types import Case, Record, Reply, UserError

NEVER_READ = ""  # what lmms-eval calls the letter of a reply in which it finds none


@dataclass(frozen=True)
class Sample:
    """One answer of lmms-eval's log."""

    case: str
    prompt: str
    reply: str
    letter: str  # as lmms-eval read it, or the interval that the exported task read

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Sample:
        """Read a line of a samples file. Raises UserError where it is of no exported task."""
        scores = [value for value in row.values() if isinstance(value, dict) and {"case", "letter"} <= set(value)]
        if len(scores) != 1:
            raise UserError("the sample names no case: it is of no task that niah export wrote")
        replies = row.get("resps", row["filtered_resps"])  # only the filtered ones where both are equal
        while isinstance(replies, list) and len(replies) == 1:
            replies = replies[0]
        if not isinstance(replies, str):
            raise UserError(f"a record holds one reply, and this sample {len(replies)}; run without --repeats")
        return cls(scores[0]["case"], str(row["input"]), replies, scores[0]["letter"])


@dataclass(frozen=True)
class ImportedRun:
    """What was read."""

    folder: Path
    model: str
    cases: int
    records: tuple[Record, ...]
    read_differently: tuple[str, ...]  # cases whose reply lmms-eval reads as another answer than we do
    asked_differently: tuple[str, ...]  # cases whose prompt was not ours


def import_samples(exported: Path, files: Sequence[Path], out: Path, model: str | None = None) -> ImportedRun:
    """Write a run's folder of lmms-eval's samples.

    Args:
        exported: The folder that `niah export` wrote.
        files: samples_*.jsonl of one model, or folders that hold them.
        out: The run's folder.
        model: The model's name; None for the one that lmms-eval's results name.

    Raises UserError where samples are of other cases, of one case twice, or of two models.
    """
    suite = read_suite(exported / SUITE)
    paths = [path for file in files for path in _samples_files(file)]
    samples = _samples(paths)
    cases = {case.id: case for case in suite.cases}
    unknown = sorted(set(samples) - set(cases))
    if unknown:
        raise UserError(f"{unknown[0]!r} is no case of {exported}; name the folder that the samples' task was in")
    name, arguments = _asked(paths, model)
    records = tuple(_record(case, samples[case.id], name, suite) for case in suite.cases if case.id in samples)
    inputs = suite_files(suite)
    decides = {"model": name, "model_args": arguments, "decoder": "lmms-eval", **input_keys(suite, inputs)}
    with locked(out):
        write_inputs(out, {"decides": decides, "suite": suite.suite.name, "target": "lmms_eval"}, inputs)
        rewrite_records(out / "records.jsonl", records)
    read = {record.case: _read(cases[record.case], record) for record in records}
    return ImportedRun(
        out,
        name,
        len(cases),
        records,
        tuple(case for case, answer in read.items() if answer != samples[case].letter),
        tuple(case for case in read if samples[case].prompt != format_prompt(cases[case].to_question())),
    )


def _read(case: Case, record: Record) -> str:
    """Return the letter or the interval that we read in a reply."""
    if case.asks_interval:
        return format_interval(answered_interval(case, record))
    return answered_letter(case, record) or NEVER_READ


def _samples_files(path: Path) -> list[Path]:
    """Return the files of samples that a path names. Raises UserError where there are none."""
    if path.is_file():
        return [path]
    found = sorted(path.rglob("*_samples_*.jsonl"))
    if not found:
        raise UserError(f"{path} holds no *_samples_*.jsonl; run lmms-eval with --log_samples --output_path")
    return found


def _samples(paths: Iterable[Path]) -> dict[str, Sample]:
    """Return the samples by case."""
    found: dict[str, Sample] = {}
    for path in paths:
        for _, sample in read_json_lines(path, Sample.from_json, "restore the file"):
            if sample.case in found:
                raise UserError(f"{path} holds a second sample of {sample.case!r}; name the files of one run")
            found[sample.case] = sample
    return found


def _asked(paths: Iterable[Path], model: str | None) -> tuple[str, dict[str, Any]]:
    """Return the name and arguments of the model that was asked, from the results beside the samples.

    Raises UserError where these name two models, or there are none and no name was given.
    """
    asked = {}
    for path in paths:
        results = path.with_name(path.name.partition("_samples_")[0] + "_results.json")
        if results.is_file():
            config = json.loads(results.read_text(encoding="utf-8")).get("config", {})
            settings = (config.get("model"), config.get("model_args"), config.get("gen_kwargs"))
            asked[json.dumps(settings, sort_keys=True, default=str)] = settings
    if len(asked) > 1:
        raise UserError(f"the samples are of runs with different settings: {'; '.join(asked)}; import them one by one")
    if not asked and model is None:
        raise UserError("no *_results.json lies beside the samples; name the model with --model")
    name, arguments, generation = next(iter(asked.values()), (model, None, None))
    given = _arguments(arguments) | ({"gen_kwargs": str(generation)} if generation else {})
    return model or f"lmms_eval-{name}", without_machine_paths(given)


def _arguments(text: Any) -> dict[str, Any]:
    """Return a model's arguments by name, from text as the command line has them."""
    if isinstance(text, dict):
        return text
    parts = [part.partition("=") for part in str(text or "").split(",") if part]
    return {name.strip(): value.strip() for name, _, value in parts}


def _record(case: Case, sample: Sample, model: str, suite: GeneratedSuite) -> Record:
    """Return the record of a sample."""
    sources = dict.fromkeys(span.source for span in case.timeline)
    files = tuple(f"{name}@{suite.sources[name].sha256[:16]}" for name in sources)
    result = WorkerResult("ok", "", Reply(sample.reply, settings={"harness": "lmms-eval"}), {})
    return check_record(
        make_record(case, result, model, "lmms-eval", files, {"worker": 1, "attempts": 1, "cold": False})
    )
