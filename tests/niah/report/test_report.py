"""The report's data and page, without a browser: what is in it, what it refuses, what it says is missing."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import io
import itertools
import json
import re
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from niah.analysis.load import read_run
from niah.media.scan import scan
from niah.media.writer import write_mp4
from niah.report import content, footage, page
from niah.report.footage import SourceVideo, find_videos
from niah.report.page import as_json, write_report
from niah.report.pictures import strip, take_pictures
from niah.types import OptionLikelihood, Placement, Sampling, Span
from tests.helpers import commands
from tests.helpers.commands import report as main
from tests.helpers.fake_runs import make_case, make_record, write_run
from tests.helpers.full_disk import fill_disk
from tests.helpers.small_suite import make_suite

SUITE = "name: fake\nlengths: [2000, 4000]\ndepths: [0.1, 0.9]\nfootage: {world: fake}\n"
KINDS = "name: fake\nlengths: [2000]\nkinds: [when, times]\nwhen: interval\nfootage: {world: fake}\n"
CASES = [make_case(f"n{i}", "full", length, depth) for i in range(2) for length in (2000, 4000) for depth in (0.1, 0.9)]


def run_of(folder: Path, cases=CASES, became=lambda case: "B", **more) -> Path:
    """Write a run in which `became(case)` is a reply, a status other than ok, or None for no record."""
    records = []
    for case in cases:
        word = became(case)
        if word in ("oom", "error", "timeout"):
            records.append(make_record(case, status=word))
        elif word is not None:
            records.append(make_record(case, word))
    return write_run(folder, cases, records, suite=SUITE, **more)


def html_of(*folders: Path) -> str:
    page = folders[0].parent / "report.html"
    write_report(folders, page, thumbnails=False)
    return page.read_text(encoding="utf-8")


def data_of(*folders: Path) -> dict:
    """Return the data of a page, with its cases and answers unpacked as its scripts do."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html_of(*folders), re.S)
    data = json.loads(text)
    parts = zip(unpack(data["rows"]), itertools.chain.from_iterable(map(unpack, data["details"])), strict=True)
    rows = [[one and one | two for one, two in zip(*both, strict=True)] for both in parts]
    data["cases"] = [case for case, *_ in rows]
    for number, run in enumerate(data["runs"], 1):
        run["answers"] = [{"case": place, **row[number]} for place, row in enumerate(rows) if row[number]]
    return data


def unpack(packed: str) -> list:
    return json.loads(zlib.decompress(base64.b64decode(packed)))


def cell_of(data: dict, length: str, depth: str, condition: str = "full", run: int = 0) -> dict:
    (found,) = [
        cell
        for cell in data["runs"][run]["cells"]
        if (cell["length"], cell["depth"], cell["condition"], cell["type"]) == (length, depth, condition, "all")
    ]
    return found


def test_a_cell_has_count_accuracy_and_wilsons_interval(tmp_path):
    data = data_of(run_of(tmp_path / "run", became=lambda case: "A" if case.needle == "n1" else "B"))
    cell = cell_of(data, "2000", "0.1")
    assert (cell["n"], cell["correct"], cell["accuracy"]) == (2, 1, 0.5)
    # Wilson, 1 of 2: (0.5 + z2/4 -+ z sqrt(1/8 + z2/16)) / (1 + z2/2) with z = 1.96
    assert (cell["low"], cell["high"]) == (pytest.approx(0.0945, abs=1e-4), pytest.approx(0.9055, abs=1e-4))


def test_the_notes_say_that_intervals_are_about_these_haystacks(tmp_path):
    data = data_of(run_of(tmp_path / "run"))
    assert data["notes"][0].startswith("Suite fake has 1 haystack, fewer than 20: intervals clustered by needle source")
    assert "bootstrap" not in data["charts"][0]["text"]  # by source they are Korn and Graubard's


def test_a_case_asked_of_two_models_is_written_once(tmp_path):
    data = data_of(run_of(tmp_path / "a", model="a"), run_of(tmp_path / "b", became=lambda case: "C", model="b"))
    assert [case["id"] for case in data["cases"]] == [case.id for case in CASES]
    assert [answer["case"] for answer in data["runs"][1]["answers"]] == list(range(8))
    assert {answer["letter"] for answer in data["runs"][1]["answers"]} == {"C"}


def test_a_kind_has_its_own_rows_and_an_interval_its_overlap(tmp_path):
    many = make_case("n0", kind="times", needles=(Placement("n0", 100, 110), Placement("n0", 900, 910)))
    ask = make_case("n1", kind="when", options=(), answer="", needles=(Placement("n1", 600, 660),))
    folder = tmp_path / "run"
    write_run(folder, [many, ask], [make_record(many, "A"), make_record(ask, "10:00 - 10:30")], suite=KINDS)
    when, times = data_of(folder)["runs"]
    assert (when["kind"], when["row"], times["kind"], times["row"]) == ("when", "depth", "times", "copies")
    assert times["answers"][0]["depth"] == "2" and times["depths"] == ["0", "1", "2", "3"]
    assert when["answers"][0]["overlap"] == 0.5 and "unanswered" not in when["answers"][0]
    (asked,) = [case for case in data_of(folder)["cases"] if case["kind"] == "when"]
    assert asked["shown"] == "10:00.0 to 11:00.0"


def test_rows_are_packed_some_at_a_time_and_take_a_tenth_of_their_text(tmp_path, monkeypatch):
    cases = [make_case(f"n{number}", question="What does the person in the red coat do?") for number in range(1000)]
    folder = run_of(tmp_path / "run", cases)
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html_of(folder), re.S)
    data = json.loads(text)
    assert [len(unpack(pack)) for pack in data["details"]] == [content.PACK] * (1000 // content.PACK)
    packed = len(data["rows"]) + sum(map(len, data["details"]))
    assert packed < len(json.dumps([unpack(data["rows"]), *map(unpack, data["details"])])) / 10
    assert len(text) - packed < 50_000  # nothing else grows with the cases


def test_a_question_that_differs_between_two_runs_is_two_cases(tmp_path):
    one, other = make_case("n0"), make_case("n0", question="Which way round?")
    data = data_of(run_of(tmp_path / "a", [one], model="a"), run_of(tmp_path / "b", [other], model="b"))
    assert [case["question"] for case in data["cases"]] == ["Which way?", "Which way round?"]


def test_runs_of_different_cases_are_warned_of_on_top(tmp_path):
    data = data_of(run_of(tmp_path / "a", CASES[:2], model="a"), run_of(tmp_path / "b", CASES, model="b"))
    assert any("cases" in check["text"] for check in data["checks"] if check["level"] == "warning")


def test_a_model_that_ran_on_two_suites_is_told_apart_by_suite(tmp_path):
    other = run_of(tmp_path / "b", [make_case("n9", suite="second")])
    (other / "run.json").write_text((other / "run.json").read_text().replace('"suite": "fake"', '"suite": "second"'))
    runs = data_of(run_of(tmp_path / "a"), other)["runs"]
    assert [run["model"] for run in runs] == ["fake on fake", "fake on second"]


def test_a_cell_that_ran_out_of_memory_has_no_accuracy(tmp_path):
    data = data_of(run_of(tmp_path / "run", became=lambda case: "oom"))
    cell = cell_of(data, "all", "all")
    assert (cell["n"], cell["oom"], "accuracy" in cell) == (0, 8, False)
    assert [chart["title"] for chart in data["charts"]] == ["Memory over length"]  # crosses, and nothing else to draw


def test_a_case_that_was_not_asked_is_missing_and_in_no_average(tmp_path):
    data = data_of(run_of(tmp_path / "run", became=lambda case: None if case.length == 4000 else "B"))
    assert [cell_of(data, "4000", "all")[key] for key in ("n", "missing")] == [0, 4]
    assert [cell_of(data, "all", "all")[key] for key in ("n", "missing", "accuracy")] == [4, 4, 1.0]
    assert sum(answer["status"] == "missing" for answer in data["runs"][0]["answers"]) == 4


def test_one_case_makes_a_page(tmp_path):
    data = data_of(run_of(tmp_path / "run", [make_case("n0")]))
    assert cell_of(data, "all", "all")["n"] == 1


def test_scores_and_times_are_shortened_to_five_digits(tmp_path):
    case = make_case("n0")
    scores, time = (-0.1234567, -1.0, -2.0, -3), {"seconds_to_first_token": 0.1234567}
    folder = write_run(tmp_path / "run", [case], [make_record(case, option_scores=scores, measured=time)])
    answer = data_of(folder)["runs"][0]["answers"][0]
    assert (answer["scores"], answer["first"]) == ([-0.12346, -1.0, -2.0, -3], 0.12346)


def test_a_case_says_how_frames_were_shown_why_the_reply_ended_and_what_scores_are_made_of(tmp_path):
    case = make_case("n0")
    likelihoods = tuple(OptionLikelihood(-1.0 - place, 2, 5, -4.0) for place in range(4))
    more = {"mode": "likelihood", "option_likelihoods": likelihoods, "finish_reason": "length"}
    record = make_record(case, "Right", frame_size=(336, 448), frame_times=False, **more)
    suite = "name: fake\nlengths: [2000]\ndepths: [0.5]\nscore_by: sum\nfootage: {world: fake}\n"
    answer = data_of(write_run(tmp_path / "run", [case], [record], suite=suite))["runs"][0]["answers"][0]
    assert (answer["frame_size"], answer["frame_times"], answer["finish_reason"]) == ([336, 448], False, "length")
    first = {"log_probability": -1.0, "tokens": 2, "bytes": 5, "without_video": -4.0}
    assert answer["likelihoods"][0] == first
    assert (answer["letter"], answer["scored_by"]) == ("A", "sum")  # the reply, the model's own choice, is B


def test_the_page_has_what_a_model_was_shown_at_each_length(tmp_path):
    records = [make_record(case, frames_used=100, frame_size=(64_000 // case.length, 32)) for case in CASES]
    (run,) = data_of(write_run(tmp_path / "run", CASES, records, suite=SUITE))["runs"]
    assert [row[:3] for row in run["shown"]] == [["2K", "100 of 2,000", "32x32"], ["4K", "100 of 4,000", "16x32"]]
    assert data_of(run_of(tmp_path / "other"))["runs"][0]["shown"] == []


def test_the_page_lists_answers_of_a_model_that_has_changed_since(tmp_path):
    folder = run_of(tmp_path / "run", [make_case("n0")])
    metadata = json.loads((folder / "run.json").read_text())
    earlier = [{"records": 1, "identity": {"torch": "2.7"}}]
    (folder / "run.json").write_text(
        json.dumps({**metadata, "identity": {"torch": "2.8"}, "earlier_identities": earlier})
    )
    told = [check["text"] for check in data_of(folder)["checks"]]
    assert any("a model that has changed since: torch (2.7 there, 2.8 now)" in text for text in told)


def test_nothing_a_user_wrote_can_open_or_close_a_tag(tmp_path):
    hostile = "</script><img src=x onerror=alert(1)><!-- {{script}} \u2028 \ud800"
    folder = run_of(tmp_path / "run", [make_case("n0", question=hostile)], model="<b>m</b>")
    html = html_of(folder)
    assert "<img src=x" not in html and "<b>m" not in html
    assert html.count("</script>") == 3  # the data, Vega, our own
    assert data_of(folder)["cases"][0]["question"] == hostile


@pytest.mark.parametrize("text", ["<", ">", "&", "\u2028", "\u2029"])
def test_a_character_that_html_or_javascript_reads_is_written_as_its_code(text):
    assert as_json(text) == f'"\\u{ord(text):04x}"'
    assert json.loads(as_json(text)) == text


def test_the_policy_names_the_hash_of_every_script_and_lets_nothing_be_fetched(tmp_path):
    html = html_of(run_of(tmp_path / "run"))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert re.findall(r"script-src ([^;]*);", policy) == [" ".join(f"'sha256-{digest}'" for digest in hashes)]
    assert policy.startswith("default-src 'none';")


def test_the_same_runs_give_the_same_page(tmp_path):
    folder = run_of(tmp_path / "run")
    assert html_of(folder) == html_of(folder)


def test_records_of_an_older_version_are_refused(tmp_path, capsys):
    folder = run_of(tmp_path / "run")
    (folder / "records.jsonl").write_text('{"case": "n0.full.2000.199", "score": 1}\n')
    assert main([str(folder), "-o", str(tmp_path / "report.html")]) == 2
    assert "another version" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    assert main([str(run_of(tmp_path / "run")), "-o", str(tmp_path / "no" / "report.html")]) == 2
    assert f"there is no folder {tmp_path / 'no'}" in capsys.readouterr().err


@pytest.mark.parametrize("before", [b"my notes", b"<!doctype html>\n<html>", b"", b"x" * 300 + page.MARK])
def test_a_file_that_is_no_report_is_left_as_it_is(tmp_path, capsys, before):
    (tmp_path / "notes.html").write_bytes(before)
    words = [str(run_of(tmp_path / "run")), "--no_thumbnails", "-o", str(tmp_path / "notes.html")]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path / 'notes.html'} was not written by niah report" in said and "with -o" in said
    assert (tmp_path / "notes.html").read_bytes() == before


def test_an_earlier_report_is_written_anew(tmp_path):
    words = [str(run_of(tmp_path / "run")), "--no_thumbnails", "-o", str(tmp_path / "report.html")]
    assert (main(words), main(words)) == (0, 0)


def test_a_full_disk_leaves_the_earlier_report_whole(tmp_path, monkeypatch, capsys):
    words = [str(run_of(tmp_path / "run")), "--no_thumbnails", "-o", str(tmp_path / "report.html")]
    assert main(words) == 0
    before = (tmp_path / "report.html").read_bytes()

    fill_disk(monkeypatch)
    assert main(words) == 3
    assert f"{tmp_path / 'report.html'}: No space left on device" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


@pytest.mark.parametrize(
    "listed, pack", [("sources.jsonl", bytes), ("sources.jsonl.gz", gzip.compress)], ids=["plain", "gzipped"]
)
def test_a_run_whose_suite_is_unknown_here_says_why_it_has_no_pictures(tmp_path, listed, pack):
    folder = run_of(tmp_path / "run")
    (folder / "suite.yaml").write_text("name: fake\nhaystacks: {folder: gone}\nneedles: {file: gone.jsonl}\n")
    (folder / listed).write_bytes(pack(b'{"name": "h", "identity": "sha256:00"}\n'))
    videos, notes = find_videos([read_run(folder)])
    assert [video.path for video in videos.values()] == [None]
    assert "no pictures of suite 'fake'" in notes[0] and "--suite" in notes[0]


@pytest.mark.parametrize("name", ["/etc/suite.yaml", "evil.yaml", "../other/suite.yaml", "."])
def test_a_suite_that_only_run_json_names_is_neither_read_nor_downloaded(tmp_path, monkeypatch, name):
    folder = run_of(tmp_path / "run")
    (folder / "suite.yaml").write_text("name: fake\nhaystacks: {folder: gone}\nneedles: {file: gone.jsonl}\n")
    (folder / "sources.jsonl").write_text('{"name": "h", "identity": "sha256:00"}\n')
    run = dataclasses.replace(read_run(folder), suite=name)
    monkeypatch.setattr(footage, "load_suite", lambda name: pytest.fail(f"{name} was read"))
    monkeypatch.setattr(footage, "read_suite", lambda name: pytest.fail(f"{name} was read"))
    assert "does not ship" in find_videos([run])[1][0]


def test_a_run_on_one_s_own_videos_is_reported_without_naming_its_suite(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    suite, out = make_suite(tmp_path / "videos"), tmp_path / "run"
    ask = ["--suite", str(suite), "--model", "chance", "--in_process", "--no_figures", "-o", str(out)]
    assert commands.run(ask) == 0
    assert str(tmp_path) not in "".join(path.read_text() for path in out.iterdir())  # a run can be published
    videos, notes = find_videos([read_run(out)])
    assert not notes
    found = {key[1]: video.path for key, video in videos.items()}
    assert {name: found[name] for name in ("n1", "n2", "n3")} == {
        name: tmp_path / "videos" / f"{name}.mp4" for name in ("n1", "n2", "n3")
    }
    assert found["h1"] in (tmp_path / "videos" / "h1.mp4", tmp_path / "videos" / "h2.mp4")  # the same bytes
    suite.rename(tmp_path / "moved")
    videos, notes = find_videos([read_run(out)])
    assert "Name its file with --suite" in notes[0]
    assert not find_videos([read_run(out)], str(tmp_path / "moved"))[1]


def test_footage_is_built_for_the_longest_of_a_suite_s_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    folders = [run_of(tmp_path / name, [make_case("n0")]) for name in ("bare", "short", "long")]
    (folders[0] / "suite.yaml").unlink()
    for folder, length in zip(folders[1:], (20, 40), strict=True):
        footage = "footage: {world: w, haystacks: 1, needles: 1, types: [digit]}"
        (folder / "suite.yaml").write_text(f"name: fake\nversion: 1\nlengths: [{length}]\n{footage}\n")
        (folder / "sources.jsonl").write_text('{"name": "h", "identity": "footage-1:w/haystack-0"}\n')
    videos, _ = find_videos([read_run(folder) for folder in folders])
    assert scan(str(videos["fake", "h"].path)).count("1") == 40


def test_a_suite_file_that_was_named_and_is_not_there_is_an_error(tmp_path, capsys):
    folder = run_of(tmp_path / "run")
    (folder / "suite.yaml").write_text("name: fake\nhaystacks: {folder: gone}\nneedles: {file: gone.jsonl}\n")
    (folder / "sources.jsonl").write_text('{"name": "h", "identity": "sha256:00"}\n')
    assert main([str(folder), "--suite", str(tmp_path / "no.yaml"), "-o", str(tmp_path / "report.html")]) == 2
    assert "no.yaml" in capsys.readouterr().err


def test_the_strip_shows_two_frames_before_six_of_the_needle_and_two_after():
    case = make_case("n0", length=2000, depth=0.0, needles=(Placement("n0", 100, 111),))
    assert strip(case) == (98, 99, 100, 102, 104, 106, 108, 110, 111, 112)


def test_the_strip_of_a_needle_at_the_very_end_stops_there():
    case = make_case("n0", length=2000, needles=(Placement("n0", 1997, 2000),))
    assert strip(case) == (1995, 1996, 1997, 1998, 1999)


@pytest.fixture
def filmed(tmp_path):
    """One case of 40 frames, 4 of a clip at frame 20; frame n of the haystack is grey 5n, of the clip 200 + 10n."""
    timeline = (Span("h", 0, 20), Span("clip", 0, 4), Span("h", 20, 36))
    case = make_case("n0", needles=(Placement("n0", 20, 24),))
    case = dataclasses.replace(case, length=40, timeline=timeline)
    folder = write_run(tmp_path / "run", [case], [make_record(case, frames_kept=(0, 22))], suite=SUITE)
    levels = {"h": range(0, 200, 5), "clip": range(200, 240, 10)}
    videos = {}
    for name, greys in levels.items():
        write_mp4(tmp_path / f"{name}.mp4", (np.full((32, 32, 3), grey, np.uint8) for grey in greys), Fraction(1))
        videos["fake", name] = SourceVideo(name, f"sha256:{name}", Sampling("1", 32, 32), tmp_path / f"{name}.mp4")
    return read_run(folder), videos


def grey(encoded: str) -> float:
    return float(np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L")).mean())


def test_pictures_are_of_the_frames_that_the_case_shows(filmed):
    run, videos = filmed
    taken = take_pictures([run], videos)
    clip = {("fake", "clip", number): 200 + 10 * number for number in range(4)}
    around = {("fake", "h", number): 5 * number for number in (18, 19, 20, 21)}
    kept = {("fake", "h", 0): 0}  # the other kept frame is the clip's third
    expected = {**clip, **around, **kept}
    assert {frame: grey(encoded) for frame, encoded in taken.encoded.items()} == pytest.approx(expected, abs=4)
    assert taken.notes == ()


def test_pictures_beyond_the_page_s_room_are_left_out_and_counted(filmed):
    run, videos = filmed
    taken = take_pictures([run], videos, 1)
    assert not taken.encoded
    assert taken.notes[0].startswith("9 of 9 pictures are left out")


def test_pictures_beyond_the_end_of_the_video_found_are_left_out_and_counted(filmed, tmp_path):
    run, videos = filmed
    write_mp4(tmp_path / "short.mp4", (np.full((32, 32, 3), 5 * n, np.uint8) for n in range(20)), Fraction(1))
    videos["fake", "h"] = dataclasses.replace(videos["fake", "h"], path=tmp_path / "short.mp4")
    taken = take_pictures([run], videos)
    assert sorted(number for _, source, number in taken.encoded if source == "h") == [0, 18, 19]
    assert taken.notes == ("2 of 5 pictures of h are left out: the video found here ends before frame 20",)


def test_a_video_that_cannot_be_read_leaves_its_pictures_out_and_says_so(filmed):
    run, videos = filmed
    videos["fake", "clip"].path.write_bytes(b"no video")
    taken = take_pictures([run], videos)
    assert {source for _, source, _ in taken.encoded} == {"h"}
    assert taken.notes[0].startswith("no pictures of clip: ")
