"""Ask every case of a plan and append what became of it.

One question at a time: an adapter may declare `concurrency`, and `ask_all` is where a
pool of workers would go, but no adapter yet needs it. A worker that dies gets one
successor per case; a timeout and an error of the adapter's own do not, as they would recur.
Nor does a case that fills the memory, unless earlier answers may have helped to fill it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from niah.run.client import Client, Outcome
from niah.run.plan import Plan
from niah.run.records import Records
from niah.types import Case, Record

ATTEMPTS = 2


class Asker:
    """Puts cases to workers, starting them as needed.

    `start` makes a loaded worker. `about` is what the latest one said of itself.
    `hashes` has the file hash of every source.
    """

    def __init__(self, start: Callable[[], Client], model: str, hashes: Mapping[str, str]) -> None:
        self._start = start
        self._hashes = hashes
        self._model = model
        self._worker: Client | None = None
        self._answered = False  # whether the worker may hold memory of earlier answers
        self.started = 0
        self.about: Mapping[str, Any] = {}

    def ask(self, case: Case, cold: bool) -> Record:
        """Return what becomes of one case; a cold one gets a worker that has answered nothing."""
        if cold:
            self.close()
        attempt = 0
        while True:
            attempt += 1
            worker = self._ready()
            outcome = worker.ask(case)
            if outcome.gone:
                self._worker = None
            held, self._answered = self._answered, self._answered or outcome.status == "ok"
            filled = outcome.status == "oom" and held
            if filled:
                self.close()
            if attempt == ATTEMPTS or not (outcome.died or filled):
                about = {"worker": self.started, "attempts": attempt, "cold": cold}
                files = tuple(f"{name}@{self._hashes[name][:16]}" for name in _sources(case))
                return make_record(case, outcome, self._model, str(self.about["decoder"]), files, about)

    def close(self) -> None:
        """End the worker, if there is one."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _ready(self) -> Client:
        """Return the worker, started if there is none."""
        if self._worker is None:
            self._worker = self._start()
            self._answered = False
            self.started += 1
            self.about = self._worker.about
        return self._worker


def ask_all(
    plan: Plan, done: Iterable[Record], asker: Asker, records: Records, tell: Callable[[Case, Record], None]
) -> None:
    """Ask the cases that are not done, in the planned order. Raises CannotWrite where the disk is full."""
    known = {record.case for record in done}
    try:
        for case in plan.ordered:
            if case.id not in known:
                record = asker.ask(case, case.id in plan.cold)
                records.append(record)
                tell(case, record)
    finally:
        asker.close()


def make_record(
    case: Case, outcome: Outcome, model: str, decoder: str, files: tuple[str, ...], about: Mapping[str, Any]
) -> Record:
    """Return the record of one case. What may differ between two runs goes into `measured` and nowhere else."""
    reply: Mapping[str, Any] = outcome.reply or {}
    used, kept = reply.get("frames_used", ()), tuple(reply.get("frames_kept", ()))
    cost = ("seconds", "seconds_to_first_token", "peak_allocated_bytes", "peak_reserved_bytes", "reused_frames")
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
        needle_frames_kept=_in_needle(case, kept),
        needle_frames_used=_in_needle(case, used),
        language_tokens=reply.get("language_tokens"),
        decoder=decoder,
        sources=files,
        repeats=case.repeats,
        detail=outcome.detail,
        measured={**{name: reply.get(name) for name in cost}, **outcome.measured, **about},
    )


def _sources(case: Case) -> list[str]:
    """Return the names of the sources of a case's video, each once, in playing order."""
    return list(dict.fromkeys(span.source for span in case.timeline))


def _in_needle(case: Case, frames: Iterable[int]) -> int:
    """Count the frames that show the needle asked about; another's clip is none of it."""
    spans = [placed for placed in case.needles if placed.needle == case.needle]
    return sum(any(placed.start <= frame < placed.stop for placed in spans) for frame in set(frames))
