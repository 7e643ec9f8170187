"""Suite files: strict, and every refusal names the file, the key and the way out."""

import dataclasses
import re

import pytest

from niah.settings import read_yaml
from niah.suite.config import SUITES_FOLDER, Footage, Haystacks, Needles, Suite, load_suite
from niah.types import UserError
from tests.helpers.generate_fakes import suite, write_text

MINIMAL = ("name: mine", "footage: {world: mine}")


def read(folder, *lines):
    return read_yaml(Suite, write_text(folder / "mine.yaml", *lines))


def refused(folder, *lines):
    with pytest.raises(UserError) as error:
        read(folder, *lines)
    return str(error.value)


@pytest.mark.parametrize("path", sorted(SUITES_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_suite_of_the_project_loads_and_opens_with_its_command(path):
    found, folder = load_suite(path.stem)
    name = path.stem.removesuffix("-v1")  # a suite of version 1 keeps the name that seeds its cases
    assert (found.name, folder) == (name, SUITES_FOLDER)
    assert path.read_text(encoding="utf-8").startswith("# niah run --model ")


def test_a_suite_of_one_s_own_is_named_by_its_file(tmp_path):
    path = write_text(tmp_path / "mine.yaml", *MINIMAL)
    found, folder = load_suite(str(path))
    assert (found, folder) == (Suite("mine", footage=Footage("mine")), tmp_path)


def test_an_unknown_suite_names_the_one_that_may_have_been_meant():
    with pytest.raises(UserError, match="no suite is called 'smok'. Did you mean 'smoke'?"):
        load_suite("smok")


def test_a_suite_named_without_its_suffix_is_told_the_file_beside_it(tmp_path, monkeypatch):
    write_text(tmp_path / "mine.yaml", *MINIMAL)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no suite is called 'mine'.* To use the file here: --suite mine.yaml$"):
        load_suite("mine")


def test_a_suite_of_an_older_version_is_refused(tmp_path):
    words = refused(tmp_path, *MINIMAL, "version: 0")
    assert "written for version 0" in words and "knows 1 and 2" in words


FAULTS = [
    ("lenghts: [200]", "no key is called 'lenghts'. Did you mean 'lengths'?"),
    ("lengths: []", "lengths must be positive"),
    ("lengths: [0]", "lengths must be positive"),
    ("lengths: 200", "lengths must be a list"),
    ("depths: [10]", "depths must be between 0 and 1"),
    ("lengths: [200, 200]", "lengths must not repeat a value: [200, 200]"),
    ("design: cube", "design must be 'grid' or 'paper'"),
    ("conditions: [fill]", "no condition is called 'fill'. Did you mean 'full'?"),
    ("sampling: {rate: fast}", "sampling rate must be frames per second"),
    ("sampling: {rate: 0}", "sampling rate must be frames per second"),
    ("sampling: {rate: 1/0}", "sampling rate must be frames per second"),
    ("sampling: {width: 0}", "frames need a positive size"),
    ("sampling: {fit: crop}", "fit must be one of stretch, pad, native, shorter_side"),
    ("sampling: {fit: shorter_side, height: 480}", "fit: shorter_side takes one number of pixels"),
    ("question_template: What is it?", "must contain {question}"),
    ("allow_repeat: maybe", "allow_repeat must be of type bool"),
    ("haystacks: {folder: x}\nneedles: {file: y}", "needs either footage: (built in) or both"),
    ("needles: {file: y, seconds: [30]}", "seconds must be [shortest, longest]"),
    ("needles: {file: y, seconds: [120, 30]}", "seconds must be [shortest, longest]"),
    ("name: [", "is not YAML"),
]


@pytest.mark.parametrize("line, words", FAULTS)
def test_a_faulty_suite_is_refused_with_the_key(tmp_path, line, words):
    assert words in refused(tmp_path, *MINIMAL, line)


def test_a_suite_without_footage_is_refused(tmp_path):
    assert "needs either footage" in refused(tmp_path, "name: mine")


def test_a_suite_without_a_name_is_refused(tmp_path):
    assert "name must be given" in refused(tmp_path, "footage: {world: mine}")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match="gone.yaml does not exist"):
        load_suite(str(tmp_path / "gone.yaml"))


@pytest.mark.parametrize("rate", ["1", "0.5", "30000/1001", "native"])
def test_rates_are_numbers_fractions_or_native(tmp_path, rate):
    assert read(tmp_path, *MINIMAL, f"sampling: {{rate: {rate}}}").sampling.rate == rate


def own(**changes):
    return suite(footage=None, haystacks=Haystacks("x"), needles=Needles("y", **changes))


def test_the_paper_design_wants_clips_of_30_to_120_seconds():
    assert dataclasses.replace(own(), design="paper").needle_seconds == (30.0, 120.0)


def test_durations_given_in_the_suite_come_first():
    assert dataclasses.replace(own(seconds=(5.0, 9.0)), design="paper").needle_seconds == (5.0, 9.0)


def test_a_grid_takes_clips_of_any_duration():
    assert own().needle_seconds is None


@pytest.mark.parametrize(
    "line, words",
    [
        ("conditions: []", "conditions must name at least one of full, needle_only"),
        ("cases: 0", "cases must be at least 1, got 0"),
        ("haystacks: {folder: h, count: -1}", "count must be 0 .* or more, got -1"),
    ],
)
def test_a_suite_that_could_have_no_case_is_refused(tmp_path, line, words):
    assert re.search(words, refused(tmp_path, "name: mine", line))


def test_a_suite_that_is_a_folder_or_another_encoding_is_refused_with_its_name(tmp_path):
    with pytest.raises(UserError, match="is a folder; name a YAML file"):
        read_yaml(Suite, tmp_path)
    (tmp_path / "old.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(UserError, match=r"old\.yaml is not UTF-8 text"):
        read_yaml(Suite, tmp_path / "old.yaml")
