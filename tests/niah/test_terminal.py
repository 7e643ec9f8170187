"""Names, replies and settings of strangers never steer the terminal, and never run in a spreadsheet."""

import ast
import csv
import io
from pathlib import Path

import pytest

from niah.analysis.csv_text import csv_text
from niah.run.progress import Progress
from niah.terminal import print_traceback, to_stderr, to_stdout
from niah.types import UserError
from tests.helpers.commands import compare, cost, figures, report, table
from tests.helpers.fake_runs import make_case, make_record, write_run

ROOT = Path(__file__).resolve().parents[2]
PROTOCOLS = {  # lines of JSON for the process that started them, not for a terminal
    "niah/media/scan_apart.py", "niah/suite/downloads.py", "niah/run/identity.py", "niah/tools/doctor/probe.py",
}  # fmt: skip
ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"  # a title, a cleared screen, a colour in one byte, a turned line


@pytest.mark.parametrize("write, stream", [(to_stdout, "out"), (to_stderr, "err")])
def test_what_a_terminal_obeys_is_shown_and_layout_is_kept(capsys, write, stream):
    write("a\tb\n" + ESCAPE + "\r\udcff é 漢字 می\u200cشود\n")
    written = getattr(capsys.readouterr(), stream)
    assert written == "a\tb\n\\x1b]0;owned\\x07\\x1b[2J\\x9b31m\\u202e\\r\\udcff é 漢字 می\u200cشود\n"


def test_an_error_that_nobody_caught_is_printed_so(capsys):
    print_traceback(UserError, UserError(f"bad {ESCAPE}"), None)
    assert capsys.readouterr().err == "niah.types.UserError: bad " + repr(ESCAPE)[1:-1] + "\n"


@pytest.fixture
def run(tmp_path):
    """A run whose names, types, replies and settings hold escapes."""
    cases = [
        make_case(f"n{number}{ESCAPE}", condition, type=f"kind{ESCAPE}", needle_source=f"film{ESCAPE}")
        for number in range(2)
        for condition in ("full", "no_needle", "blind")
    ]
    records = [make_record(case, f"B{ESCAPE}", settings={"a": ESCAPE}) for case in cases[1:]]
    records.append(make_record(cases[0], status="error", detail=f"broke {ESCAPE}"))
    return write_run(tmp_path / f"run{ESCAPE}", cases, records, model=f"model{ESCAPE}", x=ESCAPE)


def test_no_command_over_such_a_run_lets_an_escape_out(run, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    table([str(run)])
    figures([str(run), "-o", str(out)])
    report([str(run), "-o", str(out / "page.html")])
    compare([str(run), str(run)])
    cost([str(run)])
    table([str(tmp_path / f"missing{ESCAPE}")])
    said = "".join(capsys.readouterr())
    assert "model\\x1b]0;owned" in said and "missing\\x1b" in said
    assert [one for one in said if not one.isprintable() and one not in "\n\t"] == []


def test_a_failure_is_shown_beside_the_bar_without_escapes(capsys, tmp_path):
    case = make_case("n0")

    class Plan:
        ordered, cold = (case,), frozenset()
        generated = type("Generated", (), {"suite": type("Suite", (), {"score_by": None})})

    with Progress(Plan, [], model=f"m{ESCAPE}") as progress:
        progress.add(case, make_record(case, status="error", detail=f"broke {ESCAPE}\nhere"))
    said = capsys.readouterr().err
    assert "broke \\x1b]0;owned" in said and "asking m\\x1b" in said
    assert "\x1b]" not in said and "\x9b" not in said


def test_all_text_goes_out_through_one_module():
    """A write around `niah.terminal` would be one that nobody checked."""
    around = []
    for part in ("niah", "baselines", "vilamp"):
        for path in (ROOT / part).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                    "print",
                    "sys.stdout.write",
                    "sys.stderr.write",
                ):
                    around.append(name)
                if isinstance(node, ast.Call) and ast.unparse(node.func) in ("tqdm.write", "self._bar.write"):
                    around += [name] * ("printable" not in ast.unparse(node.args[0]))
                if isinstance(node, ast.Attribute) and node.attr == "to_csv" and name.startswith("niah/"):
                    around.append(f"{name}: to_csv, where csv_text quotes formulas")
    assert sorted(set(around) - PROTOCOLS) == ["niah/terminal.py"]


def test_a_cell_that_begins_a_formula_is_quoted_and_numbers_stay_numbers():
    formulas = ["=HYPERLINK(1)", "+1+2", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "＝1"]
    mixed = ["-1.5", -2, "+3e4", "plain", None, "a=b", 0]
    rows = [{"name": name, "number": -1.5, "mixed": cell} for name, cell in zip(formulas, mixed, strict=True)]
    written = list(csv.DictReader(io.StringIO(csv_text(rows), newline="")))
    assert [row["name"] for row in written] == [
        "'=HYPERLINK(1)", "'+1+2", "'-2+3", "'@SUM(A1)", "\\t=1", "\\r=1", "'＝1",
    ]  # fmt: skip
    assert [row["number"] for row in written] == ["-1.5"] * 7
    assert [row["mixed"] for row in written] == ["-1.5", "-2", "+3e4", "plain", "", "a=b", "0"]


def test_a_table_and_a_figure_of_such_a_model_hold_no_formula(tmp_path):
    case = make_case("n0", type="@SUM(A1)")
    folder = write_run(tmp_path / "run", [case], [make_record(case)], model="=HYPERLINK(1)")
    assert table([str(folder)]) == figures([str(folder), "-o", str(folder)]) == 0
    for name in ("table.csv", "heatmap.csv"):
        with open(folder / name, newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert any(cell.startswith("'=HYPERLINK") for cell in cells), name
        assert [cell for cell in cells if cell[:1] in "=+@" and cell] == []
