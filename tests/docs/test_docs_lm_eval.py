"""What docs/lm_eval.md tells people to do, done."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from niah.integrations.lm_eval.cli import TASKS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "lm_eval.md").read_text(encoding="utf-8")


def blocks(language):
    """Return the code blocks of a language, as printed."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [block for kind, block in fenced if kind == language]


COMMANDS = [line for block in blocks("") for line in block.splitlines()]


def done(folder, *arguments):
    """Run Python in a folder; return what it printed."""
    around = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    run = [sys.executable, *arguments]
    told = subprocess.run(run, cwd=folder, env=around, capture_output=True, text=True, timeout=600)
    assert told.returncode == 0, told.stderr[-3000:]
    return told.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_command_of_the_page_runs_as_printed(tmp_path, command):
    words = shlex.split(command)
    assert words[:2] == ["niah", "lm_eval"]
    assert re.search(r"\|acc +\|↑ ", done(tmp_path, "-m", *words))
    if "--log_samples" in words:
        (results,) = (tmp_path / "out").rglob("results_*.json")
        assert json.loads(results.read_text())["config"]["videoniah"]["adapter"] == "vilamp"
        (samples,) = (tmp_path / "out").rglob("samples_videoniah_smoke_*.jsonl")
        assert len(samples.read_text().splitlines()) == 52


@pytest.mark.slow
def test_python_of_the_page_runs_as_printed(tmp_path):
    (code,) = blocks("python")
    (tmp_path / "evaluate.py").write_text(code, encoding="utf-8")
    assert "'acc,none'" in done(tmp_path, "evaluate.py")


def test_tasks_of_the_page_exist():
    named = {re.search(r"--tasks (\S+)", command).group(1) for command in COMMANDS}
    assert len(COMMANDS) == 3
    assert all((TASKS[0] / f"{name}.yaml").is_file() for name in named)


def test_every_link_of_the_page_exists():
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", PAGE)
    assert targets and all((ROOT / "docs" / target).exists() for target in targets)
