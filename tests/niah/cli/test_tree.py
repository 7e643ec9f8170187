"""One command line: which command words name, how flags are spelled, and what old names do."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from niah.cli import parity, tree

ROOT = Path(__file__).resolve().parents[3]
TINY = str(ROOT / "tests" / "reference" / "vilamp" / "tiny")


def niah(*words, code=""):
    """Run Python in a process of its own."""
    command = [sys.executable, *(("-c", code) if code else ("-m", *words))]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "words, name, rest",
    [
        (["table", "x"], "table", ["x"]),
        (["lm-eval", "ls", "tasks"], "lm_eval", ["ls", "tasks"]),
        (["bench", "media", "x"], "bench_media", ["x"]),
        (["bench-media", "x"], "bench_media", ["x"]),
        (["bench", "vilamp"], "bench", ["vilamp"]),
        (["probe", "train"], "probe_train", []),
    ],
)
def test_words_name_a_command(words, name, rest):
    assert tree._split(words) == (name, rest)


def test_an_unknown_command_is_answered_with_the_one_that_may_be_meant(capsys):
    assert tree.main(["figurs"]) == 2
    assert "no command is called 'figurs'. Did you mean 'figures'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "given, read",
    [
        ("--model-args", "--model_args"),
        ("--model-args=a-b=c-d", "--model_args=a-b=c-d"),
        ("-o", "-o"),
        ("a--b", "a--b"),
    ],
)
def test_hyphens_in_long_flags_are_underscores(given, read):
    assert tree._underscored(given) == read


def test_words_after_two_hyphens_are_left_as_they_are():
    options = tree._parse("table", tree.load("table"), ["--", "--some-run"])
    assert [str(run) for run in options.runs] == ["--some-run"]


@pytest.mark.parametrize(
    "words, said",
    [
        (["run", "--dry"], "niah run has no flag --dry. Did you mean --dry_run? All flags: niah run --help"),
        (
            ["run", "--modle", "vilamp"],
            "niah run has no flag --modle. Did you mean --model? All flags: niah run --help",
        ),
        (
            ["table", "--score-bi=sum"],
            "niah table has no flag --score_bi. Did you mean --score_by? All flags: niah table --help",
        ),
        (["compare"], "the following arguments are required: RUN. All flags: niah compare --help"),
        (["run", "--limit", "few"], "argument --limit: invalid float value: 'few'. All flags: niah run --help"),
    ],
)
def test_a_mistake_in_the_flags_is_one_line_that_names_the_flag_that_was_meant(words, said, capsys):
    assert tree.main(words) == 2
    assert capsys.readouterr() == ("", f"error: {said}\n")


def test_a_missing_extra_is_named_before_any_work(monkeypatch, capsys):
    monkeypatch.setattr("niah.extras.find_spec", lambda package: None)
    assert tree.main(["lm_eval", "--tasks", "videoniah_smoke"]) == 2
    assert "pip install 'videoniah[lm-eval]'" in capsys.readouterr().err


def test_a_flag_that_a_model_does_not_take_is_refused(capsys):
    assert tree.main(["parity", "video_xl", TINY, "--tolerance", "1"]) == 2
    assert "video_xl takes no --tolerance" in capsys.readouterr().err


def test_every_model_with_recorded_numbers_has_one_command():
    assert parity.names(parity.GROUP) == ["llama_vid", "video_xl", "videochat_flash", "vilamp"]


def old_names():
    """Return every call of forward, with the file it stands in."""
    files = [file for folder in ("niah", "vilamp", "baselines") for file in sorted((ROOT / folder).rglob("*.py"))]
    calls = [
        (file, re.findall(r'^    +forward\("([^"]+)"\)', file.read_text(encoding="utf-8"), re.M)) for file in files
    ]
    return [pytest.param(name, id=f"{file.relative_to(ROOT)}: {name}") for file, names in calls for name in names]


@pytest.mark.parametrize("name", old_names())
def test_an_old_name_stands_for_a_command(name):
    command, *model = name.split()
    assert command in tree.names()
    assert model in ([], ["vilamp"])


def test_there_is_an_old_name_for_every_command_there_was():
    assert len(old_names()) == 28


@pytest.mark.parametrize("module, name", [("niah.table", "table"), ("niah.media.bench", "bench_media")])
def test_an_old_name_says_what_to_type_and_does_it(module, name):
    done = niah(module, "--help")
    assert done.stderr == f"this name will be removed; type: niah {name}\n"
    assert done.returncode == 0 and f"usage: niah {name}" in done.stdout


def test_rendering_was_a_part_of_generating():
    done = niah("niah.generate", "render", "--help")
    assert done.stderr == "this name will be removed; type: niah render\n"
    assert done.returncode == 0 and "usage: niah render" in done.stdout


def test_niah_run_stays_as_it_is(tmp_path):
    done = niah("niah.run", "--model", "chance", "--suite", "smoke", "--dry_run", "--output_path", str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


WITHOUT_EXTRAS = """
import importlib.util, sys
from importlib.abc import MetaPathFinder

ABSENT = {"lm_eval", "decord", "openai", "ray", "vl_convert", "pytest", "tensorboard", "wandb"}
find = importlib.util.find_spec

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
importlib.util.find_spec = lambda name, *package: None if name.partition(".")[0] in ABSENT else find(name, *package)
from niah.cli.tree import main
codes = [main(words) for words in WORDS]
assert not any(codes), codes
"""


def test_core_alone_runs_and_draws(tmp_path):
    """What no extra brings is not needed to list, ask, sum up and draw."""
    out = str(tmp_path / "run")
    words = [
        [],
        ["run", "--suite", "smoke", "--model", "chance", "--in_process", "--output_path", out],
        ["table", out],
        ["figures", out, "-o", str(tmp_path / "figures")],
    ]
    done = niah(code=WITHOUT_EXTRAS.replace("WORDS", json.dumps(words)))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figures" / "heatmap.png").is_file()
