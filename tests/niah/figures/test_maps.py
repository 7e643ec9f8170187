"""Figure 2: every model on every suite, gated, drawn twice from one table."""

import csv
import dataclasses

import pytest

from niah.cli.plugins import traced_files
from niah.figures.paper.maps import map_panels
from niah.types import UserError
from tests.helpers.commands import paper
from tests.helpers.fake_runs import make_case, make_record, write_right, write_run


@pytest.fixture
def folders(tmp_path):
    made = [write_right(tmp_path / "both", "both", "full", {"digit": 5, "motion": 1})]
    made += [write_right(tmp_path / "half", "half", "full", {"digit": 4, "motion": 1})]
    made += [write_right(tmp_path / "gate-both", "both", "needle_only", {"digit": 9, "motion": 10})]
    made += [write_right(tmp_path / "gate-half", "half", "needle_only", {"digit": 10, "motion": 8})]
    made += [write_right(tmp_path / "gate-none", "none", "needle_only", {"digit": 8, "motion": 8})]
    return made


def test_a_model_that_reads_nothing_has_an_empty_panel_without_having_been_asked(folders):
    ((both, half, none),) = map_panels(folders)
    assert [panel.model for panel in (both, half, none)] == ["both", "half", "none"]
    assert sum(cell.n or 0 for cell in both.cells) == 20
    assert sum(cell.n or 0 for cell in half.cells) == 10
    assert {cell.status for cell in none.cells} == {"unread"}
    assert none.note == "not read, left out: digit 80%, motion 80% of clips alone"
    assert len(none.cells) == len(both.cells) == 80


def test_figure_2_shows_one_kind_of_question(folders, tmp_path, capsys):
    single = [make_case(f"n{n}", type="digit") for n in range(4)]
    when = [dataclasses.replace(case, id=f"{case.id}.when", kind="when") for case in single]
    records = [make_record(case, "B") for case in single] + [make_record(case, "A") for case in when]
    run = write_run(tmp_path / "kinds", [*single, *when], records, model="both")
    for kind, accuracy in (("single", 1.0), ("when", 0.0)):
        ((both, *_),) = map_panels([run, *folders[2:3]], kind)
        (whole,) = (cell for cell in both.margins if cell.length == cell.depth == "all")
        assert (both.model, whole.n, whole.accuracy) == (f"both ({kind})", 4, accuracy)
    assert paper(["figure2", str(run), *map(str, folders[2:3]), "--kind", "first", "-o", str(tmp_path)]) == 2
    assert "asks no question of kind first, but single, when" in capsys.readouterr().err


def test_margins_are_the_means_over_depths_and_lengths_with_intervals(folders):
    ((both, half, _),) = map_panels(folders)
    assert len(both.margins) == 16 + 5 + 1
    (whole,) = (cell for cell in both.margins if cell.length == cell.depth == "all")
    assert (whole.n, whole.accuracy) == (20, 0.3)
    assert whole.low < 0.3 < whole.high
    (whole,) = (cell for cell in half.margins if cell.length == cell.depth == "all")
    assert (whole.n, whole.accuracy) == (10, 0.4)  # digits alone
    of_columns = [cell.n for cell in both.margins if cell.depth == "all" and cell.length != "all" and cell.n]
    assert sum(of_columns) == 20


def test_the_command_draws_both_styles_and_one_table(folders, tmp_path):
    assert paper(["figure2", *map(str, folders), "-o", str(tmp_path / "out")]) == 0
    tables = []
    for name in ("figure2", "figure2-paper"):
        assert (tmp_path / "out" / f"{name}.png").stat().st_size > 10_000
        with (tmp_path / "out" / f"{name}.csv").open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    assert tables[0] == tables[1]
    assert len(tables[0]) == 3 * 80 + 2 * 22


def test_what_cannot_be_drawn_is_refused_with_what_to_do(folders, tmp_path):
    with pytest.raises(UserError, match="got 2 of the first and 0 of the second"):
        map_panels(folders[:2])
    with pytest.raises(UserError, match=r"no gate for both; there is one for half"):
        map_panels([folders[0], folders[3]])
    short = [make_case("n0", length=100)]
    run = write_run(tmp_path / "short", short, [make_record(case, "B") for case in short], model="both")
    with pytest.raises(UserError, match="no run of suite .* has a full case of the 2K to 10K frames"):
        map_panels([run, folders[2]])


def test_a_model_that_reads_clips_and_was_not_asked_has_an_empty_panel_that_says_so(folders, tmp_path):
    write_right(tmp_path / "gate-new", "new", "needle_only", {"digit": 10, "motion": 8})
    ((*_, new),) = map_panels([*folders, tmp_path / "gate-new"])
    assert {cell.status for cell in new.cells} == {"missing"}
    assert new.note == "not read, left out: motion 80% of clips alone; not asked"


def test_a_run_of_the_types_that_a_model_reads_says_what_it_leaves_out(folders, tmp_path):
    asked = write_right(tmp_path / "digits", "half", "full", {"digit": 4})
    ((_, half, _),) = map_panels([folders[0], asked, *folders[2:]])
    assert sum(cell.n or 0 for cell in half.cells) == 10
    assert half.note == "not read, left out: motion 80% of clips alone"


def test_several_figures_in_one_command(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no checkout: no runs of figure 2
    assert paper(["figure1", "figure2", "-o", "out"]) == 2
    assert (tmp_path / "out" / "figure1.png").exists()
    assert "figure2 is drawn from RUNs: name them, or go to a checkout" in capsys.readouterr().err
    assert paper(["figur1"]) == 2
    assert "Did you mean 'figure1'?" in capsys.readouterr().err


def test_runs_named_for_figure1_get_a_figure_of_their_own_without_times(tmp_path):
    case = make_case("one", "full", length=2000)
    measured = {
        "peak_reserved_bytes": None,
        "peak_host_bytes": 2**30,
        "seconds_to_first_token": 3.0,
        "reused_frames": 0,
        "cold": True,
    }
    run = write_run(tmp_path / "run", [case], [make_record(case, "B", measured=measured)], model="small")
    (traced,) = traced_files("llama_vid")
    assert paper(["figure1", str(traced), str(run), "-o", str(tmp_path / "out")]) == 0
    with (tmp_path / "out" / "figure1-runs.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["model"], row["frames"], row["memory"]) == ("small", "2000", "peak_host_bytes")
    assert float(row["peak_bytes"]) == 2**30 and row["seconds_to_first_token"] == ""
    assert "small" not in (tmp_path / "out" / "figure1.csv").read_text()
