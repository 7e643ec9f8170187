"""Damaged videos, full disks and two runs after one folder, as a run meets them."""

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from niah.media.decoders.base import load_decoder
from niah.media.errors import MediaError
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.run.records import read_records, rewrite_records
from niah.types import Sampling, Source, Span
from tests.helpers.commands import run as main
from tests.helpers.media_samples import make
from tests.helpers.small_suite import make_suite

pytest.importorskip("hypothesis", reason="Hypothesis is for development: pip install -e '.[dev]'")
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[3]
few = settings(
    max_examples=25, derandomize=True, deadline=None, database=None, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
PLACE = st.floats(0, 1, exclude_max=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        make_suite(folder)
        make(folder / "sound.mp4", 30)
        yield folder


def ask(suite, out, *flags):
    target = ["--model", "tests.helpers.fake_adapters:right", "--no_figures", "--output_path", str(out)]
    return main(["--suite", str(suite), *target, *flags])


def shown_or_refused(path):
    """Read every frame as a worker would; a frame is of its size, or the file is refused in words."""
    try:
        index = scan(path)
        frames = len(index.times)
        source = Source("v", f"sha256:{index.sha256}", str(path), index.sha256, frames, float(frames))
        video = SplicedVideo(
            (Span("v", 0, frames),), {"v": source}, Sampling("native", 32, 32), load_decoder("pyav"), 10.0, path.parent
        )
        count = 0
        for indices, pictures in video.iterate(8):
            assert pictures.shape == (len(indices), 32, 32, 3)
            count += len(indices)
        assert count == frames
    except MediaError as error:
        assert error.remedy


@few
@given(st.lists(st.tuples(PLACE, st.integers(0, 7)), min_size=1, max_size=20))
def test_video_of_flipped_bits_is_shown_or_refused(folder, tmp_path, flips):
    data = bytearray((folder / "sound.mp4").read_bytes())
    for place, bit in flips:
        data[int(place * len(data))] ^= 1 << bit
    path = tmp_path / "flipped.mp4"
    path.write_bytes(data)
    shown_or_refused(path)


@few
@given(PLACE)
def test_video_that_was_cut_short_is_shown_or_refused(folder, tmp_path, place):
    data = (folder / "sound.mp4").read_bytes()
    path = tmp_path / "short.mp4"
    path.write_bytes(data[: int(place * len(data))])
    shown_or_refused(path)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:-200] + bytes(200)])
def test_video_damaged_after_it_was_measured_is_a_failed_case_and_the_rest_is_answered(folder, tmp_path, damage):
    suite = shutil.copytree(folder / "suite", tmp_path / "suite")
    rows = [json.loads(line) for line in (suite / "sources.jsonl").read_text().splitlines()]
    (row,) = [row for row in rows if row["name"] == "h2"]
    row["path"] = str(tmp_path / "h2.mp4")
    Path(row["path"]).write_bytes(damage((folder / "h2.mp4").read_bytes()))
    (suite / "sources.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert ask(suite, tmp_path / "out", "--in_process") == 3
    cases = {row["id"]: row for row in map(json.loads, (tmp_path / "out" / "cases.jsonl").read_text().splitlines())}
    records = read_records(tmp_path / "out" / "records.jsonl")
    failed = {record.case for record in records if record.status == "error"}
    assert len(records) == 24
    assert failed == {name for name, case in cases.items() if case["haystack"] == "h2"}
    assert not any(str(tmp_path) in record.detail for record in records)


def test_sorting_on_a_full_disk_leaves_the_records_as_they_were(folder, tmp_path):
    ask(folder / "suite", tmp_path, "--in_process", "--limit", "4")
    path = tmp_path / "records.jsonl"
    before, records = path.read_bytes(), read_records(path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            rewrite_records(path, records[::-1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir() if "partial" in found.name] == []


@pytest.mark.slow  # three interpreters
def test_of_runs_that_race_for_a_folder_one_writes_and_the_others_are_refused(folder, tmp_path):
    common = [
        "--suite",
        str(folder / "suite"),
        "--model",
        "tests.helpers.fake_adapters:slow",
        "--in_process",
        "--no_figures",
    ]
    command = [sys.executable, "-m", "niah.run", *common, "--output_path", str(tmp_path / "out"), "--limit", "12"]
    racing = [
        subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    said = [runner.communicate(timeout=120)[1] for runner in racing]
    codes = sorted(runner.returncode for runner in racing)
    assert codes[0] == 0 and set(codes) <= {0, 2}  # 0 again for one that came when the first was done
    refused = [words for runner, words in zip(racing, said, strict=True) if runner.returncode == 2]
    assert all("another run is writing into" in words and "Traceback" not in words for words in refused)
    names = [record.case for record in read_records(tmp_path / "out" / "records.jsonl")]
    assert len(names) == 12 == len(set(names))
