"""Suites as lmms-eval's tasks, and lmms-eval's samples as records, in the shapes of lmms-eval 0.7.3."""

import importlib.util
import json
import sys
from types import ModuleType

import pytest
import yaml

from niah.analysis.load import read_run
from niah.analysis.table import score_cases
from niah.cli.tree import main
from niah.integrations.lmms_eval.export import export
from niah.integrations.lmms_eval.samples import import_samples
from niah.suite.folder import read_suite
from niah.types import UserError
from tests.helpers.small_suite import make_suite


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lmms")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        export(read_suite(make_suite(folder)), folder / "exported")
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
    for task in ("videoniah_small", "videoniah_small_blind"):
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
