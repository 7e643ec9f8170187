"""Hand cases out to several askers so that each stays with one haystack as long as it lasts.

An adapter that reuses features meets a haystack's frames once if one worker answers all its cases.
When haystacks are fewer than askers, the fullest is shared, as waiting costs more than encoding twice.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable

from niah.run.case_runner import CaseRunner
from niah.types import Case


class Scheduler:
    """The cases still to be asked, and who is at which haystack. Any thread may call anything."""

    def __init__(self, cases: Iterable[Case], askers: Iterable[CaseRunner]) -> None:
        self._left: dict[str, deque[Case]] = {}
        for case in cases:
            self._left.setdefault(case.haystack, deque()).append(case)
        self._at: dict[CaseRunner, str | None] = dict.fromkeys(askers)
        self._lock = threading.Lock()

    @property
    def empty(self) -> bool:
        """Whether every case has been handed out."""
        return not any(self._left.values())

    def take(self, asker: CaseRunner) -> Case:
        """Return the next case for this asker: of its own haystack, else of the one with the fewest askers."""
        with self._lock:
            at = self._at[asker]
            if at is None or not self._left[at]:
                others = Counter(place for one, place in self._at.items() if one is not asker)
                full = [name for name, cases in self._left.items() if cases]
                at = min(full, key=lambda name: (others[name], -len(self._left[name])))
                self._at[asker] = at
            return self._left[at].popleft()

    def retire(self, asker: CaseRunner, case: Case) -> bool:
        """Take back the case of an asker that can go on no more; False, and nothing done, where it is the last."""
        with self._lock:
            if len(self._at) == 1:
                return False
            del self._at[asker]
            self._left[case.haystack].appendleft(case)
            return True
