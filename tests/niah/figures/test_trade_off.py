"""Accuracy over cost: a point for each run, from a sweep or from runs that are named."""

import csv

import pytest
from matplotlib.figure import Figure

from niah.analysis.load import read_run
from niah.figures.trade_off import _set_scale, draw_trade_off, trade_off_points
from niah.run.config import RunConfig
from niah.run.sweep import parse_sweep, sweep_runs
from niah.types import UserError
from tests.helpers.commands import figures, run
from tests.helpers.fake_runs import make_case, make_record, write_run
from tests.helpers.small_suite import make_suite

CASES = [make_case(f"n{number}") for number in range(4)]


def made(folder, right, tokens, seconds, **settings):
    """A run in which so many of four answers are right, each of so many tokens and seconds."""
    records = [
        make_record(
            case, "B" if number < right else "A", language_tokens=tokens, frames_used=tokens // 8,
            measured={"file_to_answer_seconds": seconds},
        )
        for number, case in enumerate(CASES)
    ]  # fmt: skip
    return write_run(folder, CASES, records, **settings)


def test_runs_are_points_named_by_the_settings_they_differ_in(tmp_path, capsys):
    folders = [
        made(tmp_path / "few", 1, 80, 2.0, pretrained="m", max_frames=10),
        made(tmp_path / "many", 3, 800, 9.0, pretrained="m", max_frames=100),
    ]
    assert figures([*map(str, folders), "--trade_off", "-o", str(tmp_path / "out")]) == 0
    with open(tmp_path / "out/trade_off.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    kept = ("label", "accuracy", "frames", "tokens", "seconds")
    assert [[row[name] for name in kept] for row in rows] == [
        ["max_frames=10", "0.25", "10", "80", "2"],
        ["max_frames=100", "0.75", "100", "800", "9"],
    ]


@pytest.mark.parametrize(
    "costs, ticks",
    [([130, 980], ["100", "200", "500", "1,000"]), ([20], ["20", "50"]), ([0.7, 3000], None)],
)
def test_costs_lie_between_round_numbers(costs, ticks):
    axes = Figure().subplots()
    _set_scale(axes, costs)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == (ticks or ["0.5", "1", "2", "5", "10", "20", "50", "100", "200", "500", "1,000", "2,000", "5,000"])


def test_what_was_not_reported_is_not_drawn(tmp_path):
    records = [make_record(case) for case in CASES]
    silent = read_run(write_run(tmp_path / "run", CASES, records))
    (point,) = trade_off_points([silent])
    assert (point.tokens, point.seconds) == (None, None)
    assert draw_trade_off([silent], tmp_path) == []


def test_a_sweep_is_a_run_for_each_combination():
    config = RunConfig(model_args={"pretrained": "m", "fps": 2}, output_path="out")
    runs = list(sweep_runs(config, parse_sweep("max_frames=8/16,fps=0.5/1")))
    assert [(one.output_path, one.model_args) for one in runs][1:3] == [
        ("out/max_frames-8-fps-1", {"pretrained": "m", "fps": 1, "max_frames": 8}),
        ("out/max_frames-16-fps-0.5", {"pretrained": "m", "fps": 0.5, "max_frames": 16}),
    ]


@pytest.mark.parametrize("text", ["max_frames", "max_frames=", "max_frames=8/", "rope.factor=2/4", ""])
def test_a_sweep_that_names_no_values_is_refused(text):
    with pytest.raises(UserError, match="a sweep is written"):
        parse_sweep(text)


def test_a_sweep_from_the_command_line_asks_and_draws(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    suite, out = make_suite(tmp_path), tmp_path / "out"
    flags = ["--suite", str(suite), "--output_path", str(out), "--in_process", "--conditions", "full"]
    assert run(["--model", "seeker", "--sweep", "frames=2/8", *flags]) == 0
    assert (out / "trade_off.png").is_file()
    assert [path.name for path in sorted(out.iterdir()) if path.is_dir()] == ["frames-2", "frames-8"]
