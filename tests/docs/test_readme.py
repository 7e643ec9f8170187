"""What the README tells people to do, done."""

import csv
import dataclasses
import functools
import json
import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from niah.analysis.load import read_run
from niah.analysis.table import table_rows
from niah.media.writer import write_mp4
from niah.suite.config import Footage, Haystacks, Needles, Suite
from niah.types import Sampling

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(language, under):
    """Return the first code block of a language under a heading."""
    section = README.split(f"## {under}\n", 1)[1].split("\n## ", 1)[0]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL).group(1)


def ran(folder, *arguments):
    """Run a module in `folder`, as somebody would who had just saved a file there; return its output."""
    paths = os.pathsep.join([str(folder), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_model_of_ten_lines_runs_as_printed(tmp_path):
    (tmp_path / "mymodel.py").write_text(block("python", "Your own model"), encoding="utf-8")
    command = re.search(r"run `(niah run --model mymodel:load[^`]*)`", README).group(1).split()
    ran(tmp_path, *command)
    folder = next((tmp_path / "runs").iterdir())
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    assert len(records) == 52  # 24 full, 16 blind, 4 no_needle, 4 swapped, 4 needle_only
    assert {record["reply"] for record in records} == {"A"}


@pytest.mark.slow
def test_own_videos_run_from_the_five_lines_printed(tmp_path):
    draw = np.random.default_rng(0)
    (tmp_path / "path/to/long/videos").mkdir(parents=True)
    (tmp_path / "clips").mkdir()
    tiles = draw.integers(0, 255, (45, 8, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    for way, name in enumerate(("one", "two")):
        frames = (np.roll(tiles[n // 50], n % 50, axis=way) for n in range(2050))
        write_mp4(tmp_path / f"path/to/long/videos/{name}.mp4", frames, Fraction(1))
    write_mp4(tmp_path / "clips/dog.mp4", (np.flip(tile, 0) for tile in tiles[:12]), Fraction(1))
    (tmp_path / "needles.jsonl").write_text(block("json", "Your own videos"), encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(block("yaml", "Your own videos"), encoding="utf-8")
    ran(tmp_path, "niah", "run", "--model", "chance", "--suite", "mine.yaml", "--no_figures")
    table = (tmp_path / "runs/mine-chance/table.csv").read_text()
    assert "needle_only" in table


def test_every_link_and_picture_of_the_readme_exists():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_readme_is_short_and_its_first_command_comes_early():
    lines = README.splitlines()
    assert len(lines) <= 150
    assert any(line.startswith("make run") for line in lines[:25])


def test_every_key_of_a_suite_is_explained_with_its_default():
    page = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")
    table = page.split("## Keys\n", 1)[1].split("\n## ", 1)[0]
    explained = {}
    for line in table.splitlines()[3:]:
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        explained.update(dict.fromkeys(re.findall(r"`([a-z_.]+)`", cells[0]), cells[1]))
    parts = {"sampling": Sampling, "footage": Footage, "haystacks": Haystacks, "needles": Needles}
    keys = {field.name for field in dataclasses.fields(Suite)} - set(parts)
    keys |= {f"{part}.{field.name}" for part, cls in parts.items() for field in dataclasses.fields(cls)}
    assert set(explained) == keys
    for key, default in explained.items():
        part, _, name = key.rpartition(".")
        fields = {field.name: field.default for field in dataclasses.fields(parts.get(part, Suite))}
        value = fields[name]
        if (
            isinstance(value, (int, str))
            and not isinstance(value, bool)
            and default.startswith("`")
            and "split" not in default
        ):
            assert str(value) in default, key


def test_the_numbers_of_the_readme_are_those_of_the_runs_it_names():
    told = re.findall(r"^\| `(\w+)` \| ([\d.]+) % \| ([\d.]+) % \| ([^|]+) \| ([^|]+) \|", README, re.MULTILINE)
    assert len(told) == 5
    for model, *shares, motion, digit in told:
        alone = rows_of(f"results/gate/{model}", "needle_only")
        assert shares == [f"{100 * alone[kind].accuracy:.1f}" for kind in ("motion", "digit")], model
        for kind, share, cell in zip(("motion", "digit"), shares, (motion, digit), strict=True):
            if float(share) < 90:
                assert cell == "not read", model
                continue
            row = rows_of(f"results/paper/{model}", "full")[kind]
            value, low, high = (f"{100 * one:.1f}" for one in (row.accuracy, row.cluster_low, row.cluster_high))
            assert (cell, row.n) == (f"{value} % ({low} to {high})", 600), model


def test_the_picture_of_the_readme_is_drawn_from_the_runs_it_names():
    with (ROOT / "results" / "figures" / "paper" / "figure2.csv").open(newline="") as file:
        whole = [
            row
            for row in csv.DictReader(file)
            if (row["suite"], row["length"], row["depth"]) == ("paper", "all", "all")
        ]
    drawn = {row["model"]: (int(row["n"]), int(row["correct"])) for row in whole}
    assert set(drawn) == {folder.name for folder in (ROOT / "results" / "paper").iterdir()}
    for model, told in drawn.items():
        read = {kind for kind, row in rows_of(f"results/gate/{model}", "needle_only").items() if row.accuracy >= 0.9}
        rows = [row for kind, row in rows_of(f"results/paper/{model}", "full").items() if kind in read - {"all"}]
        assert told == (sum(row.n for row in rows), sum(row.correct for row in rows)), model


@functools.cache
def rows_of(folder, condition):
    """Return the rows of a run over all lengths and depths, by type of question."""
    rows = table_rows([read_run(ROOT / folder)])
    return {row.type: row for row in rows if (row.condition, row.length, row.depth) == (condition, "all", "all")}
