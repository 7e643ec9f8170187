"""Several questions under way at once, with workers that are threads' own and no processes."""

import itertools
import threading
from dataclasses import replace

import pytest

from niah.run.case_runner import CaseRunner
from niah.run.messages import WorkerResult
from niah.run.plan import Plan
from niah.run.pool import ask_all
from niah.run.records import CannotWrite
from niah.suite.config import Footage, Suite
from niah.suite.folder import GeneratedSuite
from niah.types import Case, Reply, UserError

WAIT = 30.0  # seconds after which a test that would hang fails


def case(number):
    return Case(
        id=f"c{number}", suite="s", version=1, condition="blind", needle="n", needle_source="n", haystack="", length=0,
        needles=(), timeline=(), fps=1.0, question="?", options=("a", "b"), answer="A", type="t",
    )  # fmt: skip


def plan(count, cold=()):
    cases = tuple(case(number) for number in range(count))
    return Plan(GeneratedSuite(Suite("s", footage=Footage("w")), cases, {}), cases, frozenset(cold))


class FakeWorkers:
    """Makes workers; each question waits at `barrier` once `alone` questions were asked."""

    def __init__(self, width, alone=1, barrier=None, starts=99, device_bytes=None):
        self.metadata = {"decoder": "d", "concurrency": width}
        self.alone, self.barrier, self.starts, self.device_bytes = alone, barrier, starts, device_bytes
        self.made, self.forgotten = [], 0  # forgotten: questions that nobody broke off
        self.asked = itertools.count(1)
        self.in_progress, self.most, self.lock = 0, 0, threading.Lock()
        self.stopping = threading.Event()

    def start(self):
        if len(self.made) == self.starts:
            raise UserError("the key was taken away")
        self.made.append(FakeWorker(self))
        return self.made[-1]


class FakeWorker:
    def __init__(self, workers):
        self.workers, self.metadata = workers, workers.metadata
        self.closed = False

    def ask(self, case):
        workers = self.workers
        with workers.lock:
            workers.in_progress += 1
            workers.most = max(workers.most, workers.in_progress)
        if next(workers.asked) > workers.alone:
            if workers.barrier is None:
                workers.forgotten += not workers.stopping.wait(WAIT)
                return WorkerResult("error", "killed", crashed=True, worker_gone=True)
            workers.barrier.wait(WAIT)
        with workers.lock:
            workers.in_progress -= 1
        return WorkerResult("ok", reply=Reply("A", peak_allocated_bytes=workers.device_bytes))

    def close(self):
        self.closed = True


class FakeRecords:
    """Stands for records.jsonl; full after `room` lines."""

    def __init__(self, room=99):
        self.room, self.rows = room, []

    def append(self, record):
        if len(self.rows) == self.room:
            raise CannotWrite("full")
        self.rows.append(record)


def ask(plan, workers, kept, done=(), width=None):
    case_runner = CaseRunner(workers.start, "m", {}, stopping=workers.stopping)
    ask_all(plan, done, case_runner, kept, lambda case, record: None, width)
    return case_runner


def test_as_many_are_in_progress_as_the_adapter_says_and_never_more():
    workers, kept = FakeWorkers(3, barrier=threading.Barrier(3)), FakeRecords()
    ask(plan(7), workers, kept)  # the first tells the width, then two waves of three
    assert (workers.most, len(workers.made)) == (3, 3)
    assert sorted(row.case for row in kept.rows) == [f"c{number}" for number in range(7)]
    assert all(worker.closed for worker in workers.made)


def test_cold_cases_come_first_and_alone_each_in_a_fresh_worker():
    workers, kept = FakeWorkers(3, alone=2, barrier=threading.Barrier(3)), FakeRecords()
    ask(plan(5, cold=("c0", "c1")), workers, kept)
    assert [row.case for row in kept.rows[:2]] == ["c0", "c1"]
    assert [row.measured["worker"] for row in kept.rows[:2]] == [1, 2]
    assert len(workers.made) == 4  # the second cold worker goes on as one of three


@pytest.mark.parametrize("device_bytes, alone, made", [(None, 1, 3), (1 << 30, 3, 4)])
def test_several_workers_share_cold_cases_unless_these_take_memory_of_a_device(device_bytes, alone, made):
    workers, kept = FakeWorkers(1, alone, threading.Barrier(2), device_bytes=device_bytes), FakeRecords()
    ask(plan(5, cold=("c0", "c1", "c2")), workers, kept, width=2)  # what is not alone waits for another
    assert {row.case for row in kept.rows[:3]} == {"c0", "c1", "c2"}
    assert {row.measured["worker"] for row in kept.rows[:3]} == {1, 2, 3}
    assert len(workers.made) == made  # the last cold workers go on


def test_adapter_without_concurrency_is_asked_in_the_planned_order():
    workers, kept = FakeWorkers(1, alone=9), FakeRecords()
    ask(plan(5), workers, kept)
    assert [row.case for row in kept.rows] == ["c0", "c1", "c2", "c3", "c4"]
    assert (workers.most, len(workers.made)) == (1, 1)


def test_no_more_workers_start_than_there_are_cases_left():
    workers = FakeWorkers(8, barrier=threading.Barrier(2))
    case_runner = ask(plan(3), workers, FakeRecords())
    assert (len(workers.made), case_runner.started) == (2, 2)


def test_cases_that_are_done_are_not_asked():
    workers, kept = FakeWorkers(2, alone=9), FakeRecords()
    ask(plan(4), workers, kept)
    again = FakeRecords()
    ask(plan(4), FakeWorkers(2, alone=9), again, done=[row for row in kept.rows if row.case != "c3"])
    assert [row.case for row in again.rows] == ["c3"]


def test_full_disk_breaks_off_the_questions_in_progress():
    workers, kept = FakeWorkers(2, alone=2), FakeRecords(room=1)
    with pytest.raises(CannotWrite):  # at the second record, while another question waits for ever
        ask(plan(6), workers, kept)
    assert (workers.forgotten, len(kept.rows)) == (0, 1)


def test_worker_that_does_not_start_stops_the_run():
    workers = FakeWorkers(2, starts=1)
    with pytest.raises(UserError, match="the key was taken away"):
        ask(plan(4), workers, FakeRecords())


def unmeasured(kept):
    return sorted((replace(row, measured={}) for row in kept.rows), key=lambda row: row.case)


def test_same_case_gives_the_same_record_at_any_width():
    alone, together = FakeRecords(), FakeRecords()
    ask(plan(5), FakeWorkers(1, alone=9), alone)
    ask(plan(5), FakeWorkers(2, barrier=threading.Barrier(2)), together)
    assert unmeasured(alone) == unmeasured(together)
