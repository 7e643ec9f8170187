"""Every command teaches: its --help shows how it is called."""

import ast
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
INTERNAL = {
    "niah.run.worker",
    "niah.suite.downloads",
    "niah.tools.doctor.probe",
}  # started by others, by their own words


def commands(*folders):
    """Return every module that can be run, by name."""
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    runnable = [path for path in files if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__") for path in runnable]
    return [name for name in names if name not in INTERNAL]


def shown(name, told):
    """Tell whether a help text has a line that calls the command, besides its usage line."""
    return any(f"python -m {name}" in line and not line.startswith("usage:") for line in told.splitlines())


@pytest.mark.parametrize("name", commands("niah"))
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_help_of_the_benchmark_shows_how_a_command_is_called(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(name, run_name="__main__")
    assert ended.value.code in (0, None)
    assert shown(name, capsys.readouterr().out)


@pytest.mark.parametrize("name", commands("vilamp", "baselines"))
def test_help_of_a_model_s_command_is_the_text_that_shows_how_it_is_called(name):
    """Read, not run: each would load torch. The text at the head of the file is what its --help prints."""
    place = ROOT / Path(*name.split("."))
    file = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
    code = ast.parse(file.read_text(encoding="utf-8"))
    assert f"python -m {name} " in (ast.get_docstring(code) or "").replace("`", " ")
    assert "__doc__" in {node.id for node in ast.walk(code) if isinstance(node, ast.Name)}
