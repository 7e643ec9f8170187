"""What docs/benchmarks.md tells people to do, done."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from niah.integrations.benchmarks.documents import BenchmarkSettings
from niah.integrations.benchmarks.vniah import Grid

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
COMMANDS = re.search(r"^```\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE).group(1).splitlines()


@pytest.mark.slow
def test_commands_of_the_page_run_as_printed(tmp_path):
    around = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    assert [shlex.split(command)[0] for command in COMMANDS] == ["niah"] * 3
    for command in COMMANDS:
        run = [sys.executable, "-m", *shlex.split(command)]
        told = subprocess.run(run, cwd=tmp_path, env=around, capture_output=True, text=True, timeout=900)
        assert told.returncode == 0, told.stderr[-3000:]
    row = next(line for line in told.stdout.splitlines() if line.startswith("| vilamp (here) |"))
    assert row.count("(a run of 12 of 2,700 questions)") == 4


def test_every_setting_is_on_the_page():
    fields = [*BenchmarkSettings.__dataclass_fields__, *Grid.__dataclass_fields__]
    assert [name for name in fields if f"`{name}`" not in PAGE] == []


def test_every_link_of_the_page_exists():
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", PAGE)
    assert targets and all((ROOT / "docs" / target).exists() for target in targets)
