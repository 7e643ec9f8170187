"""Several workers on this machine: who is asked what, and records that do not tell how many there were."""

import json
import os
import random
import signal
import threading
import time
from dataclasses import replace

import psutil
import pytest

from niah.run.case_runner import CaseRunner
from niah.run.config import RunConfig, without_machine_paths
from niah.run.messages import WorkerResult
from niah.run.pool import Scheduler, ask_all
from niah.run.process import NoCapacityError, WorkerLostError
from niah.types import UserError
from tests.helpers.engine_runs import runner, without_measured
from tests.niah.run.test_pool import FakeRecords, FakeWorkers, case, plan, unmeasured


def cases(**haystacks):
    """Return so many cases of each haystack, named h0, h1, ..."""
    names = [(haystack, f"{haystack}{number}") for haystack, count in haystacks.items() for number in range(count)]
    return [replace(case(0), id=name, haystack=haystack) for haystack, name in names]


def test_each_asker_stays_with_one_haystack_as_long_as_it_lasts():
    scheduler = Scheduler(cases(a=2, b=2), ["first", "second"])
    taken = [scheduler.take(who).id for who in ("first", "second", "first", "second")]
    assert taken == ["a0", "b0", "a1", "b1"]
    assert scheduler.empty


def test_fullest_haystack_is_begun_first_and_shared_when_no_other_is_left():
    scheduler = Scheduler(cases(a=1, b=4), ["first", "second"])
    taken = [scheduler.take(who).id for who in ("first", "second", "second", "first", "second")]
    assert taken == ["b0", "a0", "b1", "b2", "b3"]


def test_case_of_one_who_retires_goes_to_another_and_the_last_cannot_retire():
    scheduler = Scheduler(cases(a=2), ["first", "second"])
    given = scheduler.take("first")
    assert scheduler.retire("first", given)
    assert [scheduler.take("second").id for _ in range(2)] == ["a0", "a1"]
    assert not scheduler.retire("second", given)


class FewPlaces(FakeWorkers):
    """Has room for so many workers at once; whoever asks for more is refused."""

    def __init__(self, places):
        super().__init__(1, alone=99)
        self.places = threading.Semaphore(places)

    def start(self):
        if not self.places.acquire(blocking=False):
            raise NoCapacityError("no room")
        return super().start()


def test_askers_that_find_no_place_leave_their_cases_to_the_others():
    workers, kept = FewPlaces(2), FakeRecords()
    case_runner = CaseRunner(workers.start, "m", {}, stopping=workers.stopping)
    ask_all(plan(9), (), case_runner, kept, lambda case, record: None, num_workers=4)
    assert sorted(row.case for row in kept.rows) == [f"c{number}" for number in range(9)]
    assert len(workers.made) == 2


def test_run_without_any_place_ends_in_words():
    workers = FewPlaces(0)
    case_runner = CaseRunner(workers.start, "m", {}, stopping=workers.stopping)
    with pytest.raises(NoCapacityError, match="no room"):
        ask_all(plan(9), (), case_runner, FakeRecords(), lambda case, record: None, num_workers=4)


class Dying:
    """A worker that dies of its first question."""

    metadata = {"decoder": "d"}

    def ask(self, case):
        return WorkerResult("error", "died", crashed=True, worker_gone=True)

    def close(self):
        raise AssertionError("a worker that has gone is not closed")


def test_worker_lost_while_it_starts_counts_as_the_retry():
    ready = [Dying()]

    def start():
        if not ready:
            raise WorkerLostError("its node went away; see the log")
        return ready.pop()

    record = CaseRunner(start, "m", {}).ask(case(0), cold=False)
    assert (record.status, record.detail, record.measured["attempts"]) == ("error", "its node went away", 2)


def test_worker_lost_twice_before_any_came_up_ends_the_run():
    begun = []

    def start():
        begun.append(None)
        raise WorkerLostError("the disk went away")

    with pytest.raises(UserError, match="the disk went away"):
        CaseRunner(start, "m", {}).ask(case(0), cold=False)
    assert len(begun) == 2


def test_sibling_whose_first_worker_is_lost_records_its_case():
    case_runner = CaseRunner(FakeWorkers(1, alone=99).start, "m", {})
    case_runner.ask(case(0), cold=False)

    def start():
        raise WorkerLostError("the disk went away")

    other = case_runner.sibling()
    other._start = start
    assert other.ask(case(1), cold=False).status == "error"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that runs the small suite with workers into a folder."""
    folder = tmp_path_factory.mktemp("engine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDEONIAH_CACHE", str(folder / "cache"))
        yield runner(folder)


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("one")
    assert run(out, "--in_process") == 0
    return without_measured(out)


@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)])
def test_records_do_not_tell_how_many_workers_there_were(run, undisturbed, tmp_path, count):
    assert run(tmp_path, "--num_workers", str(count)) == 0
    assert without_measured(tmp_path) == undisturbed and len(undisturbed) == 24
    workers = json.loads((tmp_path / "run.json").read_text())["runs"][0]["workers"]
    assert workers == count + 1  # two cold cases, one worker each; the second goes on with the rest


class Killer(threading.Thread):
    """Kills `times` of the workers that run under this process, one at a time, drawn at random."""

    def __init__(self, times, find):
        super().__init__(daemon=True)
        self.times, self.find, self.killed = times, find, 0
        self.over = threading.Event()

    def run(self):
        draw = random.Random("kills")
        while self.killed < self.times and not self.over.wait(draw.uniform(0.2, 0.6)):
            found = self.find()
            if found:
                os.kill(draw.choice(found), signal.SIGKILL)
                self.killed += 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.join()


def workers_that_answer():
    """Return the numbers of this process's workers that have been loaded: older than a moment."""
    found = []
    for child in psutil.Process().children():
        try:
            if "niah.run.worker" in child.cmdline() and child.status() != psutil.STATUS_ZOMBIE:
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


def until_done(run, out, *flags):
    """Run the same command until nothing is left to ask again; a case killed twice is an error until then."""
    for _ in range(10):
        code = run(out, *flags)
        if code == 0:
            return
        assert code in (2, 3)  # 2: the very first worker was killed while it loaded
    raise AssertionError("still not done")


def test_workers_killed_at_random_cost_no_record(run, undisturbed, tmp_path):
    with Killer(6, workers_that_answer) as killer:
        code = run(tmp_path, "--num_workers", "2")
    until_done(run, tmp_path, "--num_workers", "2")
    assert killer.killed >= 1 and code in (0, 2, 3)
    assert without_measured(tmp_path) == undisturbed
    assert workers_that_answer() == []


def test_run_that_is_stopped_while_workers_load_leaves_none_behind(run, tmp_path):
    def stop():
        while len(workers_that_answer()) < 2:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=stop, daemon=True).start()
    try:
        code = run(tmp_path, "--num_workers", "3", "--conditions", "blind,needle_only")  # none is cold: all at once
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert code == 130
    assert workers_that_answer() == []


WRONG = [
    ({"engine": "slurm"}, "--engine is local, ray or ray:ADDRESS, got 'slurm'"),
    ({"num_workers": 0}, "--num_workers is at least 1"),
    ({"gpus_per_worker": 1.0}, "--gpus_per_worker is a number for --engine ray"),
    ({"in_process": True, "num_workers": 2}, "--in_process has no worker"),
    ({"in_process": True, "engine": "ray"}, "--in_process has no worker"),
    ({"load_timeout": 0.0}, "--load_timeout is in seconds and above 0"),
]


@pytest.mark.parametrize("settings, words", WRONG)
def test_engine_that_cannot_be_is_refused(settings, words):
    with pytest.raises(UserError, match=words):
        RunConfig(**settings)


def test_address_of_a_cluster_stays_out_of_what_is_published():
    assert RunConfig(engine="ray:somebody.example:6379").to_yaml()["engine"] == "ray"
    assert without_machine_paths(["--engine", "ray:auto"]) == ["--engine", "ray"]


def test_same_case_gives_the_same_record_at_any_number_of_workers():
    alone, four = FakeRecords(), FakeRecords()
    for kept, width in ((alone, 1), (four, 4)):
        workers = FakeWorkers(1, alone=99)
        case_runner = CaseRunner(workers.start, "m", {}, stopping=workers.stopping)
        ask_all(plan(9), (), case_runner, kept, lambda case, record: None, num_workers=width)
    assert unmeasured(alone) == unmeasured(four)
