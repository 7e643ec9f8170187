"""Ask every case of a plan that is left: one at a time, or several at once.

How many is for the run to say (`width`), else for the adapter's `concurrency`: a model behind an API waits
more than it works. Each question under way has a worker of its own, so limits, crashes and hangs stay one
case's affair. Cases that measure with nothing stored still go first and alone. Only this thread writes
records, as they come; a complete run is put into the planned order at its end, so its bytes do not tell who
asked what when.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from niah.run.case_runner import CaseRunner
from niah.run.plan import Plan
from niah.run.process import NoCapacityError
from niah.run.records import Records
from niah.run.scheduler import Scheduler
from niah.types import Case, Record

Tell = Callable[[Case, Record], None]


def ask_all(
    plan: Plan, done: Iterable[Record], asker: CaseRunner, records: Records, tell: Tell, width: int | None = None
) -> None:
    """Ask the cases that are not done, `width` at once, or as many as the adapter says.

    Raises CannotWrite where the disk is full, UserError where no worker can be had.
    """
    known = {record.case for record in done}
    left = [case for case in plan.ordered if case.id not in known]

    def keep(case: Case, record: Record) -> None:
        records.append(record)
        tell(case, record)

    try:
        while left and (left[0].id in plan.cold or (width or _concurrency(asker)) == 1):
            case = left.pop(0)
            keep(case, asker.ask(case, case.id in plan.cold))
        if left:
            _at_once(left, asker, width or _concurrency(asker), keep)
    finally:
        asker.close()


def _concurrency(asker: CaseRunner) -> int:
    """Return how many questions the model takes at once: 1 until a worker has said otherwise."""
    return max(1, int(asker.metadata.get("concurrency", 1)))


def _at_once(cases: Sequence[Case], asker: CaseRunner, width: int, keep: Tell) -> None:
    """Ask cases through `width` askers, and break off what is under way when anything stops this thread."""
    askers = [asker, *(asker.sibling() for _ in range(min(width, len(cases)) - 1))]
    shares = Scheduler(cases, askers)
    free: queue.SimpleQueue[CaseRunner] = queue.SimpleQueue()
    for one in askers:
        free.put(one)
    with ThreadPoolExecutor(len(askers)) as threads:
        try:
            futures = [threads.submit(_ask_one, shares, free) for _ in cases]
            for future in as_completed(futures):
                keep(*future.result())
        except BaseException:  # Ctrl-C, a full disk, a worker that does not start: none may wait for the answers
            asker.stopping.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            threads.shutdown()
            asker.started = max(one.started for one in askers)
            for one in askers:
                one.close()


def _ask_one(shares: Scheduler, free: queue.SimpleQueue[CaseRunner]) -> tuple[Case, Record]:
    """Ask the next case through whoever is free; one that finds no place for its worker leaves the case to others."""
    while True:
        asker = free.get()
        case = shares.take(asker)
        retired = False
        try:
            return case, asker.ask(case, cold=False)
        except NoCapacityError:
            retired = shares.retire(asker, case)
            if not retired:
                raise
        finally:
            if shares.empty:
                asker.close()  # frees its device for one that waits for a place
            if not retired:
                free.put(asker)
