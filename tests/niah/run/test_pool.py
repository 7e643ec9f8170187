"""Several questions under way at once, with clients that are threads' own and no processes."""

import itertools
import threading
from dataclasses import replace

import pytest

from niah.run.case_runner import CaseRunner
from niah.run.plan import Plan
from niah.run.pool import ask_all
from niah.run.process import WorkerResult
from niah.run.records import CannotWrite
from niah.suite.config import Footage, Suite
from niah.suite.folder import GeneratedSuite
from niah.types import Case, UserError

WAIT = 30.0  # seconds after which a test that would hang fails


def case(number):
    return Case(
        id=f"c{number}", suite="s", version=1, condition="blind", needle="n", needle_source="n", haystack="", length=0,
        needles=(), timeline=(), fps=1.0, question="?", options=("a", "b"), answer="A", type="t",
    )  # fmt: skip


def plan(count, cold=()):
    cases = tuple(case(number) for number in range(count))
    return Plan(GeneratedSuite(Suite("s", footage=Footage("w")), cases, {}), cases, frozenset(cold))


class Rooms:
    """Makes clients; each question waits at `barrier` once `alone` questions were asked."""

    def __init__(self, width, alone=1, barrier=None, starts=99):
        self.metadata = {"decoder": "d", "concurrency": width}
        self.alone, self.barrier, self.starts = alone, barrier, starts
        self.made, self.forgotten = [], 0  # forgotten: questions that nobody broke off
        self.asked = itertools.count(1)
        self.under_way, self.most, self.lock = 0, 0, threading.Lock()
        self.stopping = threading.Event()

    def start(self):
        if len(self.made) == self.starts:
            raise UserError("the key was taken away")
        self.made.append(Client(self))
        return self.made[-1]


class Client:
    def __init__(self, rooms):
        self.rooms, self.metadata = rooms, rooms.metadata
        self.closed = False

    def ask(self, case):
        rooms = self.rooms
        with rooms.lock:
            rooms.under_way += 1
            rooms.most = max(rooms.most, rooms.under_way)
        if next(rooms.asked) > rooms.alone:
            if rooms.barrier is None:
                rooms.forgotten += not rooms.stopping.wait(WAIT)
                return WorkerResult("error", "killed", died=True, gone=True)
            rooms.barrier.wait(WAIT)
        with rooms.lock:
            rooms.under_way -= 1
        return WorkerResult("ok", reply={"text": "A"})

    def close(self):
        self.closed = True


class Kept:
    """Stands for records.jsonl; full after `room` lines."""

    def __init__(self, room=99):
        self.room, self.rows = room, []

    def append(self, record):
        if len(self.rows) == self.room:
            raise CannotWrite("full")
        self.rows.append(record)


def ask(plan, rooms, kept, done=(), width=None):
    asker = CaseRunner(rooms.start, "m", {}, stopping=rooms.stopping)
    ask_all(plan, done, asker, kept, lambda case, record: None, width)
    return asker


def test_as_many_are_under_way_as_the_adapter_says_and_never_more():
    rooms, kept = Rooms(3, barrier=threading.Barrier(3)), Kept()
    ask(plan(7), rooms, kept)  # the first tells the width, then two waves of three
    assert (rooms.most, len(rooms.made)) == (3, 3)
    assert sorted(row.case for row in kept.rows) == [f"c{number}" for number in range(7)]
    assert all(client.closed for client in rooms.made)


def test_cold_cases_come_first_and_alone_each_in_a_fresh_worker():
    rooms, kept = Rooms(3, alone=2, barrier=threading.Barrier(3)), Kept()
    ask(plan(5, cold=("c0", "c1")), rooms, kept)
    assert [row.case for row in kept.rows[:2]] == ["c0", "c1"]
    assert [row.measured["worker"] for row in kept.rows[:2]] == [1, 2]
    assert len(rooms.made) == 4  # the second cold worker goes on as one of three


def test_adapter_without_concurrency_is_asked_in_the_planned_order():
    rooms, kept = Rooms(1, alone=9), Kept()
    ask(plan(5), rooms, kept)
    assert [row.case for row in kept.rows] == ["c0", "c1", "c2", "c3", "c4"]
    assert (rooms.most, len(rooms.made)) == (1, 1)


def test_no_more_workers_start_than_there_are_cases_left():
    rooms = Rooms(8, barrier=threading.Barrier(2))
    asker = ask(plan(3), rooms, Kept())
    assert (len(rooms.made), asker.started) == (2, 2)


def test_cases_that_are_done_are_not_asked():
    rooms, kept = Rooms(2, alone=9), Kept()
    ask(plan(4), rooms, kept)
    again = Kept()
    ask(plan(4), Rooms(2, alone=9), again, done=[row for row in kept.rows if row.case != "c3"])
    assert [row.case for row in again.rows] == ["c3"]


def test_full_disk_breaks_off_the_questions_under_way():
    rooms, kept = Rooms(2, alone=2), Kept(room=1)
    with pytest.raises(CannotWrite):  # at the second record, while another question waits for ever
        ask(plan(6), rooms, kept)
    assert (rooms.forgotten, len(kept.rows)) == (0, 1)


def test_worker_that_does_not_start_stops_the_run():
    rooms = Rooms(2, starts=1)
    with pytest.raises(UserError, match="the key was taken away"):
        ask(plan(4), rooms, Kept())


def unmeasured(kept):
    return sorted((replace(row, measured={}) for row in kept.rows), key=lambda row: row.case)


def test_same_case_gives_the_same_record_at_any_width():
    alone, together = Kept(), Kept()
    ask(plan(5), Rooms(1, alone=9), alone)
    ask(plan(5), Rooms(2, barrier=threading.Barrier(2)), together)
    assert unmeasured(alone) == unmeasured(together)
