"""What the real lmms-eval 0.7.3 logged (`make lmms`) against our own scoring, sample by sample."""

import json
from pathlib import Path

import pytest

from niah.integrations.benchmarks.item import split_question
from niah.integrations.lmms_eval.samples import import_samples
from niah.option_scores import answered_letter, is_correct
from niah.run.records import read_cases, read_records
from niah.scoring import extract_answer
from niah.settings import read_yaml
from niah.suite.config import Suite
from niah.suite.folder import GeneratedSuite, write_suite
from niah.types import Source

FOLDER = Path(__file__).parents[3] / "results" / "lmms_eval"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The committed samples, imported anew."""
    folder = tmp_path_factory.mktemp("lmms")
    cases, _ = read_cases(FOLDER / "run")
    sources = {row["name"]: Source(path="", **row) for row in lines(FOLDER / "run" / "sources.jsonl")}
    suite = GeneratedSuite(read_yaml(Suite, FOLDER / "run" / "suite.yaml"), cases, sources)
    write_suite(suite, folder / "exported" / "suite")
    files = sorted((FOLDER / "samples").glob("lmms_samples_videoniah_smoke*.jsonl"))
    return import_samples(folder / "exported", files, folder / "run")


def test_every_case_was_asked_with_our_prompt_and_read_as_we_read_it(imported):
    assert (len(imported.records), imported.cases) == (52, 52)
    assert (imported.read_differently, imported.asked_differently) == ((), ())
    assert list(imported.records) == read_records(FOLDER / "run" / "records.jsonl")


def test_its_scores_of_our_suite_are_ours(imported):
    cases = {case.id: case for case in read_cases(FOLDER / "run")[0]}
    records = {record.case: record for record in imported.records}
    scores = [
        value for path in (FOLDER / "samples").glob("*smoke*.jsonl") for row in lines(path) for value in row.values()
    ]
    scores = {value["case"]: value for value in scores if isinstance(value, dict)}
    assert scores.keys() == cases.keys()
    for name, theirs in scores.items():
        assert theirs["letter"] == answered_letter(cases[name], records[name]), name
        assert theirs["score"] == is_correct(cases[name], records[name]), name


def test_its_own_video_mme_scorer_agrees_with_ours():
    rows = lines(FOLDER / "samples" / "lmms_samples_videoniah_videomme.jsonl")
    theirs = [
        (row["videomme_perception_score"]["pred_answer"], row["videomme_perception_score"]["score"]) for row in rows
    ]
    letters = [extract_answer(row["filtered_resps"], split_question(row["input"])[1]) for row in rows]
    assert theirs == [(letter, float(letter == row["target"])) for letter, row in zip(letters, rows, strict=True)]
    results = json.loads((FOLDER / "samples" / "lmms_results.json").read_text())["results"]["videoniah_videomme"]
    assert results["videomme_perception_score,none"] == pytest.approx(
        100 * sum(score for _, score in theirs) / len(rows)
    )
    assert any(score for _, score in theirs)  # passed on in an option's words, every score was 0
