"""Print ViLaMP's Table 1 with our rows: published rows from a file, ours from lm-eval's result files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from niah.figures.published import read_published
from niah.io import read_regular
from niah.types import UserError


class Column(NamedTuple):
    """One column of the table: which metric of lm-eval's results it shows, and how many questions the task has."""

    title: str
    task: str
    metric: str
    questions: int  # of the task


COLUMNS = {
    "lvbench": Column("LVBench", "videoniah_lvbench", "acc", 1549),
    "egoschema": Column("EgoSchema", "videoniah_egoschema", "acc", 500),
    "longvideobench": Column("LongVideoBench", "videoniah_longvideobench", "acc", 1337),
    "mlvu": Column("MLVU M-Avg", "videoniah_mlvu", "m_avg", 2174),
    "video_mme": Column("Video-MME", "videoniah_video_mme", "acc", 2700),
    "video_mme_subtitles": Column("w/ subtitles", "videoniah_video_mme_subtitles", "acc", 2700),
    "video_mme_long": Column("long", "videoniah_video_mme", "acc_long", 2700),
    "video_mme_long_subtitles": Column("long w/ subtitles", "videoniah_video_mme_subtitles", "acc_long", 2700),
}
AccuracyRow = Mapping[str, str]  # by column, as printed


class Result(NamedTuple):
    """One result file of lm-eval: the model, and for each column its value and over how many questions that is."""

    date: float
    model: str
    numbers: Mapping[str, tuple[float, int]]


def published_rows() -> dict[str, AccuracyRow]:
    """Return the published rows by model. Raises UserError outside of a checkout, which alone has them."""
    rows: dict[str, dict[str, str]] = {}
    for line in read_published("table1_accuracy.csv"):
        rows.setdefault(line["model"], {})[line["benchmark"]] = line["accuracy"]
    return {model: row for model, row in rows.items()}


def our_rows(paths: Iterable[Path]) -> dict[str, AccuracyRow]:
    """Return our rows by model, read from result files or folders of them; a later result replaces an earlier one.

    A number over fewer questions than the benchmark has is followed by their count. Raises UserError.
    """
    rows: dict[str, dict[str, str]] = {}
    for result in sorted(_results(paths), key=lambda result: result.date):
        for name, (value, count) in result.numbers.items():
            questions = COLUMNS[name].questions
            part = "" if count == questions else f" (a run of {count:,} of {questions:,} questions)"
            rows.setdefault(result.model, {})[name] = f"{100 * value:.1f}{part}"
    return {model: row for model, row in rows.items()}


def table_markdown(theirs: Mapping[str, AccuracyRow], mine: Mapping[str, AccuracyRow]) -> str:
    """Return the table: published models first, ours below, a dash where there is no number."""
    titles = ["model", *(column.title for column in COLUMNS.values())]
    lines = [_line(titles), _line(["---"] * len(titles))]
    for rows, mark in ((theirs, " (published)"), (mine, " (here)")):
        for model, row in rows.items():
            lines.append(_line([model + mark, *(row.get(name, "–") for name in COLUMNS)]))
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _results(paths: Iterable[Path]) -> Iterable[Result]:
    """Read lm-eval's result files. Raises UserError where a folder has none, and for any other file."""
    for path in paths:
        files = sorted(path.rglob("results_*.json")) if path.is_dir() else [path]
        if not files:
            raise UserError(f"{path} holds no results_*.json; run niah lm_eval with --output_path {path}")
        for file in files:
            try:
                results = json.loads(read_regular(file))
            except (OSError, ValueError, RecursionError) as error:
                raise UserError(f"{file} cannot be read ({error}); name a file or folder that lm-eval wrote") from None
            try:
                yield Result(float(results["date"]), _model(results["config"]), _numbers(results))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise UserError(
                    f"{file} is no result file of lm-eval ({error!r}); name a file or folder that lm-eval wrote"
                ) from None


def _numbers(results: Mapping[str, Any]) -> dict[str, tuple[float, int]]:
    """Return the value of each column, and over how many questions it is."""
    found = {}
    for name, column in COLUMNS.items():
        value = results["results"].get(column.task, {}).get(f"{column.metric},none")
        if value is not None:
            found[name] = (float(value), int(results["n-samples"][column.task]["effective"]))
    return found


def _model(config: Mapping[str, Any]) -> str:
    """Return the name of the model with its weights."""
    name = config.get("videoniah", {}).get("adapter") or config["model"]
    arguments = config.get("model_args")
    weights = arguments.get("pretrained") if isinstance(arguments, dict) else None
    return f"{name}, {Path(str(weights)).name}" if weights else str(name)
