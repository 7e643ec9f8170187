"""lm-eval really run on suites of tiny video: its per-sample answers are niah.run's."""

import dataclasses
import json
import logging
from argparse import Namespace
from pathlib import Path

import pytest

from niah.cli.run_suite import run_suite as run
from niah.integrations.case_library import resolve_reference, video_reference
from niah.integrations.lm_eval.cli import TASKS, refuse_unknown, register
from niah.integrations.lm_eval.model import VideoLM, model_for
from niah.integrations.lm_eval.naming import predictable
from niah.run.config import resolve
from niah.scoring.interval import overlap, read_interval
from niah.suite.config import SUITES_FOLDER
from niah.suite.folder import read_suite, write_suite
from niah.types import UserError
from tests.helpers.commands import lm_eval as main
from tests.helpers.small_suite import make_suite

lm_eval = pytest.importorskip("lm_eval")


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    return make_suite(tmp_path / "small")


HERE = {"in_process": True}  # where the worker is not the point: starting one takes longest


def evaluated(model, tasks, suite, model_args=HERE, **settings):
    """Let lm-eval's evaluator run tasks of ours on a suite; return what it returns."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    register(*([model] if ":" in model else []))
    manager = TaskManager(
        include_path=list(TASKS), include_defaults=False, metadata={"suite": str(suite), **settings.pop("metadata", {})}
    )
    return simple_evaluate(
        model=model, model_args=model_args, tasks=tasks, task_manager=manager, bootstrap_iters=0, **settings
    )


def ran(model, suite, folder, **settings):
    """Return the records of niah.run by case."""
    given = {"model": model, "suite": str(suite), "output_path": str(folder), "figures": False, **settings}
    assert run(resolve(given, None)) == 0
    rows = (json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines())
    return {row["case"]: row for row in rows}


@pytest.fixture(scope="module")
def micro(tmp_path_factory):
    """Ask the micro model the same three cases through niah.run and through lm-eval, both tasks of it."""
    folder = tmp_path_factory.mktemp("micro")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        suite = make_suite(folder / "small")
        alike = {"in_process": True, "reuse": False}  # no worker: loading torch once is most of the time this takes
        records = ran("vilamp", suite, folder / "run", limit=3.0, in_process=True, model_args={"reuse": False})
        return records, evaluated("vilamp", ["videoniah", "videoniah_options"], suite, alike, limit=3)["samples"]


def test_replies_of_the_micro_model_are_those_of_niah_run(micro):
    records, samples = micro
    told = {sample["doc"]["case"]: sample["resps"][0][0] for sample in samples["videoniah"]}
    assert len(told) == 3
    assert told == {case: record["reply"] for case, record in records.items()}


def test_likelihoods_of_the_micro_model_are_those_of_niah_run(micro):
    records, samples = micro
    for sample in samples["videoniah_options"]:
        record = records[sample["doc"]["case"]]
        likelihoods, greedy = zip(*(answer for [answer] in sample["resps"]), strict=True)
        assert list(likelihoods) == record["option_scores"]
        assert list(greedy) == [option == record["reply"] for option in sample["doc"]["options"]]


@pytest.mark.slow
def test_a_worker_answers_the_same_as_under_niah_run(suite, tmp_path):
    records = ran("vilamp", suite, tmp_path / "run", limit=6.0, in_process=True)  # else three more workers load torch
    samples = evaluated("vilamp", ["videoniah"], suite, {}, limit=6)["samples"]["videoniah"]
    told = {sample["doc"]["case"]: sample["resps"][0][0] for sample in samples}
    assert told == {case: record["reply"] for case, record in records.items()}


def test_accuracy_is_told_by_condition(suite):
    results = evaluated("tests.helpers.fake_adapters:right", ["videoniah"], suite, {})["results"][
        "videoniah"
    ]  # in a worker
    told = {name.split(",")[0]: value for name, value in results.items() if name.endswith(",none")}
    # The adapter names the brightest clip: right where the needle is shown, wrong where another one is; blind it
    # says A, which is right for the first of three needles; without a needle the haystack is nearest to A too.
    assert told["acc"] == told["acc_needle_only"] == 1
    assert told["acc_swapped"] == 0
    assert told["acc_blind"] == told["acc_no_needle"] == pytest.approx(1 / 3)
    assert told["unanswered"] == 0
    assert results["sample_len"] == 24


def test_what_lm_eval_logs_names_no_path(suite, tmp_path):
    results = evaluated("tests.helpers.fake_adapters:right", ["videoniah"], suite, limit=2)
    assert str(tmp_path) not in json.dumps(results["samples"], default=str)


def test_a_part_of_a_suite_is_named_by_metadata(suite):
    part = {"conditions": ["blind", "needle_only"]}
    samples = evaluated("tests.helpers.fake_adapters:right", ["videoniah"], suite, metadata=part)["samples"][
        "videoniah"
    ]
    assert sorted({sample["doc"]["condition"] for sample in samples}) == ["blind", "needle_only"]
    assert len(samples) == 6


def test_results_say_what_answered(suite):
    config = evaluated("tests.helpers.fake_adapters:right", ["videoniah"], suite, limit=2)["config"]["videoniah"]
    assert config["adapter"] == "tests.helpers.fake_adapters:right"
    assert config["cases"] == {"ok": 2}
    assert config["decoder"].startswith("pyav")


def test_first_failure_ends_the_run_and_is_named(suite):
    with pytest.raises(UserError, match=r"case n1\.full\.20\.4 ended as error: the worker died of SIGSEGV"):
        evaluated("tests.helpers.fake_adapters:killed", ["videoniah"], suite, {"frames": 20}, limit=1)


def test_failures_can_be_counted_as_unanswered(suite):
    given = {"frames": 20, "failed": "unanswered"}
    evaluation = evaluated("tests.helpers.fake_adapters:killed", ["videoniah"], suite, given, limit=3)
    assert [sample["resps"][0][0] for sample in evaluation["samples"]["videoniah"]] == ["", "", "A"]
    assert evaluation["config"]["videoniah"]["cases"] == {"error": 2, "ok": 1}
    assert evaluation["results"]["videoniah"]["unanswered,none"] == pytest.approx(2 / 3)


def test_intervals_are_scored_as_by_niah_run_and_are_no_options(suite, capsys):
    generated = read_suite(suite)
    when = [
        dataclasses.replace(case, id=f"{case.id}.when", kind="when", options=(), answer="", question="When?")
        for case in generated.cases
        if case.condition == "full"
    ]
    folder = suite.parent / "when"
    write_suite(dataclasses.replace(generated, cases=(*generated.cases[:1], *when)), folder)
    found = evaluated("chance", ["videoniah"], folder)
    samples = [row for row in found["samples"]["videoniah"] if "iou_when" in row]
    by_id = {case.id: case for case in when}
    overlaps = []
    for row in samples:
        case = by_id[row["doc"]["case"]]
        named = read_interval(row["resps"][0][0], case.length / case.fps)
        overlaps.append(overlap(named, case.shown_seconds) if named else 0.0)
    assert [row["iou_when"] for row in samples] == overlaps and 0 < sum(overlaps) < len(overlaps) == 12
    assert [row["acc_when"] for row in samples] == [shared >= 0.5 for shared in overlaps]
    with pytest.raises(UserError, match="take the task without _options"):
        evaluated("chance", ["videoniah_options"], folder)
    assert "12 cases of small ask for an interval and have no options" in capsys.readouterr().err
    write_suite(dataclasses.replace(generated, cases=tuple(when)), suite.parent / "only")
    with pytest.raises(UserError, match="small asks for intervals, which are no options"):
        evaluated("chance", ["videoniah_options"], suite.parent / "only")


def test_adapter_without_likelihoods_is_refused_where_options_are_scored(suite):
    with pytest.raises(UserError, match="take the task without _options"):
        evaluated("tests.helpers.fake_adapters:right", ["videoniah_options"], suite, limit=1)


REFUSED = [
    ({"system_instruction": "Be brief."}, "leave few-shot examples, --system_instruction"),
    ({"gen_kwargs": {"temperature": 0.7}}, "adapters decode greedily"),
    ({"gen_kwargs": {"max_gen_toks": 3}}, "got max_gen_toks: leave it out of --gen_kwargs"),
    ({"apply_chat_template": True}, "leave --apply_chat_template out"),
]


@pytest.mark.parametrize("settings, words", REFUSED)
def test_what_would_change_the_question_in_silence_is_refused(suite, settings, words):
    with pytest.raises(UserError, match=words):
        evaluated("tests.helpers.fake_adapters:right", ["videoniah"], suite, limit=1, **settings)


def test_reply_ends_before_a_stop_string(suite):
    given = {"until": ["A"]}
    evaluation = evaluated("tests.helpers.fake_adapters:right", ["videoniah"], suite, limit=1, gen_kwargs=given)
    assert evaluation["samples"]["videoniah"][0]["resps"] == [[""]]


@pytest.mark.parametrize("path", sorted(SUITES_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_has_its_two_tasks(path):
    from lm_eval.tasks._yaml_loader import load_yaml

    for ending, kind in (("", "generate_until"), ("_options", "multiple_choice")):
        file = TASKS[0] / f"videoniah_{path.stem}{ending}.yaml"
        assert file.is_file(), "a suite needs two tasks of four lines each: copy those of smoke"
        task = load_yaml(file)
        assert task["task"] == f"videoniah_{path.stem}{ending}"
        assert task["dataset_kwargs"] == {"of": path.stem}
        assert task["output_type"] == kind


def test_every_adapter_is_a_model_and_lm_evals_own_keep_their_names():
    from lm_eval.api.registry import get_model, model_registry
    from lm_eval.models import MODEL_MAPPING

    register()
    assert get_model("vilamp").adapter == get_model("videoniah-vilamp").adapter == "vilamp"
    assert get_model("videoniah-huggingface").adapter == "huggingface"
    assert dict(model_registry.items())["huggingface"] == MODEL_MAPPING["huggingface"]


def test_lm_evals_entry_points_name_every_adapter():
    from tomllib import loads

    project = loads((Path(__file__).resolve().parents[3] / "pyproject.toml").read_text())["project"]["entry-points"]
    assert project["lm_eval.models"] == {
        f"videoniah-{name}": f"niah.integrations.lm_eval.model:{name}" for name in project["videoniah.adapters"]
    }


def test_lm_evals_registry_makes_a_model_of_an_entry_point():
    from importlib.metadata import EntryPoint

    from lm_eval.api.registry import Registry

    registry = Registry("model")
    for name in ("chance", "vilmap"):
        registry.register(name, target=EntryPoint(name, f"niah.integrations.lm_eval.model:{name}", "lm_eval.models"))
    assert registry.get("chance").adapter == "chance"
    with pytest.raises(AttributeError, match="no model is called 'vilmap'"):
        registry.get("vilmap")


def test_interrupted_run_says_what_is_left(monkeypatch, capsys):
    def stop(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("niah.integrations.lm_eval.cli.run", stop)
    assert main(["--tasks", "videoniah_smoke"]) == 130
    assert "--use_cache FILE keeps replies" in capsys.readouterr().err


WRONG = [
    (["--metadata", "lenghts=[20]"], "--metadata: no key is called 'lenghts'. Did you mean 'lengths'? Known: "),
    (["--metadata", "suite=mine.yaml"], "no key is called 'suite'. Known: conditions, depths, lengths."),
    (["--tasks", "videoniah_sm*,videoniah_vniah", "--metadata", "haystak=a.mp4"], "Did you mean 'haystack'?"),
    (["--tasks", "videoniah_suites", "--metadata", "videos=x"], "no key is called 'videos'"),
    (["--tasks", "videoniah_mlvu", "--metadata", '{"videoss": "x"}'], "Did you mean 'videos'?"),
    (["--tasks", "videoniah_smok"], "no task is called 'videoniah_smok'. Did you mean 'videoniah_smoke'?"),
    (["--model", "chanse"], "no model is called 'chanse'. Did you mean 'chance'?"),
    (["--config", "no.yaml"], "--config no.yaml: Config file not found"),
    (["--num_fewshot", "2"], "--num_fewshot 2: adapters get one question without examples"),
    (["--log_samples"], "lm-eval says: Specify --output_path if providing --log_samples"),
]


@pytest.mark.parametrize("words, said", WRONG)
def test_a_mistake_in_the_command_line_is_told_in_words(words, said, capsys):
    assert main(["--model", "chance", "--tasks", "videoniah_smoke", *words]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and said in error


def test_a_command_line_without_a_task_is_told_what_one_looks_like(capsys):
    assert main(["--model", "chance"]) == 2
    assert "no task was named; for instance: --tasks videoniah_smoke" in capsys.readouterr().err


def test_results_that_lm_eval_could_not_save_are_an_error(tmp_path, capsys):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "out"  # no folder can be made there
    words = ["--model", "chance", "--tasks", "videoniah_smoke", "--limit", "1", "--output_path", str(out)]
    assert main([*words, "--model_args", "in_process=True", "--log_samples"]) == 3
    said = capsys.readouterr().err
    assert "error: lm-eval says: Could not save results aggregated; Could not save sample results" in said
    assert str(out) in said


NAMES = [
    ("chance", None, "chance"),
    ("seeker", {"frames": 16, "bits": 2}, "seeker-bits=2-frames=16"),
    ("seeker", "frames=16", "seeker-frames=16"),
    ("mine:load", {}, "mine-load"),
]


@pytest.mark.parametrize("model, arguments, name", NAMES)
def test_the_folder_of_results_is_named_by_model_and_settings(model, arguments, name):
    from lm_eval.loggers.evaluation_tracker import GeneralConfigTracker

    tracker = GeneralConfigTracker()
    with predictable(model, arguments):
        tracker.log_experiment_args(model, arguments, None, None, False)
    assert tracker.model_name_sanitized == name
    tracker.log_experiment_args(model, arguments, None, None, False)
    assert tracker.model_name_sanitized != name  # lm-eval is left as it was


def test_git_says_nothing_outside_a_checkout(tmp_path, monkeypatch, capfd):
    from lm_eval import evaluator

    monkeypatch.chdir(tmp_path)
    with predictable("chance", None):
        assert evaluator.get_git_commit_hash() is None
    assert capfd.readouterr() == ("", "")


def test_any_key_is_left_to_a_task_of_somebody_else():
    namespace = Namespace(model="chance", tasks="videoniah_smoke,theirs.yaml", metadata={"theirs": 1}, include_path=[])
    register()
    refuse_unknown(namespace)
    namespace.tasks = "videoniah_smoke"  # with nobody else's task nobody reads the key
    with pytest.raises(UserError, match="theirs"):
        refuse_unknown(namespace)


DEVICES = [
    ({}, "cuda:0", None),  # what lm-eval says when nobody named a device
    ({}, "cuda:1", "cuda:1"),
    ({"device": "cuda:0"}, "cuda:0", "cuda:0"),
]


@pytest.mark.parametrize("given, added, device", DEVICES)
def test_device_is_the_one_named(given, added, device):
    model = model_for("chance").create_from_arg_obj(given, {"device": added, "batch_size": 1, "max_batch_size": None})
    assert model.run_config.device == device


def test_settings_of_the_worker_and_of_the_adapter_are_told_apart():
    model = model_for("seeker").create_from_arg_string("frames=8,timeout=60,decoder=pyav")
    assert model.run_config.settings() == {"frames": 8}
    assert model.run_config.timeout == 60


def test_no_secret_reaches_lm_evals_results():
    with pytest.raises(UserError, match="api_key would put a secret"):
        VideoLM(adapter="openai", api_key="x")


def test_reference_of_a_task_that_was_not_loaded_is_refused():
    with pytest.raises(UserError, match="no task of this process has loaded 'elsewhere@0'"):
        resolve_reference(video_reference("elsewhere@0", "n1"))


@pytest.mark.parametrize("visual", ["clip.mp4", {"path": "clip.mp4"}, None])
def test_anything_but_a_reference_is_refused(visual):
    with pytest.raises(UserError, match="shown video references"):
        resolve_reference(visual)


def test_help_shows_commands_without_lm_eval(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "niah lm_eval --model vilamp --tasks videoniah_smoke" in capsys.readouterr().out


@pytest.fixture(autouse=True)
def quiet():
    """Keep lm-eval's own progress out of the test report."""
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
