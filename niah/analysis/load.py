"""Read run folders into `RunData`; a run scores its replies when it is first asked to.

A folder holds one run. The shards of a run are folders that differ in nothing but their cases, which are disjoint:
`join_shards` makes one run of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from niah.analysis.layout import Layout, infer_layout, merge_layouts
from niah.analysis.scored import ScoredCase, score_case
from niah.io import no_cycles
from niah.option_scores import SCORE_BY, can_score
from niah.run.metadata import model_label, read_metadata, without_shard_keys
from niah.run.records import cases_path, read_cases, read_records
from niah.run.same_model import changes
from niah.settings import read_yaml
from niah.suite.config import Suite
from niah.suite.folder import NearDuplicate, read_near_duplicates
from niah.terminal import printable
from niah.types import SINGLE, Case, Record, UserError, in_order

GUESSERS = ("chance",)  # built in; others say `reads_question: false` in their replies


@dataclass(frozen=True)
class EarlierModel:
    """A model that gave answers of a folder before it was changed, and in what it differs from the one there is now."""

    records: int  # in the folder when the change was noticed
    differs: tuple[str, ...] | None  # None: its identity was not recorded


@dataclass(frozen=True)
class RunData:
    """The cases of a run, and the records of those that were asked; a case without a record is missing.

    `model` is the model's name with its arguments. `decides` is what run.json says the records depend on, without
    the keys that differ between shards.
    """

    folder: Path
    model: str
    suite: str
    decides: Mapping[str, Any]
    cases: tuple[Case, ...]
    records: Mapping[str, Record]  # by case id
    layout: Layout
    near_duplicates: tuple[NearDuplicate, ...] = ()
    needles_selected_by: str | None = None  # the model whose answers the needles were filtered by
    score_by: str | None = None  # the rule that the suite names for the likelihoods of options
    world: str | None = None  # what its built-in footage is drawn from
    used_to_choose: str | None = None  # what the suite says was chosen by it
    earlier_models: tuple[EarlierModel, ...] = ()  # whose answers are among the records, mixed in knowingly
    kind: str = SINGLE  # what its cases ask, once `niah.analysis.kinds` has split them

    @cached_property
    def scored(self) -> tuple[ScoredCase, ...]:
        """Every case and how its reply scored, computed once: a dozen tables, checks and figures count them."""
        with no_cycles():
            return tuple(score_case(case, self.records.get(case.id), self.score_by) for case in self.cases)

    @cached_property
    def guesses(self) -> bool:
        """Whether the model reads no question by design, so that guessing is no fault of it."""
        said = any(record.settings.get("reads_question") is False for record in self.records.values())
        return said or self.model.partition(" (")[0] in GUESSERS

    @property
    def versions(self) -> tuple[int, ...]:
        """Return the versions of the suite's rules that the cases follow: one, unless a folder was edited."""
        return tuple(sorted({case.version for case in self.cases}))

    def cases_of(self, condition: str) -> list[Case]:
        """Return the cases of one condition."""
        return [case for case in self.cases if case.condition == condition]


def read_run(folder: Path) -> RunData:
    """Read one run folder.

    Raises UserError if a file is missing or of another version, if two records name one case, or if a record or
    run.json does not match the cases in the folder.
    """
    folder = Path(folder)
    metadata = _metadata(folder)
    decides = metadata["decides"]
    cases = _cases(folder, decides["cases_sha256"])
    suite = read_yaml(Suite, folder / "suite.yaml") if (folder / "suite.yaml").is_file() else None
    return RunData(
        folder=folder,
        model=model_label(decides),
        suite=printable(metadata["suite"]),
        decides=without_shard_keys(decides),
        cases=cases,
        records=_records(folder, cases),
        layout=infer_layout(cases, suite),
        near_duplicates=read_near_duplicates(folder),
        needles_selected_by=None if suite is None or suite.kept is None else suite.kept.by,
        score_by=None if suite is None else suite.score_by,
        world=None if suite is None or suite.footage is None else suite.footage.world,
        used_to_choose=None if suite is None else suite.used_to_choose,
        earlier_models=_earlier_models(folder, metadata),
    )


def join_shards(runs: Sequence[RunData]) -> list[RunData]:
    """Make one run of the shards of each run, and add the folder to names that would not be unique.

    Raises UserError if one folder is given twice.
    """
    joined: list[RunData] = []
    for run in runs:
        siblings = [other for other in joined if _are_shards(other, run)]
        if siblings:
            joined[joined.index(siblings[0])] = _join(siblings[0], run)
        else:
            joined.append(run)
    return [_with_unique_name(run, joined[:number]) for number, run in enumerate(joined)]


def with_rule(run: RunData, score_by: str) -> RunData:
    """Return a run whose options are chosen by another rule. Raises UserError where an answer lacks what it needs."""
    answers = [record for record in run.records.values() if record.status == "ok"]
    lacking = sum(not can_score(record, score_by) for record in answers)
    if lacking:
        possible = [rule for rule in SCORE_BY if all(can_score(record, rule) for record in answers)]
        raise UserError(
            f"{run.folder} cannot be scored by {score_by}: {lacking} of {len(answers)} answers lack what it needs "
            "(letter needs generated replies, other rules the likelihoods of options); possible here: "
            f"{', '.join(possible) or 'no rule, only the replies as they are'}"
        )
    return dataclasses.replace(run, score_by=score_by)


def with_distinct_names(runs: Sequence[RunData]) -> list[RunData]:
    """Add the suite to a model's name if the model ran on several suites and both appear on one page."""
    models = [run.model for run in runs]
    return [
        dataclasses.replace(run, model=f"{run.model} on {run.suite}") if models.count(run.model) > 1 else run
        for run in runs
    ]


def _earlier_models(folder: Path, metadata: Mapping[str, Any]) -> tuple[EarlierModel, ...]:
    """Return the models that run.json lists as earlier ones. Raises UserError where an entry is damaged."""
    now, found = metadata.get("identity", {}), []
    for entry in metadata.get("earlier_identities", []):
        whole = entry if isinstance(entry, dict) else {}
        records, identity = whole.get("records"), whole.get("identity")
        if not isinstance(records, int) or not isinstance(identity, dict | None):
            raise UserError(f"{folder / 'run.json'}: earlier_identities has the entry {entry!r}; restore the file")
        found.append(EarlierModel(records, None if identity is None else tuple(changes(identity, now))))
    return tuple(found)


def _are_shards(one: RunData, other: RunData) -> bool:
    """Return True if two runs are shards of one: all that decides their records is equal, and they share no case."""
    first, second = ((run.model, run.suite, run.versions, run.decides, run.needles_selected_by) for run in (one, other))
    return first == second and not {case.id for case in one.cases} & {case.id for case in other.cases}


def _join(first: RunData, second: RunData) -> RunData:
    """Return two shards as one run."""
    cases = first.cases + second.cases
    return dataclasses.replace(
        first,
        cases=cases,
        records={**first.records, **second.records},
        layout=merge_layouts(first.layout, second.layout) or infer_layout(cases, None),
        near_duplicates=tuple(dict.fromkeys(first.near_duplicates + second.near_duplicates)),
        earlier_models=first.earlier_models + second.earlier_models,
    )


def _with_unique_name(run: RunData, earlier: Sequence[RunData]) -> RunData:
    """Add as many trailing parts of the run's folder to its name as no earlier run of that name shares."""
    others = [one.folder.resolve().parts for one in earlier if (one.model, one.suite) == (run.model, run.suite)]
    if not others:
        return run
    parts = run.folder.resolve().parts
    for count in range(1, len(parts) + 1):
        if all(other[-count:] != parts[-count:] for other in others):
            return dataclasses.replace(run, model=f"{run.model} [{'/'.join(parts[-count:])}]")
    raise UserError(f"{run.folder} is named twice; a run compared with itself shows no difference, so name it once")


def _metadata(folder: Path) -> dict[str, Any]:
    """Return run.json. Raises UserError if it lacks a key that the table needs."""
    metadata = read_metadata(folder)
    present = {*metadata, *metadata.get("decides", {})}
    lacking = [key for key in ("decides", "suite", "model", "model_args", "cases_sha256") if key not in present]
    if lacking:
        raise UserError(f"{folder / 'run.json'} lacks {', '.join(lacking)}: another version wrote it; run again")
    return metadata


def _cases(folder: Path, sha256: str) -> tuple[Case, ...]:
    """Return the cases of a run. Raises UserError if the file is not the one with this hash, or repeats a case."""
    path = cases_path(folder)
    try:
        cases, digest = read_cases(folder)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: name a folder that niah run wrote") from None
    if digest != sha256:
        raise UserError(f"{path} is not what run.json says was asked: restore the file, or run again with --fresh")
    if len({case.id for case in cases}) < len(cases):
        raise UserError(f"{path} names a case twice, so its one reply would count as two; run it again")
    return cases


def _records(folder: Path, cases: Sequence[Case]) -> dict[str, Record]:
    """Return the records by case id. Raises UserError for one that matches no case, or a case that another has."""
    path = folder / "records.jsonl"
    try:
        found = read_records(path, missing_ok=False)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: name a folder that niah run wrote") from None
    known = {case.id: case for case in cases}
    records: dict[str, Record] = {}
    for record in found:
        if record.case not in known:
            raise UserError(f"{folder}: a record names case {record.case!r}, which cases.jsonl does not contain")
        if record.case in records:
            raise UserError(f"{folder}: two records name case {record.case!r}; run again with --fresh")
        length = known[record.case].length
        kept = record.frames_kept
        if kept and not 0 <= in_order(kept)[0] <= in_order(kept)[-1] < length:
            outside = next(frame for frame in kept if not 0 <= frame < length)
            raise UserError(
                f"{folder}: the record of {record.case} says it kept frame {outside} of a video of {length}: the "
                "file was changed since it was written; run again with --fresh"
            )
        records[record.case] = record
    return records
