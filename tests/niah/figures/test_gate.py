"""A heatmap shows only what a model reads where the clip is all it sees."""

import csv
import dataclasses

import pytest

from niah.analysis.load import read_run
from niah.figures.cells import heatmap_panels
from niah.figures.gate import clips_read, failed_types, readable_part
from niah.types import UserError
from tests.helpers.commands import figures
from tests.helpers.fake_runs import make_case, make_record, write_right, write_run


@pytest.fixture
def gates(tmp_path):
    write_right(tmp_path / "gate-both", "both", "needle_only", {"digit": 9, "motion": 10})
    write_right(tmp_path / "gate-half", "half", "needle_only", {"digit": 10, "motion": 8})
    write_right(tmp_path / "gate-none", "none", "needle_only", {"digit": 8, "motion": 8})
    return [tmp_path / f"gate-{name}" for name in ("both", "half", "none")]


@pytest.fixture
def runs(tmp_path):
    return [write_right(tmp_path / name, name, "full", {"digit": 5, "motion": 1}) for name in ("both", "half", "none")]


def test_types_below_nine_in_ten_are_left_out_and_named(gates, runs):
    read = clips_read([read_run(gate) for gate in gates])
    assert read["both"] == {"digit": 0.9, "motion": 1.0}
    parts = [readable_part(read_run(run), read) for run in runs]
    assert [sorted({case.type for case in part.cases}) for part, _ in parts] == [["digit", "motion"], ["digit"], []]
    assert [note for _, note in parts] == [
        "",
        "not read, left out: motion 80% of clips alone",
        "not read, left out: digit 80%, motion 80% of clips alone",
    ]


def test_panels_count_what_is_read_and_colour_nothing_else(gates, runs):
    read = clips_read([read_run(gate) for gate in gates])
    both, half, none = heatmap_panels([read_run(run) for run in runs], "default", "full", read)
    assert [(cell.n, cell.accuracy) for cell in both.cells] == [(20, 0.3)]
    assert [(cell.n, cell.accuracy) for cell in half.cells] == [(10, 0.5)]
    assert [(cell.status, cell.n, cell.accuracy) for cell in none.cells] == [("unread", None, None)]


def test_unparsed_replies_count_as_not_read(tmp_path):
    cases = [make_case(f"n{n}", "needle_only", type="digit") for n in range(10)]
    records = [make_record(case, "B" if n < 9 else "who knows") for n, case in enumerate(cases)]
    assert clips_read([read_run(write_run(tmp_path / "gate", cases, records))]) == {"fake": {"digit": 0.9}}


def test_a_question_about_two_clips_is_read_where_both_their_types_are(tmp_path):
    own = [make_case(f"n{n}", "needle_only", type=kind) for n in range(10) for kind in ("digit", "motion")]
    own = [dataclasses.replace(case, id=f"{case.id}.{case.type}") for case in own]
    other = [dataclasses.replace(case, id=f"{case.id}.when", kind="when") for case in own]  # says nothing about reading
    records = [make_record(case, "B" if case.type == "digit" else "A") for case in own]
    records += [make_record(case, "A") for case in other]
    read = clips_read([read_run(write_run(tmp_path / "gate", [*own, *other], records))])
    assert read == {"fake": {"digit": 1.0, "motion": 0.0}}
    types = ["digit", "digit, digit", "digit, motion", "digit, same target", "motion, same target", "colour"]
    assert failed_types(read["fake"], types) == (
        ["digit, motion", "motion, same target", "colour"],
        "not read, left out: motion 0%, colour not asked of clips alone",
    )


@pytest.mark.parametrize("style", ["default", "paper"])
def test_the_command_draws_empty_panels_and_writes_why(gates, runs, tmp_path, style):
    words = [*map(str, runs), "--style", style, "-o", str(tmp_path / "out"), "--gate", *map(str, gates)]
    assert figures(words) == 0
    name = "heatmap-paper" if style == "paper" else "heatmap"
    with (tmp_path / "out" / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["status"] for row in rows if row["model"] == "none"} == {"unread"}
    assert "ok" in {row["status"] for row in rows if row["model"] == "half"}
    assert (tmp_path / "out" / f"{name}.png").stat().st_size > 10_000


def test_a_model_without_a_gate_and_a_gate_without_answers_are_refused(gates, runs, tmp_path, capsys):
    assert figures([str(runs[0]), "-o", str(tmp_path / "out"), "--gate", str(gates[1])]) == 2
    assert "no gate for both; there is one for half. Ask it the suite gate" in capsys.readouterr().err
    with pytest.raises(UserError, match="no answered case of condition needle_only"):
        clips_read([read_run(runs[0])])
