"""Put a case to a worker, and make a record of what became of it.

A worker that dies gets one successor per case; a timeout and an error of the adapter's own do not, as they would recur.
Nor does a case that fills the memory, unless earlier answers may have helped to fill it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from niah.run.process import Worker, WorkerLostError, WorkerResult
from niah.types import Case, Record

ATTEMPTS = 2


class RunInterruptedError(Exception):
    """Somebody interrupted the question; it has no outcome."""


class CaseRunner:
    """Puts cases to workers, starting them as needed; one thread asks one asker.

    `start` makes a loaded worker. `about` is what the latest one said of itself.
    `hashes` has the file hash of every source. `numbers` counts workers across siblings.
    Once `stopping` is set, this asker and its siblings break off what is under way and answer no more.
    """

    def __init__(
        self,
        start: Callable[[], Worker],
        model: str,
        hashes: Mapping[str, str],
        numbers: Iterator[int] | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        self.stopping = stopping if stopping is not None else threading.Event()
        self._start = start
        self._hashes = hashes
        self._model = model
        self._numbers = itertools.count(1) if numbers is None else numbers
        self._worker: Worker | None = None
        self._answered = False  # whether the worker may hold memory of earlier answers
        self.started = 0  # the number of its latest worker, siblings' counted
        self.metadata: Mapping[str, Any] = {}

    def ask(self, case: Case, cold: bool) -> Record:
        """Return what becomes of one case; a cold one gets a worker that has answered nothing.

        Raises Interrupted where `stopping` was set meanwhile, UserError where no worker can be had.
        """
        if cold:
            self.close()
        attempt = 0
        while True:
            attempt += 1
            outcome = self._outcome(case, last=attempt == ATTEMPTS)
            if outcome.gone:
                self._worker = None
            if self.stopping.is_set():
                raise RunInterruptedError
            held, self._answered = self._answered, self._answered or outcome.status == "ok"
            filled = outcome.status == "oom" and held
            if filled:
                self.close()
            if attempt == ATTEMPTS or not (outcome.died or filled):
                about = {"worker": self.started, "attempts": attempt, "cold": cold}
                files = tuple(f"{name}@{self._hashes[name][:16]}" for name in _sources(case))
                return make_record(case, outcome, self._model, str(self.metadata["decoder"]), files, about)

    def sibling(self) -> CaseRunner:
        """Return another asker of the same model, with workers of its own."""
        other = CaseRunner(self._start, self._model, self._hashes, self._numbers, self.stopping)
        other.metadata = self.metadata  # its workers will say the same
        return other

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _outcome(self, case: Case, last: bool) -> WorkerResult:
        """Put a case to the worker; one that is lost while it starts counts as one that died of the case."""
        try:
            worker = self._ready()
        except WorkerLostError as lost:
            if last and not self.metadata:  # none has ever come up: too little is known for a record
                raise
            return WorkerResult("error", str(lost).partition(";")[0], died=True, gone=True)  # less the log's path
        return worker.ask(case)

    def _ready(self) -> Worker:
        """Return the worker, started if there is none."""
        if self.stopping.is_set():
            raise RunInterruptedError
        if self._worker is None:
            self._worker = self._start()
            self._answered = False
            self.started = next(self._numbers)
            self.metadata = self._worker.metadata
        return self._worker


def make_record(
    case: Case, outcome: WorkerResult, model: str, decoder: str, files: tuple[str, ...], about: Mapping[str, Any]
) -> Record:
    """Return the record of one case. What may differ between two runs goes into `measured` and nowhere else."""
    reply: Mapping[str, Any] = outcome.reply or {}
    used, kept = reply.get("frames_used", ()), tuple(reply.get("frames_kept", ()))
    memory = ("peak_allocated_bytes", "peak_reserved_bytes")
    cost = ("seconds", "seconds_to_first_token", *memory, "reused_frames", "usage")
    scores = reply.get("option_scores")
    return Record(
        case=case.id,
        status=outcome.status,
        model=model,
        reply=reply.get("text"),
        option_scores=None if scores is None else tuple(scores),
        mode=reply.get("mode", ""),
        frames_used=len(set(used)),
        frames_kept=kept,
        needle_frames_kept=case.needle_frames(kept),
        needle_frames_used=case.needle_frames(used),
        language_tokens=reply.get("language_tokens"),
        decoder=decoder,
        sources=files,
        repeats=case.repeats,
        detail=outcome.detail,
        measured={**{name: reply.get(name) for name in cost}, **outcome.measured, **about},
        settings=reply.get("settings", {}),
    )


def _sources(case: Case) -> list[str]:
    """Return the names of the sources of a case's video, each once, in playing order."""
    return list(dict.fromkeys(span.source for span in case.timeline))
