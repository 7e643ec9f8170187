"""The time left is right within a factor of two, on the recorded times of whole runs; the bars say what they count."""

import dataclasses
import io
import re
import sys
import threading
from pathlib import Path

import pytest

from niah.io import read_json_lines
from niah.run.metadata import read_metadata
from niah.run.plan import Plan
from niah.run.progress import Progress
from niah.run.records import read_records
from niah.run.time_left import TimeLeft, case_terms, duration
from niah.suite.config import Footage, Suite
from niah.suite.folder import GeneratedSuite
from niah.types import Case

ROOT = Path(__file__).resolve().parents[3]
SMOKE = ROOT / "tests" / "reference" / "run_times" / "smoke"  # niah run --model vilamp --suite smoke, on a busy machine
EARLIER = ROOT / "results" / "archive" / "version-1"
DEFAULT = ROOT / "results" / "default" / "vilamp"
DEFAULT_V1, OWN = EARLIER / "default" / "vilamp", EARLIER / "real" / "vilamp"
LOADING = 16.0  # seconds that each fresh process takes beside its case


def recorded(folder):
    """Return the cases of a run in the order of asking, its records, and the ids of its cold cases."""
    records = read_records(folder / "records.jsonl")
    file = folder / "cases.jsonl"
    if not file.exists() and not file.with_name("cases.jsonl.gz").exists():
        file = folder / read_metadata(folder)["cases"]
    cases = {case.id: case for _, case in read_json_lines(file, Case.from_json, "")}
    ordered = [cases[record.case] for record in records]
    return ordered, records, {record.case for record in records if record.measured["cold"]}


def replay(folder, workers=1):
    """Yield the share of the run that has passed, the predicted and the real time left, after each case that is not cold."""
    ordered, records, cold = recorded(folder)
    now = 0.0
    left = TimeLeft(ordered, cold, (), lambda: now)
    whole = sum(record.measured["file_to_answer_seconds"] for record in records if record.case not in cold)
    passed = 0.0
    for record in records:
        seconds = record.measured["file_to_answer_seconds"]
        now += LOADING + seconds if record.case in cold else seconds / workers
        left.add(record)
        if record.case not in cold:
            passed += seconds
            yield passed / whole, left.seconds(), (whole - passed) / workers


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("folder", [SMOKE, DEFAULT, DEFAULT_V1, OWN], ids=["smoke", "default", "default-v1", "own"])
def test_the_time_left_is_right_within_a_factor_of_two_after_a_tenth_of_the_run(folder, workers):
    seen = 0
    for share, predicted, real in replay(folder, workers):
        if 0.1 <= share <= 0.95:
            seen += 1
            assert real / 2 <= predicted <= real * 2, (share, predicted, real)
    assert seen >= 10


def test_a_mean_per_case_is_not():
    """The bar of before: all time so far, loading included, over all cases so far."""
    ordered, records, cold = recorded(DEFAULT)
    passed = sum(r.measured["file_to_answer_seconds"] + (LOADING if r.case in cold else 0) for r in records[:40])
    real = sum(r.measured["file_to_answer_seconds"] for r in records[40:])
    assert passed / 40 * (len(records) - 40) > 4 * real


def case(name, length, source="h", start=0):
    spans = [{"source": source, "start": start, "stop": start + length}] if length else []
    rest = {"suite": "s", "version": 2, "condition": "full", "needle": "n", "needle_source": "n", "haystack": source}
    text = {"fps": 1.0, "question": "?", "options": ["a", "b"], "answer": "A", "type": "t"}
    return Case.from_json({"id": name, **rest, "length": length, "needles": [], "timeline": spans, **text})


def test_frames_count_as_new_once_and_in_cold_cases_always():
    cases = [case("cold", 100), case("first", 100), case("again", 50, start=75), case("blind", 0)]
    terms = case_terms(cases, {"cold"})
    assert {name: tuple(numbers) for name, numbers in terms.items()} == {
        "cold": (1, 100, 100),
        "first": (1, 100, 100),
        "again": (1, 50, 25),
        "blind": (1, 0, 0),
    }


@pytest.mark.parametrize(
    "seconds, words", [(3.4, "3 s"), (89, "89 s"), (90, "2 min"), (780, "13 min"), (5400, "1.5 h")]
)
def test_a_duration_has_two_digits(seconds, words):
    assert duration(seconds) == words


@pytest.fixture
def bars(monkeypatch):
    """Return what the bars of the smoke run print, with some cases done before."""

    def show(done=0, only=None):
        stderr = io.StringIO()
        stderr.isatty = lambda: True
        monkeypatch.setattr(sys, "stderr", stderr)
        ordered, records, cold = recorded(SMOKE)
        plan = Plan(
            GeneratedSuite(Suite("smoke", footage=Footage("smoke")), tuple(ordered), {}),
            tuple(ordered),
            frozenset(cold),
        )
        now = 0.0
        with Progress(plan, records[:done], "vilamp", lambda: now) as progress:
            progress._bar.mininterval = 0
            for one, record in list(zip(ordered, records, strict=True))[done:only]:
                now += record.measured["file_to_answer_seconds"]
                progress.add(one, dataclasses.replace(record))
                progress._bar.refresh()
        return stderr.getvalue()

    return show


def test_memory_is_measured_under_its_own_name_and_without_a_rate(bars):
    said = bars(only=1)
    assert "measuring memory: 1 of 2 cases in fresh processes [" in said
    assert "/s" not in said and "left" not in said


def test_the_bar_names_the_model_the_accuracy_and_the_time_left(bars):
    last = bars(only=40).split("\r")[-1]
    assert re.search(r"asking vilamp: +77%\|.*\| 40/52 \[\d\d:\d\d, accuracy \(full\) [\d.]+%, \d+ s left\]", last), (
        last
    )


def test_a_resumed_run_counts_what_was_answered_before(bars):
    said = bars(done=10, only=11)
    assert "measuring memory" not in said
    assert "11/52" in said.split("\r")[-1]


def test_the_clock_goes_on_while_a_case_is_asked(bars, monkeypatch):
    """The bar is drawn every second where somebody watches."""
    drawn = threading.Event()
    ordered, records, cold = recorded(SMOKE)
    plan = Plan(
        GeneratedSuite(Suite("smoke", footage=Footage("smoke")), tuple(ordered), {}), tuple(ordered), frozenset(cold)
    )
    stderr = io.StringIO()
    stderr.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", stderr)
    with Progress(plan, [], "vilamp") as progress:
        monkeypatch.setattr(progress._bar, "refresh", lambda *_, **__: drawn.set())
        assert drawn.wait(20)


def test_a_finished_run_has_no_time_left(bars):
    assert "left" not in bars().split("\r")[-1]


def test_what_the_run_itself_takes_beside_answers_in_no_time_is_counted():
    """`chance` guesses in a millisecond, a first case in a fresh process in a second, and a record takes 50 ms."""
    ordered, records, cold = recorded(DEFAULT)
    now = 0.0
    left = TimeLeft(ordered, cold, (), lambda: now)
    for number, record in enumerate(records):
        seconds = 1.0 if record.case in cold else 0.001
        now += LOADING if record.case in cold else 0.051
        left.add(dataclasses.replace(record, measured={"file_to_answer_seconds": seconds}))
        real = 0.051 * (len(records) - number - 1)
        if number > len(records) / 10 and real > 1:
            predicted = left.seconds()
            assert real / 2 <= predicted <= real * 2, (number, predicted, real)


def test_a_case_whose_worker_was_killed_teaches_nothing():
    ordered, records, cold = recorded(SMOKE)
    left = TimeLeft(ordered, cold, (), lambda: 1000.0)
    lost = dataclasses.replace(records[2], status="timeout", reply=None, measured={"worker": 1})
    left.add(lost)
    assert left.seconds() is None
