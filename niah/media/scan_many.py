"""Scan several files at once, ahead of whoever asks for one index after another.

Every frame of every file is decoded once: fifty films of an hour take hours on one core. Each process has limits and
costs one file where it ends (`niah.media.scan_apart`).
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, List, Optional, Union

from niah.media.index import Index
from niah.media.scan_apart import ScanProcess

MOST_PROCESSES = 8  # reading the files binds then


class ScanProcesses:
    """Scans files, each as `niah.media.scan.scan` does, in as many processes as there are cores.

    A context manager that ends them. Holds the indexes of the files announced.
    """

    def __init__(self, count: Optional[int] = None) -> None:
        count = count or min(os.cpu_count() or 1, MOST_PROCESSES)
        self._processes: List[ScanProcess] = [ScanProcess() for _ in range(count)]
        self._idle: queue.SimpleQueue[ScanProcess] = queue.SimpleQueue()
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(count)
        self._announced: Dict[str, Future[Index]] = {}

    def __enter__(self) -> ScanProcesses:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.kill()
        self._threads.shutdown()
        for process in self._processes:
            process.__exit__(kind, error, trace)

    def announce(self, paths: Iterable[Union[str, Path]]) -> None:
        """Begin to scan files that will be asked for, in this order."""
        for path in map(str, paths):
            if path not in self._announced:
                self._announced[path] = self._threads.submit(self._serve, lambda process, path=path: process.scan(path))

    def scan(self, path: Union[str, Path]) -> Index:
        """Return the index of a file. Raises MediaError for what is no video, and for a file that ends its process."""
        self.announce([path])
        return self._announced[str(path)].result()

    def call(self, path: Union[str, Path], target: str, *arguments: Any) -> Future[Any]:
        """Begin what `ScanProcess.call` does; the result has what it returns or raises."""
        return self._threads.submit(self._serve, lambda process: process.call(path, target, *arguments))

    def _serve(self, use: Callable[[ScanProcess], Any]) -> Any:
        process = self._idle.get()
        try:
            return use(process)
        finally:
            self._idle.put(process)
