"""Ask every case of a plan that is left: one at a time, or several at once.

How many is a setting of the run (`num_workers`), else the adapter's `concurrency`: a model behind an API waits more
than it computes. Each case in progress has a worker of its own, so limits, crashes and hangs concern that case alone.
Cold cases go first, and alone where an answer takes memory of a device: another worker's share of it could be what is
lacking. Only the calling thread writes records, in the order they arrive; a complete run is put into the planned order
at its end, so its bytes do not depend on which worker answered what when.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from niah.run.case_runner import CaseRunner
from niah.run.plan import Plan
from niah.run.process import NoCapacityError
from niah.run.records import Records
from niah.types import Case, Record

OnRecord = Callable[[Case, Record], None]


def ask_all(
    plan: Plan,
    done: Iterable[Record],
    case_runner: CaseRunner,
    records: Records,
    on_record: OnRecord,
    num_workers: int | None = None,
) -> None:
    """Ask the cases of a plan that are not done, and append their records.

    Args:
        plan: the cases in order, and which of them need a worker that has answered nothing.
        done: records that are final; their cases are not asked again.
        case_runner: the first runner; further ones are made from it.
        records: the file that records are appended to.
        on_record: called for each record after it is on disk.
        num_workers: how many cases are asked at once; None for the adapter's `concurrency`.

    Raises CannotWrite where the disk is full, UserError where no worker can be started.
    """
    known = {record.case for record in done}
    left = [case for case in plan.ordered if case.id not in known]
    cold = deque(case for case in left if case.id in plan.cold)
    others = deque(case for case in left if case.id not in plan.cold)

    def save(case: Case, record: Record) -> None:
        records.append(record)
        on_record(case, record)

    runners = [case_runner]
    try:
        on_host = False  # whether the last cold case was answered without a device
        while cold and not (on_host and num_workers is not None and num_workers > 1):
            case = cold.popleft()
            record = case_runner.ask(case, cold=True)
            save(case, record)
            on_host = record.status == "ok" and record.measured.get("peak_allocated_bytes") is None
        while others and (num_workers or _concurrency(case_runner)) == 1:
            case = others.popleft()
            save(case, case_runner.ask(case, cold=False))
        for cases, is_cold in ((cold, True), (others, False)):
            if cases:
                more = min(num_workers or _concurrency(case_runner), len(cases)) - len(runners)
                runners += [case_runner.sibling() for _ in range(more)]
                _ask_in_parallel(cases, is_cold, runners, save)
    finally:
        for runner in runners:
            runner.close()


def _concurrency(case_runner: CaseRunner) -> int:
    """Return how many cases the model takes at once: 1 until a worker has reported its concurrency."""
    return max(1, int(case_runner.metadata.get("concurrency", 1)))


def _ask_in_parallel(cases: Sequence[Case], cold: bool, runners: Sequence[CaseRunner], save: OnRecord) -> None:
    """Ask cases through several runners, and break off what is in progress when anything stops this thread."""
    scheduler = Scheduler(cases, runners)
    idle: queue.SimpleQueue[CaseRunner] = queue.SimpleQueue()
    for runner in runners:
        idle.put(runner)
    with ThreadPoolExecutor(len(runners)) as threads:
        try:
            futures = [threads.submit(_ask_next, scheduler, idle, cold) for _ in cases]
            for future in as_completed(futures):
                save(*future.result())
        except BaseException:  # Ctrl-C, a full disk, a worker that does not start: none may wait for the answers
            runners[0].stopping.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            threads.shutdown()
            runners[0].started = max(runner.started for runner in runners)


def _ask_next(scheduler: Scheduler, idle: queue.SimpleQueue[CaseRunner], cold: bool) -> tuple[Case, Record]:
    """Ask the next case through an idle runner; a runner without room for its worker leaves the case to others."""
    while True:
        runner = idle.get()
        case = scheduler.take(runner)
        retired = False
        try:
            return case, runner.ask(case, cold)
        except NoCapacityError:
            retired = scheduler.retire(runner, case)
            if not retired:
                raise
        finally:
            if scheduler.empty and not cold:
                runner.close()  # frees its device for a worker that waits for room
            if not retired:
                idle.put(runner)


class Scheduler:
    """Hands out cases so that each runner stays with one haystack as long as it has cases. Thread-safe.

    An adapter that reuses features then decodes and encodes a haystack once. When there are fewer haystacks than
    runners, the one with most cases is shared, as idle workers cost more than encoding twice.
    """

    def __init__(self, cases: Iterable[Case], runners: Iterable[CaseRunner]) -> None:
        self._left: dict[str, deque[Case]] = {}  # by haystack
        for case in cases:
            self._left.setdefault(case.haystack, deque()).append(case)
        self._haystack_of: dict[CaseRunner, str | None] = dict.fromkeys(runners)
        self._lock = threading.Lock()

    @property
    def empty(self) -> bool:
        """Whether every case has been handed out."""
        return not any(self._left.values())

    def take(self, runner: CaseRunner) -> Case:
        """Return the runner's next case: of its own haystack, else of the haystack with the fewest runners."""
        with self._lock:
            haystack = self._haystack_of[runner]
            if haystack is None or not self._left[haystack]:
                others = Counter(other for one, other in self._haystack_of.items() if one is not runner)
                waiting = [name for name, cases in self._left.items() if cases]
                haystack = min(waiting, key=lambda name: (others[name], -len(self._left[name])))
                self._haystack_of[runner] = haystack
            return self._left[haystack].popleft()

    def retire(self, runner: CaseRunner, case: Case) -> bool:
        """Take a runner out and its case back; return False, and do nothing, where it is the last runner."""
        with self._lock:
            if len(self._haystack_of) == 1:
                return False
            del self._haystack_of[runner]
            self._left[case.haystack].appendleft(case)
            return True
