"""Which cases a run asks, and in which order.

Cases are sorted by haystack, then by needle start, so that an adapter that reuses features
reads each source once. Before them, one `full` case of each length runs in a worker of its
own with no cached features: timing and memory figures use only these cold cases.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from niah.run.config import RunConfig
from niah.run.metadata import model_label
from niah.suite.build import generate
from niah.suite.config import SUITES_FOLDER, Suite, load_suite
from niah.suite.design import nearest_paper_length, needle_start
from niah.suite.folder import GeneratedSuite, read_suite
from niah.suite.positions import bin_of
from niah.types import Case, UserError


@dataclass(frozen=True)
class Plan:
    """The cases of one run; `ordered` has them as they are asked, those in `cold` in a worker of their own."""

    generated: GeneratedSuite  # its cases in the order they were generated, without those that are not asked
    ordered: tuple[Case, ...]
    cold: frozenset[str]
    shard: Shard | None = None


@dataclass(frozen=True)
class Shard:
    """The `i`-th of `count` parts of a run; `whole` has the cases of all parts in the order they were generated."""

    i: int
    count: int
    whole: tuple[Case, ...]


def make_plan(config: RunConfig) -> Plan:
    """Return the cases that `config` names. Raises UserError where there is none."""
    generated = _generated(config)
    _refuse_selecting_model(generated.suite, config)
    cases = _limited(generated.cases, config.limit)
    i, count = config.shard_number()
    asked_here = _shard(sort_by_haystack(cases), i, count)
    cold = cold_cases(generated.suite, asked_here)
    ordered = cold_first(cold, asked_here)
    if not ordered:
        raise UserError(f"shard {config.shard} of {len(cases)} cases is empty; use fewer shards")
    names = {case.id for case in ordered}
    asked = tuple(case for case in generated.cases if case.id in names)
    used = dict.fromkeys(span.source for case in asked for span in case.timeline)  # by first use, as `niah merge` does
    sources = {name: generated.sources[name] for name in used}
    narrowed = dataclasses.replace(generated, cases=asked, sources=sources)
    return Plan(narrowed, ordered, frozenset(case.id for case in cold), Shard(i, count, cases) if count > 1 else None)


def _refuse_selecting_model(suite: Suite, config: RunConfig) -> None:
    """Raise UserError where the model's own answers selected the needles: its accuracy would say nothing."""
    if suite.kept is None:
        return
    if model_label(config.decides()) == suite.kept.by:
        raise UserError(
            f"the needles of suite {suite.name!r} are those that {suite.kept.by} was seen to answer, so its accuracy "
            "on them says nothing; ask another model, or the whole suite"
        )


def sort_by_haystack(cases: tuple[Case, ...]) -> list[Case]:
    """Sort by haystack, then needle start, then name."""
    return sorted(cases, key=lambda case: (case.haystack, case.needles[0].start if case.needles else -1, case.id))


def cold_cases(suite: Suite, cases: list[Case] | tuple[Case, ...]) -> list[Case]:
    """Return for each length the `full` case that runs without cached features, shortest first.

    It is the first of its length or, in the paper design, where lengths vary freely, the nearest to it.
    """
    chosen: dict[int, Case] = {}
    for case in sorted((case for case in cases if case.condition == "full"), key=lambda case: case.id):
        length = _length(suite, case)
        current = chosen.get(length)
        if current is None or abs(case.length - length) < abs(current.length - length):
            chosen[length] = case
    return [chosen[length] for length in sorted(chosen)]


def cold_first(cold: list[Case], cases: list[Case]) -> tuple[Case, ...]:
    """Put the cold cases first and leave the rest in its order."""
    names = {case.id for case in cold}
    return (*cold, *(case for case in cases if case.id not in names))


def _generated(config: RunConfig) -> GeneratedSuite:
    """Return the suite that `config` names, with the cases that its filters keep."""
    path = Path(config.suite)
    if path.is_dir() and not (SUITES_FOLDER / f"{config.suite}.yaml").is_file():
        return _filtered(read_suite(path), config)
    suite, folder = load_suite(config.suite)
    return _filtered(generate(_narrowed(suite, config), folder), config)


def _narrowed(suite: Suite, config: RunConfig) -> Suite:
    """Return the suite to generate; a setting changes it only where leaving cases out would not do.

    Fewer lengths would change the cases of users' own footage, which is cut by the longest length.
    They leave those of built-in footage as they are, and make its generation shorter.
    """
    changes: dict = {}
    if config.conditions is not None:
        changes["conditions"] = config.conditions
    if config.lengths is not None and suite.design == "grid":
        keep = suite.footage is None and set(config.lengths) <= set(suite.lengths)
        changes["lengths"] = suite.lengths if keep else config.lengths
    if config.depths is not None and suite.depths and not set(config.depths) <= set(suite.depths):
        changes["depths"] = config.depths
    return dataclasses.replace(suite, **changes)


def _filtered(generated: GeneratedSuite, config: RunConfig) -> GeneratedSuite:
    """Keep the cases of the wanted lengths, depths, conditions and types; cases without a haystack pass any length."""
    suite = generated.suite
    _refuse_unknown(generated, config)
    cases = [
        case
        for case in generated.cases
        if (config.conditions is None or case.condition in config.conditions)
        and (config.types is None or case.type in config.types)
        and (config.lengths is None or not case.haystack or _length(suite, case) in config.lengths)
        and (config.depths is None or case.depth is None or _lies_at(suite, case, config.depths))
    ]
    if not cases:
        raise UserError(
            f"no case of suite {suite.name!r} has all that --lengths, --depths, --conditions and --types ask for; "
            "ask for less"
        )
    kept: dict = {"conditions": config.conditions or suite.conditions}
    if suite.depths:
        kept["depths"] = config.depths or suite.depths
    if suite.design == "grid":
        kept["lengths"] = config.lengths or suite.lengths
    return dataclasses.replace(generated, suite=dataclasses.replace(suite, **kept), cases=tuple(cases))


def _refuse_unknown(generated: GeneratedSuite, config: RunConfig) -> None:
    """Raise UserError for a length, depth, condition or type that no case has."""
    suite = generated.suite
    lengths = {_length(suite, case) for case in generated.cases if config.lengths and case.haystack}
    hidden = [case for case in generated.cases if config.depths and case.depth is not None]
    types = sorted({case.type for case in generated.cases})
    wrong = [
        *(f"length {length}" for length in config.lengths or () if lengths and length not in lengths),
        *(f"depth {d:g}" for d in config.depths or () if hidden and not any(_lies_at(suite, c, (d,)) for c in hidden)),
        *(f"condition {name!r}" for name in config.conditions or () if name not in suite.conditions),
        *(f"type {name!r}" for name in config.types or () if name not in types),
    ]
    if wrong:
        raise UserError(
            f"no case has {', '.join(wrong)}: suite {suite.name!r} has lengths {list(suite.lengths)}, "
            f"{_depths_of(suite)}, conditions {list(suite.conditions)}, types {types}"
        )


def _length(suite: Suite, case: Case) -> int:
    """Return the length that a case counts for."""
    return case.length if suite.design == "grid" else nearest_paper_length(case.length)


def _lies_at(suite: Suite, case: Case, depths: tuple[float, ...]) -> bool:
    """Return True if a case's needle starts at one of the depths, or, where starts are drawn, in the bin of one."""
    assert case.position is not None
    start, room = case.position
    if suite.depths and suite.design == "grid":
        return any(start == needle_start(depth, room, 0) for depth in depths)
    bins = suite.bins
    return any(bin_of(start, bins, room) == min(int(depth * bins), bins - 1) for depth in depths)


def _depths_of(suite: Suite) -> str:
    """Return the depths of a suite in words."""
    return f"depths {list(suite.depths)}" if suite.depths else f"{suite.bins} depth bins from 0 to 1"


def _limited(cases: tuple[Case, ...], limit: float | None) -> tuple[Case, ...]:
    """Return the first cases in the order they were generated: `limit` of them, or that fraction if below 1."""
    if limit is None:
        return cases
    count = int(limit) if limit >= 1 else max(1, int(len(cases) * limit))
    return cases[:count]


def _shard(cases: list[Case], i: int, count: int) -> list[Case]:
    """Return the i-th of `count` contiguous blocks, so that cases of one haystack stay together."""
    return cases[len(cases) * (i - 1) // count : len(cases) * i // count]
