"""Files that were damaged anywhere, by a disk or by a hand: each is used or refused in words, never a traceback.

Hypothesis draws the damage, the same every time; what it finds is kept as an example.
"""

import json
from pathlib import Path

import pytest
import yaml

from niah.settings import read_yaml
from niah.suite.config import Needles, Suite
from niah.suite.folder import GeneratedSuite
from niah.suite.folder import read_suite as read_suite
from niah.suite.needles import NeedleRow, read_needles
from niah.types import UserError
from tests.helpers.commands import run as main
from tests.helpers.small_suite import make_suite

pytest.importorskip("hypothesis", reason="Hypothesis is for development: pip install -e '.[dev]'")
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

# Not shrunk: each example runs the command, and a found file is small enough to read.
FIXED = {"derandomize": True, "deadline": None, "database": None, "phases": (Phase.explicit, Phase.generate)}
KEEP = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
few = settings(max_examples=8, suppress_health_check=KEEP, **FIXED)
many = settings(max_examples=80, suppress_health_check=KEEP, **FIXED)

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
PLACE = st.floats(0, 1, exclude_max=True)
KINDS = st.sampled_from(["flip", "cut", "drop", "twice", "put"])
BYTES = st.lists(st.tuples(KINDS, PLACE, st.binary(max_size=4)), min_size=1, max_size=4)
VALUES = st.lists(st.tuples(PLACE, PLACE, JUNK), min_size=1, max_size=2)


def maltreat(data: bytes, damage) -> bytes:
    """Flip a bit, cut the end off, drop or repeat a stretch, or put bytes in, each at its place."""
    for kind, place, more in damage:
        at = int(place * len(data))
        stretch = data[at : at + 40]
        data = {
            "flip": data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :] if data else data,
            "cut": data[:at],
            "drop": data[:at] + data[at + 40 :],
            "twice": data[:at] + stretch + data[at:],
            "put": data[:at] + more + data[at:],
        }[kind]
    return data


def places_in(value, place=()):
    """Yield the place of every value in nested lists and dictionaries."""
    yield place
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places_in(value[key], (*place, key))


def put_in(value, place, junk):
    """Return the value with `junk` at a place."""
    if not place:
        return junk
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[place[0]] = put_in(value[place[0]], place[1:], junk)
    return copy


def meddle(rows: list, damage) -> list:
    """Replace values anywhere in some of the rows."""
    rows = list(rows)
    for row, place, junk in damage:
        number = int(row * len(rows))
        places = list(places_in(rows[number]))
        rows[number] = put_in(rows[number], places[int(place * len(places))], junk)
    return rows


def lines(rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def used_or_refused(use, kind):
    """Call `use`, which must return something of that kind or raise UserError with words."""
    try:
        assert isinstance(use(), kind)
    except UserError as error:
        assert str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        make_suite(folder)
        yield folder


SUITE = {
    "name": "mine",
    "sampling": {"rate": "1", "width": 384, "height": 384, "fit": "pad"},
    "haystacks": {"folder": "videos"},
    "needles": {"file": "needles.jsonl", "seconds": [2, 30]},
    "lengths": [2000, 4000],
    "depths": [0.0, 0.5, 1.0],
    "conditions": ["full", "blind"],
    "design": "grid",
}


@many
@given(BYTES)
def test_damaged_suite_is_read_or_refused(tmp_path, damage):
    path = tmp_path / "suite.yaml"
    path.write_bytes(maltreat(yaml.safe_dump(SUITE).encode(), damage))
    used_or_refused(lambda: read_yaml(Suite, path), Suite)


@many
@given(VALUES)
def test_suite_of_odd_values_is_read_or_refused(tmp_path, damage):
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(meddle([SUITE], damage)[0]))
    used_or_refused(lambda: read_yaml(Suite, path), Suite)


NEEDLES = [
    {"video": "n1.mp4", "start": 0.0, "stop": 2.5, "question": "What?", "options": ["A ball", "A bird"], "answer": "B"},
    {"video": "n2", "question": "Which?", "options": ["1", "2", "3"], "answer": "3", "type": "digits", "name": "2nd"},
]


def needles_from(folder, data):
    (folder / "needles.jsonl").write_bytes(data)
    used_or_refused(lambda: read_needles(Needles(file="needles.jsonl"), folder), tuple)


@many
@given(BYTES)
def test_damaged_needles_are_read_or_refused(folder, damage):
    needles_from(folder, maltreat(lines(NEEDLES), damage))


@many
@given(VALUES)
def test_needles_of_odd_values_are_read_or_refused(folder, damage):
    needles_from(folder, lines(meddle(NEEDLES, damage)))


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def suite(folder, tmp_path):
    """Return a copy of the generated suite that may be damaged."""
    copy = tmp_path / "suite"
    copy.mkdir()
    for path in (folder / "suite").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


@pytest.mark.parametrize("name", ["cases.jsonl", "sources.jsonl"])
@many
@given(BYTES)
def test_damaged_generated_suite_is_read_or_refused(folder, suite, name, damage):
    (suite / name).write_bytes(maltreat((folder / "suite" / name).read_bytes(), damage))
    used_or_refused(lambda: read_suite(suite), GeneratedSuite)


def ask(suite, out, *flags):
    target = ["--model", "tests.helpers.fake_adapters:right", "--in_process", "--no_figures", "--output_path", str(out)]
    return main(["--suite", str(suite), *target, *flags])


@pytest.mark.slow  # each example is a run
@pytest.mark.parametrize("name", ["cases.jsonl", "sources.jsonl"])
@few
@given(VALUES)
@example([(0.0, 0.0, {})])
def test_suite_of_odd_values_is_run_or_refused(folder, suite, tmp_path, name, damage):
    (suite / name).write_bytes(lines(meddle(rows_of(folder / "suite" / name), damage)))
    code = ask(suite, tmp_path / "out", "--fresh", "--limit", "3")
    assert code in (0, 2, 3)


@pytest.fixture(scope="module")
def answered(folder):
    """Return the bytes of every file of a run of six cases."""
    assert ask(folder / "suite", folder / "answered", "--limit", "6") == 0
    return {path.name: path.read_bytes() for path in (folder / "answered").iterdir()}


def resume(folder, out, files):
    """Write the files of a run, run the same command again, and see that no record is lost or there twice."""
    out.mkdir(exist_ok=True)
    for path in out.iterdir():
        path.unlink()
    for name, data in files.items():
        (out / name).write_bytes(data)
    code = ask(folder / "suite", out, "--limit", "6")
    path = out / "records.jsonl"
    if code == 2:
        assert path.read_bytes() == files["records.jsonl"]
    else:
        assert code in (0, 3)
        names = [row["case"] for row in rows_of(path)]
        assert sorted(names) == sorted(row["id"] for row in rows_of(out / "cases.jsonl")) and len(names) == 6
    assert list(Path(out).glob("*.partial*")) == []


@few
@given(BYTES)
def test_damaged_records_are_gone_on_with_or_refused_untouched(folder, answered, tmp_path, damage):
    resume(folder, tmp_path / "out", {**answered, "records.jsonl": maltreat(answered["records.jsonl"], damage)})


@few
@given(VALUES)
def test_records_of_odd_values_are_gone_on_with_or_refused_untouched(folder, answered, tmp_path, damage):
    rows = [json.loads(line) for line in answered["records.jsonl"].splitlines()]
    resume(folder, tmp_path / "out", {**answered, "records.jsonl": lines(meddle(rows, damage))})


@few
@given(BYTES)
def test_damaged_run_json_is_gone_on_with_or_refused(folder, answered, tmp_path, damage):
    resume(folder, tmp_path / "out", {**answered, "run.json": maltreat(answered["run.json"], damage)})


def test_record_that_is_there_twice_is_refused_by_name(folder, answered, tmp_path, capsys):
    twice = answered["records.jsonl"] + answered["records.jsonl"].splitlines(keepends=True)[2]
    resume(folder, tmp_path / "out", {**answered, "records.jsonl": twice})
    assert "is there twice; take the line out" in capsys.readouterr().err


def test_read_row_is_what_needles_are(folder):
    (folder / "needles.jsonl").write_bytes(lines(NEEDLES))
    assert all(isinstance(row, NeedleRow) for row in read_needles(Needles(file="needles.jsonl"), folder))
