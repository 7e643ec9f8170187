"""From a suite file to cases.jsonl and back, on files that are really encoded and read."""

import dataclasses
import json
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from niah.io import to_json_lines
from niah.media.decoders.pyav import PyavDecoder
from niah.media.writer import write_mp4
from niah.suite.build import generate
from niah.suite.config import load_suite
from niah.suite.folder import case_lines, read_suite, write_suite
from niah.types import UserError
from tests.helpers.commands import generate as main
from tests.helpers.fake_runs import make_case
from tests.helpers.generate_fakes import write_text

SHARED = Path(__file__).resolve().parents[4] / "shared" / "videos"
BUILT_IN = (
    "name: tiny",
    "version: 1",
    "lengths: [80, 100]",
    "depths: [0.25, 0.75]",
    "sampling: {rate: 1, width: 64, height: 64}",
    "footage: {world: tiny, haystacks: 1, needles: 3}",
)
OWN = (
    "name: own",
    "version: 1",
    "lengths: [40, 60]",
    "depths: [0.0, 0.5]",
    "sampling: {rate: native, width: 32, height: 32}",
    "haystacks: {folder: hay}",
    "needles: {file: needles.jsonl}",
)


def film(path, frames, seed):
    """Write a film of slowly drifting tiles that no other seed's resemble."""
    grain = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    path.parent.mkdir(exist_ok=True)
    write_mp4(path, (np.roll(grain, number // 5, axis=1) for number in range(frames)), Fraction(10))
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path_factory.getbasetemp() / "footage"))


@pytest.fixture
def built_in(tmp_path):
    return write_text(tmp_path / "tiny.yaml", *BUILT_IN)


@pytest.fixture
def own(tmp_path):
    """Two haystack files of 50 frames, one broken, and two needles of 10 frames cut from 20."""
    for number in range(2):
        film(tmp_path / "hay" / f"hay-{number}.mp4", 50, number)
        film(tmp_path / f"clip-{number}.mp4", 20, 10 + number)
    write_text(tmp_path / "hay" / "broken.mp4", "not a video")
    row = {"start": 0.5, "stop": 1.5, "question": "Which?", "options": ["this", "that"], "answer": "A"}
    rows = [{"video": f"clip-{number}.mp4", "name": f"n{number}", **row} for number in range(2)]
    write_text(tmp_path / "needles.jsonl", *map(json.dumps, rows))
    return write_text(tmp_path / "own.yaml", *OWN)


def made(path):
    return generate(*load_suite(str(path)))


EVERY_CHARACTER = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x10400)]))
CHANGES = [
    {"fps": fps} for fps in (1, 1.0, 1 / 3, 29.97, 24000 / 1001, 1e-4, 9.99e-5, 1e-7, 123456789.125, 1e16, 1e300)
]
CHANGES += [{"question": EVERY_CHARACTER}, {"question": "a lone \ud800"}, {"kind": "first", "asked": ("n1", "n2")}]


@pytest.mark.parametrize("changes", CHANGES, ids=lambda changes: f"{changes!s:.30}")
def test_a_case_is_written_as_pythons_json_writes_it(changes):
    case = dataclasses.replace(make_case("n1"), **changes)
    assert case_lines([case]) == to_json_lines([case.to_json()])


def test_what_is_written_is_read_again(own, tmp_path):
    generated = made(own)
    write_suite(generated, tmp_path / "out")
    assert read_suite(tmp_path / "out") == generated


def test_the_written_suite_generates_the_same_cases(own, tmp_path):
    generated = made(own)
    write_suite(generated, tmp_path / "out")
    assert made(tmp_path / "out" / "suite.yaml").cases == generated.cases


@pytest.mark.parametrize("which", ["built_in", "own"])
def test_the_same_suite_gives_the_same_bytes(which, request, tmp_path):
    path = request.getfixturevalue(which)
    for name in ("one", "two"):
        write_suite(made(path), tmp_path / name)
    assert (tmp_path / "one" / "cases.jsonl").read_bytes() == (tmp_path / "two" / "cases.jsonl").read_bytes()


def test_cases_of_built_in_footage_name_no_path_and_no_file_hash(built_in, tmp_path):
    generated = made(built_in)
    write_suite(generated, tmp_path / "out")
    text = (tmp_path / "out" / "cases.jsonl").read_text()
    assert "sha256" not in text and ".mp4" not in text
    assert not [source.sha256 for source in generated.sources.values() if source.sha256 in text]


def test_cases_of_own_footage_name_no_path(own, tmp_path):
    write_suite(made(own), tmp_path / "out")
    assert str(tmp_path) not in (tmp_path / "out" / "cases.jsonl").read_text()


def test_built_in_needles_and_lengths_are_all_there(built_in):
    full = [case for case in made(built_in).cases if case.condition == "full"]
    assert len(full) == 3 * 2 * 2
    assert {case.length for case in full} == {80, 100} and {case.fps for case in full} == {1.0}


def test_datasets_reads_the_cases(built_in, tmp_path):
    datasets = pytest.importorskip("datasets")
    generated = made(built_in)
    write_suite(generated, tmp_path / "out")
    path = str(tmp_path / "out" / "cases.jsonl")
    table = datasets.load_dataset("json", data_files=path, split="train", cache_dir=str(tmp_path / "cache"))
    assert table["id"] == [case.id for case in generated.cases]
    spans = table[0]["timeline"]
    assert sum(span["stop"] - span["start"] for span in spans) == table[0]["length"] == 80


def test_own_videos_become_cases_and_the_broken_one_a_recorded_skip(own, capsys):
    generated = made(own)
    assert [skip.what for skip in generated.skipped] == ["broken.mp4"]
    assert "skipped broken.mp4" in capsys.readouterr().err
    case = next(case for case in generated.cases if case.id == "n0.full.40.15")
    assert [(span.source, len(span)) for span in case.timeline if span.source == "clip-0.mp4"] == [("clip-0.mp4", 10)]
    assert (case.length, case.fps, case.haystack) == (40, 10.0, "haystack-0")


def test_clips_are_cut_at_their_seconds(own):
    spans = {span for case in made(own).cases for span in case.timeline if span.source == "clip-1.mp4"}
    assert {(span.start, span.stop) for span in spans} == {(5, 15)}  # 0.5 to 1.5 s at 10 frames per second


def own_cuts(own, tmp_path, monkeypatch, *changes):
    """Make the own suite with a scene cut in frame 20 of hay-0, under an empty cache; return its cases and what is kept."""
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    tiles = [np.random.default_rng(seed).integers(0, 255, (8, 8, 3), dtype=np.uint8) for seed in (20, 21)]
    frames = (tiles[number >= 20].repeat(4, 0).repeat(4, 1) for number in range(50))
    write_mp4(tmp_path / "hay" / "hay-0.mp4", frames, Fraction(10))
    write_text(own, *(line for line in OWN if line[:7] not in ("version", "lengths", "depths:")), *changes)
    kept = tmp_path / "cache" / "cuts"
    return made(own).cases, sorted(path.read_text() for path in kept.glob("*")) if kept.is_dir() else []


def test_needles_in_own_footage_of_version_2_start_at_its_scene_cuts(own, tmp_path, monkeypatch):
    cases, kept = own_cuts(own, tmp_path, monkeypatch, "lengths: [100]", "depth_bins: 2")
    assert kept == ["[20]", "[]"]
    first = next(case for case in cases if case.condition == "no_needle").timeline[0].source
    cuts = (20, 50) if first == "hay-0.mp4" else (50, 70)
    starts = {case.needles[0].start for case in cases if case.condition == "full"}
    assert starts <= {*cuts, *range(45)} and starts & set(cuts)


def test_no_frame_of_own_footage_is_decoded_in_the_command_s_own_process(own, tmp_path, monkeypatch):
    monkeypatch.setattr(PyavDecoder, "read", lambda *given: pytest.fail("decoded here"))
    _, kept = own_cuts(own, tmp_path, monkeypatch, "lengths: [100]", "depth_bins: 2")
    assert kept and list((tmp_path / "cache" / "hashes").iterdir())


@pytest.mark.parametrize("rules", ["version: 1", "depths: [0.5]"])
def test_no_cut_is_looked_for_where_none_is_used(own, tmp_path, monkeypatch, rules):
    _, kept = own_cuts(own, tmp_path, monkeypatch, "lengths: [40, 60]", rules)
    assert kept == []


def test_a_needle_cut_from_the_only_haystack_is_skipped(own, tmp_path):
    (tmp_path / "clip-0.mp4").write_bytes((tmp_path / "hay" / "hay-0.mp4").read_bytes())
    (skip,) = [skip for skip in made(own).skipped if skip.what == "n0"]
    assert "needle's own source" in skip.why


def test_a_copy_encoded_anew_is_reported_as_a_near_duplicate(own, tmp_path, capsys):
    grain = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    copy = tmp_path / "clip-0.mp4"  # the film of hay-0.mp4, coarser
    write_mp4(copy, (np.roll(grain, number // 5, axis=1) for number in range(20)), Fraction(10), crf=30)
    pairs = {(pair.first, pair.second) for pair in made(own).near_duplicates}
    assert pairs == {("n0", "hay-0.mp4")}
    assert "near-duplicate: frame" in capsys.readouterr().err


def test_a_broken_needle_is_a_recorded_skip(own, tmp_path):
    write_text(tmp_path / "clip-0.mp4", "not a video")
    assert [skip.what for skip in made(own).skipped if skip.what != "broken.mp4"][0] == "n0"


def test_a_suite_without_one_usable_needle_is_refused(own, tmp_path):
    for number in (0, 1):
        write_text(tmp_path / f"clip-{number}.mp4", "not a video")
    with pytest.raises(UserError, match="has no case: 3 files and needles were left out"):
        made(own)


def test_too_little_footage_is_refused_before_any_case(own, tmp_path):
    write_text(own, *OWN, "allow_repeat: false")
    own.write_text(own.read_text().replace("[40, 60]", "[40, 101]"))
    with pytest.raises(UserError, match="2 usable videos have 100 frames at rate native, and a haystack .* needs 101"):
        made(own)


def test_repeats_are_recorded_in_the_case_where_they_are_allowed(own):
    own.write_text(own.read_text().replace("[40, 60]", "[40, 130]") + "allow_repeat: true\n")
    repeats = {case.id: case.repeats for case in made(own).cases}
    assert repeats["n0.no_needle.40"] == 0
    assert repeats["n0.no_needle.130"] == 30  # 100 frames of footage
    assert repeats["n0.full.130.60"] == 20  # ten of the 130 are the needle's


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/videos is not here")
def test_broken_real_files_are_recorded_skips_with_a_reason(own, tmp_path):
    own.write_text(own.read_text().replace("folder: hay", f"folder: {SHARED / 'edge'}"))
    skipped = {skip.what: skip.why for skip in made(own).skipped}
    assert {"empty.mp4", "not_a_video.mp4", "audio_only.ts", "truncated.mp4", "corrupt_tail.mp4"} <= set(skipped)
    assert all(len(why) > 20 for why in skipped.values())


def test_reading_the_folder_of_a_run_says_to_name_its_suite(tmp_path):
    (tmp_path / "cases.jsonl").write_text("")
    (tmp_path / "records.jsonl").write_text("")
    with pytest.raises(UserError, match="folder of a run.*name the suite it was made from"):
        read_suite(tmp_path)


def test_reading_a_folder_without_cases_says_how_to_write_them(tmp_path):
    with pytest.raises(UserError, match="niah generate SUITE -o"):
        read_suite(tmp_path)


def test_a_damaged_line_of_cases_is_named(built_in, tmp_path):
    write_suite(made(built_in), tmp_path / "out")
    with open(tmp_path / "out" / "cases.jsonl", "a") as file:
        file.write('{"id":')
    with pytest.raises(UserError, match=r"cases.jsonl, line 31 cannot be read"):
        read_suite(tmp_path / "out")


def test_the_command_writes_the_files_and_says_how_many(built_in, tmp_path, capsys):
    assert main([str(built_in), "-o", str(tmp_path / "out")]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    written = ["cases.jsonl", "hashes.json", "near_duplicates.jsonl", "skipped.jsonl", "sources.jsonl", "suite.yaml"]
    assert names == written
    assert "30 cases (12 full, 3 needle_only, 3 blind, 6 no_needle, 6 swapped)" in capsys.readouterr().out


def test_the_command_ends_with_a_sentence_and_2_where_the_user_has_to_mend_something(tmp_path, capsys):
    assert main(["smok", "-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: no suite is called 'smok'. Did you mean 'smoke'?")


@pytest.mark.parametrize("name", ["file", "file/inside"])
def test_cases_that_cannot_be_written_are_told_in_words(built_in, tmp_path, capsys, name):
    (tmp_path / "file").touch()
    assert main([str(built_in), "-o", str(tmp_path / name)]) == 2
    assert "a file is where a folder is needed" in capsys.readouterr().err


def test_a_video_whose_name_is_not_utf8_is_left_out(own):
    odd = os.fsencode(own.parent / "hay") + b"/caf\xe9.mp4"
    os.link(next((own.parent / "hay").glob("*.mp4")), odd)
    generated = made(own)
    assert r"'caf\udce9.mp4'" in [skip.what for skip in generated.skipped]


@pytest.mark.parametrize("line", ['{"id": "x"}', '{"id": "x", "needles": [{"at": 3}]}', "[]"])
def test_a_line_that_is_no_case_is_refused_with_its_number(built_in, tmp_path, line):
    write_suite(made(built_in), tmp_path / "out")
    (tmp_path / "out" / "cases.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=r"cases.jsonl, line 1 cannot be read"):
        read_suite(tmp_path / "out")
