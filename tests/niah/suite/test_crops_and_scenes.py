"""What is burnt into a film can be cut off, and answers can be clustered by scene; suites that ship are fetched first."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest

from niah.media.decoders.base import load_decoder
from niah.media.errors import MediaError
from niah.media.scan import scan
from niah.media.video import SplicedVideo
from niah.media.writer import write_mp4
from niah.report.footage import _sources
from niah.suite import config, user_media
from niah.suite.build import generate
from niah.suite.config import SUITES_FOLDER, load_suite
from niah.suite.folder import read_suite, write_suite
from niah.types import Sampling, Source, Span, UserError
from tests.helpers import commands

SUITE = """\
name: mine
lengths: [20]
depth_bins: 1
conditions: [full, needle_only]
sampling: {rate: native, width: 32, height: 24}
haystacks: {folder: hay}
needles: {file: needles.jsonl, cluster: CLUSTER}
crops: [CROP]
"""


def picture(number):
    """A grey picture whose top eight rows hold white, as a burnt-in number would."""
    frame = np.full((32, 32, 3), 60 + number, np.uint8)
    frame[:8] = 250
    return frame


@pytest.fixture
def film(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "hay").mkdir()
    for name in ("film", "hay/long"):
        offset = 0 if name == "film" else 20
        write_mp4(tmp_path / f"{name}.mp4", (picture(n + offset) for n in range(40)), Fraction(10))
    return tmp_path / "film.mp4"


def made(film, cluster="scene", crop="{video: film.mp4, top: 8}"):
    rows = [("a", 0.0, 0.4), ("b", 1.0, 1.4)]
    lines = [
        {
            "name": name,
            "video": "film.mp4",
            "start": start,
            "stop": stop,
            "question": "?",
            "options": ["x", "y"],
            "answer": "A",
        }
        for name, start, stop in rows
    ]
    (film.parent / "needles.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (film.parent / "mine.yaml").write_text(SUITE.replace("CLUSTER", cluster).replace("CROP", crop))
    return generate(*load_suite(str(film.parent / "mine.yaml")))


@pytest.mark.parametrize("name", ["pyav", "decord"])
def test_a_cropped_picture_is_the_rest_of_the_whole_one(film, name):
    pytest.importorskip({"pyav": "av", "decord": "decord"}[name])
    decoder, index = load_decoder(name), scan(film)
    (whole,) = decoder.read(index, [5], Sampling("native", 32, 32))
    (rest,) = decoder.read(index.cropped((8, 2, 0, 4)), [5], Sampling("native", 26, 24))
    assert (rest == whole[8:, 4:30]).all()
    (again,) = decoder.read(index, [5], Sampling("native", 32, 32))  # both stay open
    assert (again == whole).all()
    assert index.cropped((8, 0, 0, 0)).display_aspect == Fraction(32, 24)


@pytest.mark.parametrize("crop", [(32, 0, 0, 0), (0, 16, 0, 16), (-1, 0, 0, 0)])
def test_a_crop_that_leaves_nothing_is_refused(film, crop):
    with pytest.raises(MediaError, match="a picture of 32x32 cannot lose"):
        scan(film).cropped(crop)


def test_a_suite_s_crop_reaches_the_model_and_the_folder(film, tmp_path):
    generated = made(film)
    source = generated.sources["film.mp4"]
    assert source.crop == (8, 0, 0, 0) and source.identity.endswith("#crop=8,0,0,0")
    write_suite(generated, tmp_path / "suite")
    assert read_suite(tmp_path / "suite").sources == dict(generated.sources)
    rows = [json.loads(line) for line in (tmp_path / "suite" / "sources.jsonl").read_text().splitlines()]
    assert {row["name"]: row.get("crop") for row in rows} == {"film.mp4": [8, 0, 0, 0], "long.mp4": None}
    assert ("film.mp4", source.identity, (8, 0, 0, 0)) in _sources(tmp_path / "suite")
    timeline = (Span("film.mp4", 0, 3), Span("long.mp4", 0, 3))
    args = (generated.suite.sampling, load_decoder("pyav"), 10.0, tmp_path)
    frames = SplicedVideo(timeline, generated.sources, *args).frames([0, 3])
    assert frames[0].max() < 120 < 200 < frames[1].max()  # the white is gone from the film alone


def test_two_crops_of_one_file_have_different_frame_keys(film, tmp_path):
    source = Source("f", "sha256:x", str(film), scan(film).sha256, 40, 4.0)
    cropped = dataclasses.replace(source, identity="sha256:x#crop=8,0,0,0", crop=(8, 0, 0, 0))
    args = (Sampling("native", 32, 32), load_decoder("pyav"), 10.0, tmp_path)
    keys = [SplicedVideo((Span("f", 0, 2),), {"f": one}, *args).keys(0, 2) for one in (source, cropped)]
    assert not set(keys[0]) & set(keys[1])


@pytest.mark.parametrize("cluster, count", [("scene", 2), ("source", 1)])
def test_answers_are_clustered_by_what_the_suite_says(film, cluster, count):
    generated = made(film, cluster)
    assert len({case.needle_source for case in generated.cases}) == count


def test_a_needle_is_still_never_hidden_in_its_own_film(film):
    film.rename(film.parent / "hay" / "film.mp4")
    (film.parent / "hay" / "long.mp4").unlink()
    (film.parent / "film.mp4").symlink_to(film.parent / "hay" / "film.mp4")
    with pytest.raises(UserError, match="has no case"):
        made(film)


def test_a_crop_of_a_video_that_is_not_there_is_refused(film):
    with pytest.raises(UserError, match="crops: no video is called 'filn.mp4'. Did you mean 'film.mp4'?"):
        made(film, crop="{video: filn.mp4, top: 8}")


@pytest.mark.parametrize(
    "text, words", [("top: -1", "pixels above 0"), ("top: 0", "pixels above 0"), ("roof: 1", "roof")]
)
def test_a_crop_that_cuts_nothing_is_refused(film, text, words):
    with pytest.raises(UserError, match=words):
        made(film, crop=f"{{video: film.mp4, {text}}}")


@pytest.mark.parametrize("name", ["open", "open-native"])  # which share one list
def test_a_suite_that_ships_without_its_footage_says_how_to_have_it(name, tmp_path, monkeypatch):
    suite, folder = load_suite(name)
    assert (SUITES_FOLDER / suite.haystacks.folder).resolve() == SUITES_FOLDER.parents[1] / "footage/open/haystacks"
    monkeypatch.setattr(user_media, "SUITES_FOLDER", tmp_path / "configs" / "suites")  # a checkout without footage
    (tmp_path / "configs" / "footage").mkdir(parents=True)
    (tmp_path / "configs" / "footage" / "open.jsonl").touch()
    with pytest.raises(UserError, match=f"the footage of suite '{name}' is not here .*: niah fetch open downloads it"):
        generate(suite, tmp_path / "configs" / "suites")


def test_real_is_another_name_of_open():
    assert load_suite("real") == load_suite("open")
    assert config.ALIASES == {"real": "open"} and not (SUITES_FOLDER / "real.yaml").exists()


def test_open_looks_where_fetch_puts_it():
    from niah.tools.fetch.footage_list import FOOTAGE_FOLDER, read_list

    suite, folder = load_suite("open")
    assert (folder / suite.haystacks.folder).resolve() == FOOTAGE_FOLDER / "open" / "haystacks"
    assert (folder / suite.needles.media_root).resolve() == FOOTAGE_FOLDER / "open"
    assert {crop.video for crop in suite.crops} <= {file.file.split("/")[-1] for file in read_list("open")[1]}
    assert commands.fetch(["open", "--dry_run", "-o", "/nowhere"]) == 0
