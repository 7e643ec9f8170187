"""Suites as lmms-eval's tasks, and lmms-eval's samples as records, in the shapes of lmms-eval 0.7.3."""

import dataclasses
import importlib.util
import json
import subprocess
import sys
from types import ModuleType

import pytest
import yaml

from niah.analysis.load import read_run
from niah.analysis.table import score_cases
from niah.cli.tree import main
from niah.integrations.lmms_eval.export import export
from niah.integrations.lmms_eval.samples import import_samples
from niah.option_scores import is_correct
from niah.scoring.interval import read_interval
from niah.suite.folder import GeneratedSuite, read_suite
from niah.types import UserError
from tests.helpers.small_suite import make_suite


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lmms")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        export(read_suite(make_suite(folder)), folder / "exported")
    return folder / "exported"


@pytest.fixture(scope="module")
def intervals(tmp_path_factory):
    """Export a suite that asks when the clip of each `full` case is shown, as an interval, beside its question."""
    folder = tmp_path_factory.mktemp("intervals")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        small = read_suite(make_suite(folder))
        full = [case for case in small.cases if case.condition == "full"]
        when = [
            dataclasses.replace(case, id=f"{case.id}.when", kind="when", options=(), answer="", question="When?")
            for case in full
        ]
        export(GeneratedSuite(small.suite, (*full, *when), small.sources), folder / "exported")
    return folder / "exported"


def documents(folder, task="videoniah_small"):
    return [json.loads(line) for line in (folder / f"{task}.jsonl").read_text().splitlines()]


def task_functions(folder, monkeypatch):
    """Return the copied module, with lmms-eval's extractor replaced by its first letter."""
    for name in (
        "lmms_eval",
        "lmms_eval.tasks",
        "lmms_eval.tasks._task_utils",
        "lmms_eval.tasks._task_utils.mcq_extract",
    ):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["lmms_eval.tasks._task_utils.mcq_extract"].extract_mcq_answer = lambda reply, choices: next(
        (one for one in reply if one in choices), ""
    )
    spec = importlib.util.spec_from_file_location("videoniah_task", folder / "videoniah_task.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_samples(folder, exported, functions, reply, name="a", config=None):
    """Write what lmms-eval logs where a model gives `reply(document)`."""
    folder.mkdir(exist_ok=True)
    for task in sorted(path.stem for path in exported.glob("videoniah_small*.jsonl")):
        rows = []
        for number, document in enumerate(documents(exported, task)):
            said = reply(document)
            scores = functions.score(document, [said])
            row = {
                "doc_id": number,
                "target": document["answer"],
                "filtered_resps": [said],
                "input": document["prompt"],
            }
            rows.append(json.dumps({**row, "doc_hash": "0", **scores}) + "\n")
        (folder / f"{name}_samples_{task}.jsonl").write_text("".join(rows))
    results = {"config": config or {"model": "qwen3_vl", "model_args": "pretrained=Q,fps=1"}}
    (folder / f"{name}_results.json").write_text(json.dumps(results))
    return folder


def test_cases_without_a_video_are_a_task_of_their_own(exported):
    seen, blind = documents(exported), documents(exported, "videoniah_small_blind")
    assert {row["condition"] for row in seen} == {"full", "needle_only", "no_needle", "swapped"}
    assert {row["condition"] for row in blind} == {"blind"} and {row["video"] for row in blind} == {""}
    assert len(seen) + len(blind) == 24


def test_each_video_is_there_and_equal_ones_are_rendered_once(exported, monkeypatch):
    functions = task_functions(exported, monkeypatch)
    paths = {functions.video_of(row)[0] for row in documents(exported)}
    assert {path.split("/")[-1] for path in paths} == {path.name for path in (exported / "videos").iterdir()}
    assert functions.video_of({"video": ""}) == []
    by_id = {case.id: case for case in read_suite(exported / "suite").cases}
    assert len(paths) == len({by_id[row["case"]].timeline for row in documents(exported)})


def test_yaml_names_functions_and_columns_that_exist(exported, monkeypatch):
    functions = task_functions(exported, monkeypatch)

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))
    task = yaml.load((exported / "videoniah_small.yaml").read_text(), Loader)
    named = [task["doc_to_visual"], task["process_results"], *(one["aggregation"] for one in task["metric_list"])]
    assert all(callable(getattr(functions, name.removeprefix("videoniah_task."))) for name in named)
    (row, *_) = documents(exported)
    assert {task["doc_to_text"], task["doc_to_target"], task["cluster_key"]} <= set(row)
    scored = {name for row in documents(exported) for name in functions.score(row, ["A"])}
    assert scored == {one["metric"] for one in task["metric_list"]}
    assert task["dataset_kwargs"]["data_files"]["test"] == "videoniah_small.jsonl"


def test_samples_become_a_run_that_is_scored_as_any_other(exported, monkeypatch, tmp_path):
    functions = task_functions(exported, monkeypatch)
    right = lambda row: row["answer"] if row["condition"] == "full" else "I cannot tell."  # noqa: E731
    samples = write_samples(tmp_path / "answers", exported, functions, right)
    code = main(["import", str(samples), "--suite", str(exported), "-o", str(tmp_path / "run"), "--no_figures"])
    run = read_run(tmp_path / "run")
    scored = {
        condition: [one.correct for one in score_cases(run) if one.case.condition == condition]
        for condition in ("full", "blind")
    }
    assert (code, run.model, len(run.records)) == (0, "lmms_eval-qwen3_vl (fps=1, pretrained=Q)", 24)
    assert scored == {"full": [True] * 12, "blind": [False] * 3}
    assert (tmp_path / "run" / "table.csv").is_file()


def interval_reply(row):
    """Return a reply to a document: the right interval, one that is two of four seconds late, or frame numbers."""
    start, stop = row["shown_start"], row["shown_stop"]
    late = f"{start + 2:g} - {stop + 2:g} s"  # an overlap of 1/3
    said = {"n1": f"It is shown from {start:g} s to {stop:g} s.", "n2": late, "n3": "frames 3 to 7"}
    return row["answer"] if row["letters"] else said[row["case"][:2]]


def test_intervals_are_scored_there_as_here_and_come_back_as_records(intervals, monkeypatch, tmp_path):
    functions = task_functions(intervals, monkeypatch)
    samples = write_samples(tmp_path / "answers", intervals, functions, interval_reply)
    read = import_samples(intervals, [samples], tmp_path / "run")
    assert (len(read.records), read.read_differently, read.asked_differently) == (24, (), ())
    run = read_run(tmp_path / "run")
    scored = [one for one in score_cases(run) if one.case.asks_interval]
    rows = [json.loads(line) for line in (samples / "a_samples_videoniah_small.jsonl").read_text().splitlines()]
    theirs = {row["acc_when"]["case"]: row for row in rows if "acc_when" in row}
    assert len(scored) == len(theirs) == 12 and {round(one.overlap, 3) for one in scored} == {0.0, 0.333, 1.0}
    for one in scored:
        row = theirs[one.case.id]
        assert row["iou_when"]["score"] == one.overlap
        assert row["acc_when"]["score"] == is_correct(one.case, one.record) == one.correct
        assert (row["recall_30_when"]["score"], row["recall_70_when"]["score"]) == (
            one.overlap >= 0.3,
            one.overlap >= 0.7,
        )


def test_the_exported_reader_of_intervals_needs_nothing_of_this_project(intervals):
    replies = [
        "12:05 - 12:40",
        "12分5秒到12分40秒",
        "0.2 to 0.25 hours",
        "12:40 to 12:05",
        "<think>1:00 to 2:00</think>no",
    ]
    code = (
        "import json, sys; sys.path.insert(0, sys.argv[1]); from videoniah_reader import interval; "
        "print(json.dumps([interval.read_interval(one, 3600.0) for one in json.loads(sys.argv[2])]), "
        "[name for name in sys.modules if name.startswith('niah')])"
    )
    command = [sys.executable, "-I", "-S", "-c", code, str(intervals), json.dumps(replies)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ours = [None if found is None else list(found) for found in (read_interval(one, 3600.0) for one in replies)]
    assert printed == f"{json.dumps(ours)} []\n"


def test_kinds_have_metrics_of_their_own(intervals):
    assert {row["metric"] for row in documents(intervals)} == {"acc", "acc_when"}
    named = [line for line in (intervals / "videoniah_small.yaml").read_text().splitlines() if "metric:" in line]
    assert [line.split()[-1] for line in named] == ["acc", "acc_when", "iou_when", "recall_30_when", "recall_70_when"]


def test_replies_that_lmms_eval_reads_otherwise_are_counted(exported, monkeypatch, tmp_path):
    functions = task_functions(exported, monkeypatch)
    samples = write_samples(tmp_path / "answers", exported, functions, lambda row: "Clearly it is option A")
    read = import_samples(exported, [samples], tmp_path / "run")
    assert len(read.read_differently) == 24  # the extractor above takes the C of "Clearly"


REFUSED = [
    ({"a": None, "b": None}, "holds a second sample of"),
    ({"a": "other"}, "is no case of"),
]


@pytest.mark.parametrize("runs, words", REFUSED)
def test_samples_that_are_no_one_run_are_refused(exported, monkeypatch, tmp_path, runs, words):
    functions = task_functions(exported, monkeypatch)
    for name, case in runs.items():
        samples = write_samples(tmp_path / "answers", exported, functions, lambda row: "A", name)
        if case:
            path = samples / f"{name}_samples_videoniah_small.jsonl"
            path.write_text(path.read_text().replace('"case": "n1', f'"case": "{case}'))
    with pytest.raises(UserError, match=words):
        import_samples(exported, [samples], tmp_path / "run")


def test_another_suite_does_not_go_into_the_same_folder(exported, tmp_path, monkeypatch):
    suite = read_suite(exported / "suite")
    with pytest.raises(UserError, match="holds the tasks of another suite"):
        export(type(suite)(suite.suite, suite.cases[:5], suite.sources), exported)
