"""Run one case on a worker, and make its record.

A worker that crashes gets one successor per case. A timeout and an error of the adapter's own would recur, so they are
final; so is a case that fills the memory, unless earlier answers of the same worker may have helped to fill it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from niah.run.messages import WorkerResult
from niah.run.process import Worker, WorkerLostError
from niah.run.records import check_record
from niah.run.same_model import ModelCheck
from niah.types import Case, Record, Reply

MAX_ATTEMPTS = 2
COST_FIELDS = (  # of a reply; they go into the record's `measured`
    "seconds", "seconds_to_first_token", "peak_allocated_bytes", "peak_reserved_bytes", "peak_device_bytes",
    "reused_frames", "usage",
)  # fmt: skip
# Fields of a reply that a record keeps as they are.
AS_REPORTED = ("frame_size", "frame_times", "finish_reason", "option_likelihoods", "prompt_opens_thought")


class RunInterruptedError(Exception):
    """The run was stopped while a case was in progress; the case has no result."""


class CaseRunner:
    """Runs cases on a worker of its own, which it starts as needed. One thread uses one runner.

    Args:
        start: returns a loaded worker.
        model: the model's name in records.
        hashes: the file hash of every source, by its name.
        numbers: numbers the workers of this runner and its siblings.
        stopping: once set, this runner and its siblings break off what is in progress and answer no more.
        check_model: compares every worker's model with that of the run, and ends the run where it is another.
    """

    def __init__(
        self,
        start: Callable[[], Worker],
        model: str,
        hashes: Mapping[str, str],
        numbers: Iterator[int] | None = None,
        stopping: threading.Event | None = None,
        check_model: ModelCheck | None = None,
    ) -> None:
        self.stopping = stopping if stopping is not None else threading.Event()
        self._check_model = check_model
        self._start = start
        self._hashes = hashes
        self._model = model
        self._numbers = itertools.count(1) if numbers is None else numbers
        self._worker: Worker | None = None
        self._has_answered = False  # whether the worker may hold memory of earlier answers
        self.started = 0  # the number of its latest worker, siblings' workers counted
        self.metadata: Mapping[str, Any] = {}  # of its latest worker

    def ask(self, case: Case, cold: bool) -> Record:
        """Return the record of one case; a cold case gets a worker that has answered nothing.

        Raises RunInterruptedError where `stopping` was set meanwhile, UserError where no worker can be started or
        another model answers.
        """
        if cold:
            self.close()
        attempt = 0
        while True:
            attempt += 1
            result = self._attempt(case, last=attempt == MAX_ATTEMPTS)
            if result.worker_gone:
                self._worker = None
            if self.stopping.is_set():
                raise RunInterruptedError
            if self._check_model is not None and result.reply is not None:
                self._check_model.reply(result.reply)
            had_answered = self._has_answered
            self._has_answered = had_answered or result.status == "ok"
            filled_by_others = result.status == "oom" and had_answered
            if filled_by_others:
                self.close()
            if attempt == MAX_ATTEMPTS or not (result.crashed or filled_by_others):
                files = tuple(f"{name}@{self._hashes[name][:16]}" for name in _sources(case))
                run = {"worker": self.started, "attempts": attempt, "cold": cold}
                return _readable(case, result, self._model, str(self.metadata["decoder"]), files, run)

    def sibling(self) -> CaseRunner:
        """Return another runner of the same model, with workers of its own."""
        other = CaseRunner(self._start, self._model, self._hashes, self._numbers, self.stopping, self._check_model)
        other.metadata = self.metadata  # its workers will report the same
        return other

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _attempt(self, case: Case, last: bool) -> WorkerResult:
        """Ask the worker one case; a worker lost while it starts counts as one that crashed on the case."""
        try:
            worker = self._ready_worker()
        except WorkerLostError as error:
            if last and not self.metadata:  # no worker has ever started: too little is known for a record
                raise
            detail = str(error).partition(";")[0]  # without the log's path
            return WorkerResult("error", detail, crashed=True, worker_gone=True)
        return worker.ask(case)

    def _ready_worker(self) -> Worker:
        """Return the worker, started if there is none."""
        if self.stopping.is_set():
            raise RunInterruptedError
        if self._worker is None:
            self._worker = self._start()
            self._has_answered = False
            self.started = next(self._numbers)
            self.metadata = self._worker.metadata
            if self._check_model is not None:
                self._check_model.worker(self.metadata)
        return self._worker


def _readable(case: Case, result: WorkerResult, *rest: Any) -> Record:
    """Return a record that can be read again; one that could not would make the whole run unreadable."""
    try:
        return check_record(make_record(case, result, *rest))
    except TypeError as error:
        refused = WorkerResult("error", f"the reply cannot be recorded: {error!s:.500}")
        return make_record(case, refused, *rest)


def make_record(
    case: Case,
    result: WorkerResult,
    model: str,
    decoder: str,
    sources: tuple[str, ...],
    run: Mapping[str, Any],
) -> Record:
    """Return the record of one case.

    Args:
        case: the case that was asked.
        result: its outcome.
        model: the model's name.
        decoder: the decoder's name and version.
        sources: "name@hash" of each file of the case's video.
        run: how it was asked: the worker's number, the attempts, whether it was cold.

    What may differ between two runs goes into `measured` and nowhere else.
    """
    return Record(
        case=case.id,
        status=result.status,
        model=model,
        **_answer_fields(case, result.reply),
        decoder=decoder,
        sources=sources,
        repeats=case.repeats,
        detail=result.detail,
        measured={**_cost(result.reply), **result.measured, **run},
    )


def _answer_fields(case: Case, reply: Reply | None) -> dict[str, Any]:
    """Return the fields of a record that come from the reply; a failed case has none."""
    if reply is None:
        nothing: dict[str, Any] = dict.fromkeys(("reply", "option_scores", "language_tokens", *AS_REPORTED))
        counts = dict.fromkeys(("frames_used", "needle_frames_kept", "needle_frames_used"), 0)
        return {**nothing, **counts, "frames_kept": (), "mode": "", "settings": {}}
    return {
        "reply": reply.text,
        "option_scores": reply.option_scores,
        "mode": reply.mode,
        "frames_used": len(set(reply.frames_used)),
        "frames_kept": reply.frames_kept,
        "needle_frames_kept": case.needle_frames(reply.frames_kept),
        "needle_frames_used": case.needle_frames(reply.frames_used),
        "language_tokens": reply.language_tokens,
        "settings": reply.settings,
        **{name: getattr(reply, name) for name in AS_REPORTED},
        "samples": reply.samples,
    }


def _cost(reply: Reply | None) -> dict[str, Any]:
    """Return what a reply cost; a failed case has the same keys without values."""
    return {name: None if reply is None else getattr(reply, name) for name in COST_FIELDS}


def _sources(case: Case) -> list[str]:
    """Return the names of the sources of a case's video, each once, in playing order."""
    return list(dict.fromkeys(span.source for span in case.timeline))
