"""Run generators in threads, ahead of whoever reads their items, and yield the items in order.

Threads, not processes: FFmpeg and NumPy release the interpreter's lock, and frames need not be copied.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Callable, Deque, Generator, Iterator, List, Sequence, TypeVar, Union

Item = TypeVar("Item")


def in_order(tasks: Sequence[Callable[[], Iterator[Item]]], threads: int, limit: int) -> Generator[Item, None, None]:
    """Yield the items of the first task, then those of the second, and so on, while threads work ahead.

    Holds at most `limit` items that nobody has taken yet, and one more of the task that is being read. An exception of
    a task is raised where its next item would have come. The threads have ended when the generator is closed.

    Args:
        tasks: each returns an iterator, which one thread reads; different tasks are read by different threads.
        threads: how many tasks are read at a time.
        limit: items.
    """
    line = _Line(len(tasks), limit)
    todo = deque(enumerate(tasks))
    workers = [threading.Thread(target=_work, args=(line, todo), daemon=True) for _ in range(min(threads, len(tasks)))]
    for worker in workers:
        worker.start()
    try:
        for number in range(len(tasks)):
            yield from line.items(number)
    finally:
        line.stop()
        for worker in workers:
            worker.join()


def _work(line: _Line, todo: Deque) -> None:
    """Read one task after another, until there is none left or nobody reads on."""
    while True:
        try:
            number, task = todo.popleft()
        except IndexError:
            return
        items: Iterator = iter(())
        try:
            items = task()
            for item in items:
                if not line.put(number, item):
                    return
            line.end(number)
        except Exception as error:  # whatever it is, the reader gets it
            line.end(number, error)
        finally:
            close = getattr(items, "close", None)
            if close is not None:
                close()


class _Line:
    """The items of every task that nobody has taken yet."""

    def __init__(self, tasks: int, limit: int) -> None:
        self._limit = limit
        self._waiting: List[Deque] = [deque() for _ in range(tasks)]
        self._ended: List[Union[bool, Exception]] = [False] * tasks
        self._held = 0
        self._reading = 0  # the task whose items are read: it may always add one
        self._stopped = False
        self._changed = threading.Condition()

    def put(self, number: int, item: object) -> bool:
        """Add an item once there is room for it; return False if nobody reads on."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._has_room(number))
            if self._stopped:
                return False
            self._waiting[number].append(item)
            self._held += 1
            self._changed.notify_all()
            return True

    def end(self, number: int, how: Union[bool, Exception] = True) -> None:
        """Note that a task has no more items, or which exception it ended with."""
        with self._changed:
            self._ended[number] = how
            self._changed.notify_all()

    def items(self, number: int) -> Iterator:
        """Yield the items of one task as they come; raise what it ended with."""
        with self._changed:
            self._reading = number
            self._changed.notify_all()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting[number] or self._ended[number])
                if not self._waiting[number]:
                    break
                item = self._waiting[number].popleft()
                self._held -= 1
                self._changed.notify_all()
            yield item
            del item
        ended = self._ended[number]
        if isinstance(ended, Exception):
            raise ended

    def stop(self) -> None:
        """Let every thread end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _has_room(self, number: int) -> bool:
        return self._held < self._limit or (number == self._reading and not self._waiting[number])
