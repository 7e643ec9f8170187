"""Steps run in their order within a time, each outcome is written at once, and the same command goes on."""

import json

from niah.tools.gpu import Step, plan_steps, run_steps

SAY = "import sys; sys.stdout.write('said')"


def outcomes(steps, file, seconds=600.0):
    return [(outcome.step, outcome.status) for outcome in run_steps(steps, file, seconds)]


def test_faults_come_first_then_short_videos_of_every_model_then_long_ones_and_training_last(tmp_path):
    names = [step.name for step in plan_steps(["one", "two"], "7b", tmp_path)]
    assert names == [
        "faults of the device", "one at 64,1024 frames", "two at 64,1024 frames",
        "one at 10000 frames", "one beside a source that sleeps", "two at 10000 frames", "training of a micro model",
    ]  # fmt: skip


def test_a_step_that_is_done_is_not_repeated_and_one_that_failed_is(tmp_path):
    file = tmp_path / "steps.jsonl"
    steps = [Step("good", ("-c", SAY)), Step("bad", ("-c", "raise SystemExit('broken')"))]
    assert outcomes(steps, file) == [("good", "done"), ("bad", "failed")]
    assert outcomes(steps, file) == [("bad", "failed")]
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert [row["detail"].strip() for row in rows] == ["said", "broken", "broken"]


def test_what_time_does_not_allow_is_left_out_and_named(tmp_path):
    steps = [Step("slow", ("-c", "import time; time.sleep(60)")), Step("next", ("-c", SAY))]
    assert outcomes(steps, tmp_path / "steps.jsonl", 5.5) == [("slow", "left out"), ("next", "left out")]


def test_outcomes_are_written_as_they_come(tmp_path):
    file = tmp_path / "steps.jsonl"
    steps = run_steps([Step("first", ("-c", SAY)), Step("second", ("-c", SAY))], file, 600.0)
    next(steps)
    assert json.loads(file.read_text())["step"] == "first"
