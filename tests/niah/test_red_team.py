"""A run, a suite and a checkpoint of a stranger who means harm, and every command over them.

Nothing outside is written or asked, nothing steers the terminal, and nothing ends in a traceback or never.
"""

import contextlib
import json
import os
import shutil
import socket
import threading
from pathlib import Path

import pytest

from niah.cli import tree
from niah.exit_codes import INCOMPLETE
from niah.run.metadata import update_metadata
from tests.helpers.fake_runs import make_case, make_record, write_run
from tests.helpers.small_suite import make_suite

ESCAPE = "\x1b]0;owned\x07\x9b2J\u202e"
WRITTEN = (  # whatever a command may write into a run's folder
    "table.csv", "heatmap.png", "heatmap.svg", "heatmap.csv", "memory.png", "memory.svg", "memory.csv", "report.html",
    ".lock", "worker.log", "worker.log.1", "config.yaml", "figure6.png",
    "table3.csv", "README.md", "hashes.json", "LICENCES.md",
)  # fmt: skip
FOLDERS = ("tensorboard", "wandb", "data", "renders", "fake", "index", "footage")
DEEP = "[" * 100_000
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n" for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
)
BOMB = "name: [" + BOMB.replace("\n", ", ").replace("a: &a", "&a").rstrip(", ") + "]\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """The folder of the user, with what a stranger would like to read or to overwrite."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "inside").mkdir()
    for name in ("bashrc", "id_rsa", "inside/events.out.tfevents.1.mine"):
        (folder / name).write_text(f"of the user: {name}\n")
    return folder


@pytest.fixture(scope="module")
def listener():
    """A service on this machine that counts who connects to it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        met = []

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    met.append(server.accept()[1])

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], met
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def originals(tmp_path_factory, home, listener):
    """The malicious folders: runs, a suite, a suite file, checkpoints, footage, and files of other commands."""
    folder = tmp_path_factory.mktemp("stranger")
    address = f"http://127.0.0.1:{listener[0]}"
    suite = json.dumps(
        {
            "name": "fake", "lengths": [2000], "haystacks": {"folder": str(home)},
            "needles": {"dataset": f"{address}/needles.parquet", "media_root": str(home), "allow_outside": True,
                        "downloads": {"allow_private": True}},
        }
    )  # fmt: skip
    _run(folder / "run", home, suite)
    _run(folder / "other", home, suite, model="other")
    _shard(folder / "all-shard-1-of-1", home, suite)
    for name, part, content in (
        ("deep", "records.jsonl", DEEP + "\n"), ("deep_about", "run.json", DEEP), ("bomb", "suite.yaml", BOMB),
        ("long", "cases.jsonl", json.dumps(make_case("n0").to_json()).replace('"start": 0', f'"start": {10**400}')),
    ):  # fmt: skip
        _run(folder / name, home, suite)
        (folder / name / part).write_text(content)
    _run(folder / "pipe", home, suite)
    (folder / "pipe" / "records.jsonl").unlink()
    os.mkfifo(folder / "pipe" / "records.jsonl")
    _footage(folder / "footage")
    _suite(folder, home)
    make_suite(folder / "good")
    (folder / "suite.yaml").write_text(BOMB)
    _checkpoint(folder / "checkpoint", address)
    part = {"path": "../../x", "sha256": "0" * 64, "bytes": 1}
    listed = {"file": "../../bashrc", "sha256": "0" * 64, "bytes": 1, "licence": "x", "attribution": ESCAPE}
    row = {**listed, "repository": "a/b", "commit": "0" * 40, "parts": [part]}
    (folder / "list.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "traced.csv").write_text(f"model,size\n={ESCAPE},1\n")
    (folder / "results_1.json").write_text(DEEP)
    return folder


def _run(folder, home, suite, **more):
    """Write a run whose names steer terminals, and whose every other file is a link to the user's."""
    cases = [
        make_case(
            f"n{number}{ESCAPE}", condition, length, type=f"=HYPERLINK(1){ESCAPE}", options=("../a", ESCAPE, "c", "d")
        )
        for number in range(2)
        for condition, lengths in (("full", (2000, 4000)), ("needle_only", (2000,)), ("blind", (2000,)))
        for length in lengths
    ]
    measured = {"usage": {"model": f"gsk_{ESCAPE}", "usd": 1e17}, "seconds": {f"decode{ESCAPE}": 1.0}}
    measured["file_to_answer_seconds"] = 2.0
    records = [make_record(case, f"B {ESCAPE}", measured=measured, settings={ESCAPE: ESCAPE}) for case in cases]
    write_run(folder, cases, records, **{"model": f"../../fake{ESCAPE}", "suite": suite, "x": f"{ESCAPE}", **more})
    source = {"name": "h", "identity": ESCAPE, "path": str(home / "id_rsa"), "sha256": "0" * 64, "frames": 9000}
    (folder / "sources.jsonl").write_text(json.dumps({**source, "seconds": 9000.0}) + "\n")
    update_metadata(folder, {"suite": f"../fake{ESCAPE}", "versions": {"av": ESCAPE}, "git": {"commit": ESCAPE}})
    for name in WRITTEN:
        (folder / name).symlink_to(home / "bashrc")
    for name in FOLDERS:
        (folder / name).symlink_to(home / "inside")


def _shard(folder, home, suite):
    _run(folder, home, suite)
    about = json.loads((folder / "run.json").read_text())
    digest = about["decides"]["cases_sha256"]
    update_metadata(
        folder, {"shard": {"i": 1, "count": 1, "cases": 8, "cases_sha256": digest, "places": list(range(8))}}
    )


def _footage(folder):
    """Write what is no video and would be opened as one."""
    folder.mkdir()
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "list.mp4").write_text("ffconcat version 1.0\nfile pipe\n")
    (folder / f"{ESCAPE}.mkv").write_text("#EXTM3U\n#EXTINF:9,\npipe\n")
    (folder / "zero.mp4").symlink_to("/dev/zero")


def _suite(folder, home):
    """Write a suite whose sources lie where its writer has no business."""
    made = make_suite(folder / "small")
    rows = [json.loads(line) for line in (made / "sources.jsonl").read_text().splitlines()]
    for row, path in zip(rows, ("footage/pipe.mp4", "footage/list.mp4", "footage/zero.mp4", None, None), strict=True):
        row["path"] = str(home / "id_rsa") if path is None else str(folder / path)
    (made / "sources.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _checkpoint(folder, address):
    """Write a checkpoint whose files lead elsewhere, name code, or have no end."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "auto_map": {"AutoModel": "evil.Model"}}))
    (folder / "evil.py").write_text("raise SystemExit('the code of a checkpoint ran')\n")
    (folder / "config.yaml").write_text(BOMB)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../../id_rsa"}}))
    (folder / "tokenizer.json").write_text(DEEP)
    (folder / "words.txt").symlink_to("/dev/zero")
    (folder / "runs.json").write_text(DEEP)


ATTACKS = [  # the exit code and the words of a command, with @ in front of what lies in the stranger's folder
    (0, "table @run"), (2, "table @deep"), (2, "table @deep_about"), (2, "table @long"), (2, "table @pipe"),
    (2, "table @bomb"), (0, "figures @run"), (0, "report @run -o out.html"), (2, "report @run -o @run/report.html"),
    (0, "compare @run @other"), (0, "cost @run"), (2, "cost @pipe"), (2, "merge @all-shard-1-of-1"),
    (2, "merge @pipe -o out"), (1, "verify @run"), (1, "verify @small/suite"), (2, "verify @deep_about"),
    (0, "publish run @run -o out"), (2, "publish run @deep_about -o out"), (0, "publish suite @small/suite -o out"),
    (2, "track @run --to tensorboard"), (0, "track @run --to tensorboard -o out"), (2, "paper table3 @run"),
    (2, "paper figure3 @run"), (2, "generate @suite.yaml -o out"), (2, "generate @run/suite.yaml -o out"),
    (2, "run --model chance --suite @good/suite -o @run"), (2, "run --model chance --suite @run"),
    (3, "run --model chance --suite @small/suite --in_process -o out"), (2, "attention --model vilamp --suite @run"),
    (2, "run --model vilamp --suite @good/suite --in_process -o out --model_args pretrained=@checkpoint"),
    (2, "render n1.full.20.4 --suite @small/suite"), (2, "parity vilamp @checkpoint"), (2, "bench --draw @run"),
    (2, "fit --model x --frames 9 --memory 9 --traced @traced.csv"), (2, "bench_media @footage"),
    (2, "fetch @list.jsonl -o out --yes"), (2, "benchmarks table1 @results_1.json"), (0, "cache list"),
    (2, "export @small/suite -o out"),
    (2, "import @run --suite @good/suite -o out"),
    (0, "cache clean"),
]  # fmt: skip
# Ask a model or draw footage of their own, and read no folder that is given to them but those tried above.
WITHOUT = {"doctor", "gpu", "lm_eval"}


@pytest.fixture
def stranger(originals, tmp_path, monkeypatch):
    """A copy of the malicious folders, in a folder of one's own."""
    shutil.copytree(originals, tmp_path / "stranger", symlinks=True, copy_function=_copy)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "stranger" / "run"))  # whose folders are links
    return tmp_path / "stranger"


def _copy(source, target):
    os.mkfifo(target) if Path(source).is_fifo() else shutil.copy2(source, target)


def _state(folder):
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


@pytest.mark.parametrize("code, words", ATTACKS)
def test_a_stranger_s_folder_writes_nowhere_asks_nobody_and_ends_in_a_message(
    code, words, stranger, home, listener, capfd
):
    before = _state(home)
    try:
        ended = tree.main([word.replace("@", f"{stranger}/") for word in words.split()])
    except SystemExit as refused:  # of argparse
        ended = refused.code
    said = "".join(capfd.readouterr())
    assert ended == code, said
    assert _state(home) == before
    assert listener[1] == []
    assert [one for one in said.replace("\r", "") if one in "\x1b\x07\x9b\u202e"] == []
    assert "of the user" not in said
    assert "Traceback" not in said or ended == INCOMPLETE  # of a file that cannot be read; its cases have records


def test_every_command_is_attacked():
    attacked = {words.split()[0] for _, words in ATTACKS}
    assert attacked | WITHOUT >= set(tree.COMMANDS)
