"""Ask every case of a plan that is left: one at a time, or several where the adapter's `concurrency` says so.

Concurrency is for a model behind an API, which waits more than it works. Each question under way has
a worker process of its own, so limits, crashes and hangs stay one case's affair. Cases that measure
with nothing stored still go first and alone. Only this thread writes records, as they come; a
complete run is put into the planned order at its end.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from niah.run.ask import Asker
from niah.run.plan import Plan
from niah.run.records import Records
from niah.types import Case, Record

Tell = Callable[[Case, Record], None]


def ask_all(plan: Plan, done: Iterable[Record], asker: Asker, records: Records, tell: Tell) -> None:
    """Ask the cases that are not done, in the planned order. Raises CannotWrite where the disk is full."""
    known = {record.case for record in done}
    left = [case for case in plan.ordered if case.id not in known]

    def keep(case: Case, record: Record) -> None:
        records.append(record)
        tell(case, record)

    try:
        while left and (left[0].id in plan.cold or _width(asker) == 1):
            case = left.pop(0)
            keep(case, asker.ask(case, case.id in plan.cold))
        if left:
            _at_once(left, asker, _width(asker), keep)
    finally:
        asker.close()


def _width(asker: Asker) -> int:
    """Return how many questions the model takes at once: 1 until a worker has said otherwise."""
    return max(1, int(asker.about.get("concurrency", 1)))


def _at_once(cases: Sequence[Case], asker: Asker, width: int, keep: Tell) -> None:
    """Ask cases through `width` askers, and break off what is under way when anything stops this thread."""
    askers = [asker, *(asker.sibling() for _ in range(min(width, len(cases)) - 1))]
    free: queue.SimpleQueue[Asker] = queue.SimpleQueue()
    for one in askers:
        free.put(one)

    def ask(case: Case) -> tuple[Case, Record]:
        mine = free.get()
        try:
            return case, mine.ask(case, cold=False)
        finally:
            free.put(mine)

    with ThreadPoolExecutor(len(askers)) as threads:
        futures = [threads.submit(ask, case) for case in cases]
        try:
            for future in as_completed(futures):
                keep(*future.result())
        except BaseException:  # Ctrl-C, a full disk, a worker that does not start: none may wait for the answers
            threads.shutdown(wait=False, cancel_futures=True)
            for one in askers:
                one.interrupt()
            raise
        finally:
            threads.shutdown()
            asker.started = max(one.started for one in askers)
            for one in askers:
                one.close()
