"""One run asks one model: the identity that a worker reports is compared with that of the answers already there.

A model is what `niah.run.identity` says: source files, checkpoint files, versions. Another one is refused before its
first case, with what changed; `accept_changed_model` mixes both knowingly, and run.json then names both.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from niah.run.config import RunConfig
from niah.run.identity import known_before_loading
from niah.run.metadata import model_label, read_metadata, update_metadata
from niah.run.process import worker_environment
from niah.terminal import to_stderr
from niah.types import Reply, UserError

FILE = re.compile(r"bytes, sha256 [0-9a-f]{64}$")  # the end of a file's part
REPORTED = "model the endpoint reports"
MAX_NAMED = 5  # changes that a message names
REMEDY = (
    "Ask again with --fresh, give this run its own --output_path, or mix both knowingly with --accept_changed_model, "
    "which run.json then says"
)


def changes(recorded: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return in words what differs between two identities.

    A file that one of them lacks is a change if the other names files of the same kind; any other part that only one
    of them knows is none, as a library may be imported late and an endpoint may be silent.
    """
    found = []
    for name in sorted({*recorded, *now}):
        then, today = recorded.get(name), now.get(name)
        if then is not None and today is not None:
            if then != today:
                found.append(f"{name} (changed)" if FILE.search(then) else f"{name} ({then} there, {today} now)")
        elif FILE.search(then or today or "") and _kinds(recorded) & _kinds(now) & _kinds([name]):
            found.append(f"{name} ({'new' if then is None else 'gone'})")
    return found


def in_words(found: list[str]) -> str:
    """Return the first changes, and how many more there are."""
    more = len(found) - MAX_NAMED
    return ", ".join(found[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def identity_before_loading(config: RunConfig, target: str) -> dict[str, str]:
    """Return what is known of a model without loading it, as the worker's interpreter sees it.

    Nothing is known where that interpreter does not answer: its worker will say why.
    """
    if config.python is None:
        return known_before_loading(target, config.settings())
    asked = json.dumps({"target": target, "settings": config.settings()})
    command = [config.python, "-m", "niah.run.identity"]
    limit = {"timeout": config.load_timeout, "check": False}
    try:
        done = subprocess.run(command, input=asked, capture_output=True, text=True, env=worker_environment(), **limit)
        return json.loads(done.stdout) if done.returncode == 0 else {}
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return {}


def refuse_changed_model(folder: Path, answered: int, now: Mapping[str, str]) -> None:
    """Raise UserError naming what changed where the folder's answers are those of another model."""
    found = changes(read_metadata(folder).get("identity", {}), now)
    if found:
        raise UserError(
            f"{folder} holds {answered} {'answers' if answered > 1 else 'answer'} of a model that has changed since: "
            f"{in_words(found)}. {REMEDY}"
        )


class ModelCheck:
    """Compares each worker's model with that of the folder's answers and of the workers before it. Thread-safe.

    Args:
        folder: of the run.
        answered: how many final records it holds.
        accept_changed: record another model beside the earlier one instead of refusing it.
    """

    def __init__(self, folder: Path, answered: int, accept_changed: bool = False) -> None:
        self._folder, self._answered, self._accept_changed = folder, answered, accept_changed
        self._first: Mapping[str, str] | None = None  # identity of this run's first worker
        self._reported: str | None = None  # the model that the latest reply named
        self._lock = threading.Lock()

    def worker(self, metadata: Mapping[str, Any]) -> None:
        """Check a worker by its metadata, before its first case; one that reports no identity is not checked.

        Raises UserError for another model.
        """
        identity = metadata.get("identity")
        if identity is None:
            return
        with self._lock:
            if self._first is None:
                self._begin(identity)
                self._first = identity
                return
            found = changes(self._first, identity)
        if found:
            raise UserError(
                f"a worker reports another model than those before it: {in_words(found)}. The answers so far are of "
                f"the model before; leave its files alone during a run, and run into another --output_path or --fresh"
            )

    def reply(self, reply: Reply) -> None:
        """Check the model that an endpoint says it answered with (`usage["model"]`): one name may come to mean another.

        Raises UserError for another model.
        """
        name = reply.usage.get("model")
        with self._lock:
            if not isinstance(name, str) or name == self._reported:
                return
            metadata = read_metadata(self._folder)
            identity = metadata.get("identity", {})
            before = self._reported or identity.get(REPORTED)
            values: dict[str, Any] = {"identity": {**identity, REPORTED: name}}
            if before not in (None, name):
                if not self._accept_changed:
                    raise UserError(
                        f"the endpoint answers with {name}, and answers in {self._folder} are of {before}. {REMEDY}"
                    )
                earlier = {"records": self._answered, "identity": identity}
                values["earlier_identities"] = [*metadata.get("earlier_identities", []), earlier]
            self._reported = name
            update_metadata(self._folder, values)

    def _begin(self, identity: Mapping[str, str]) -> None:
        """Record the model of this run, once it is found to be that of the answers already there."""
        metadata = read_metadata(self._folder)
        recorded, earlier = metadata.get("identity"), []
        if self._answered:
            earlier = metadata.get("earlier_identities", [])
            if recorded is None:
                to_stderr(
                    f"NOTE: {self._folder} holds {self._answered} answers of a model whose identity is unknown: they "
                    "were asked before runs recorded it. If it has changed since, stop, and ask again with --fresh\n"
                )
            elif not self._accept_changed:
                refuse_changed_model(self._folder, self._answered, identity)
            if recorded is None or changes(recorded, identity):
                earlier = [*earlier, {"records": self._answered, "identity": recorded}]
            else:
                identity = {**recorded, **identity}
        values: dict[str, Any] = {"identity": dict(identity)}
        if earlier or "earlier_identities" in metadata:
            values["earlier_identities"] = earlier
        update_metadata(self._folder, values)


def nothing_asked(folder: Path, answered: int, planned: int, now: Mapping[str, str]) -> str:
    """Return the line for a run that finds every case answered: when, by which model, and whether that has changed."""
    metadata = read_metadata(folder)
    recorded = metadata.get("identity")
    date = _answered_on(metadata)
    when = f" on {date}" if date else ""
    unknown = "" if recorded is not None else ", identity unknown"
    line = (
        f"{answered} of {planned} cases answered{when} by {model_label(metadata['decides'])}{unknown}; "
        "nothing was asked"
    )
    found = changes(recorded or {}, now)
    return f"{line}. The model has changed since: {in_words(found)}" if found else line


def merge_identities(answered: Sequence[tuple[Path, int, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return what run.json says of the model of several folders together, given records and metadata of each.

    That is its identity, and what was mixed knowingly or is unknown. Raises UserError where two are of other models.
    """
    answered = [entry for entry in answered if entry[1]]
    identified = [(folder, metadata["identity"]) for folder, _, metadata in answered if "identity" in metadata]
    for folder, identity in identified[1:]:
        found = changes(identified[0][1], identity)
        if found:
            raise UserError(
                f"{folder} and {identified[0][0]} were answered by different models; these differ: {in_words(found)}. "
                "Run one of them again with --fresh"
            )
    if not identified:
        return {}
    mixed: list[dict[str, Any]] = []
    for _, records, metadata in answered:
        unknown = [] if "identity" in metadata else [{"records": records, "identity": None}]
        mixed += [entry for entry in [*metadata.get("earlier_identities", []), *unknown] if entry not in mixed]
    values: dict[str, Any] = {"identity": identified[0][1]}
    return {**values, "earlier_identities": mixed} if mixed else values


def _answered_on(metadata: Mapping[str, Any]) -> str | None:
    """Return the day of the last run that added records; None where none is recorded."""
    runs = [*metadata.get("runs", [])]
    for shard in metadata.get("merged", []):
        runs += shard.get("runs", [])
    ended = [str(run["ended"]) for run in runs if "ended" in run and _added(run)]
    return max(ended)[:10] if ended else None


def _added(run: Mapping[str, Any]) -> bool:
    """Return True if an entry of `runs` says that it added records."""
    return run.get("records_after") != run.get("records_before")


def _kinds(names: Any) -> set[str]:
    """Return the kinds of parts: "file" for sources, else the setting that names a file."""
    return {name.partition(" ")[0] for name in names}
