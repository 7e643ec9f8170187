"""A generated suite and its folder: cases, the sources they name, what was left out and why, and hashes.

cases.jsonl alone determines what is asked, and is the same on every machine. sources.jsonl has the
paths of the files on this machine. hashes.json detects accidental changes; whoever rewrites the
cases on purpose can rewrite the hashes as well.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from niah.io import no_cycles, read_json_lines, read_regular, replace_file, stored_path, to_json_lines
from niah.settings import check_types, read_yaml
from niah.suite.config import Suite
from niah.typed_lines import line_decoder
from niah.types import Case, Source, UserError

HASHES = "hashes.json"  # of cases, sources and suite.yaml
T = TypeVar("T")


@dataclass(frozen=True)
class Skip:
    """A file, needle or case that was left out, and why."""

    what: str
    why: str


@dataclass(frozen=True)
class NearDuplicate:
    """Two pieces of footage that look alike: the perceptual hashes of two frames differ in `distance` of 64 bits."""

    first: str
    first_frame: int
    second: str
    second_frame: int
    distance: int


@dataclass(frozen=True)
class GeneratedSuite:
    """The cases of a suite, in order, and everything that is needed to run them."""

    suite: Suite
    cases: tuple[Case, ...]
    sources: dict[str, Source]
    skipped: tuple[Skip, ...] = ()
    near_duplicates: tuple[NearDuplicate, ...] = ()


def apply_needle_filter(generated: GeneratedSuite) -> GeneratedSuite:
    """Return the suite with only the cases of the needles that its filter keeps; these cases do not change.

    The clip of a needle that is not kept may still be shown in another needle's `swapped` case.
    """
    kept = generated.suite.kept
    if kept is None:
        return generated
    needles = set(kept.needles)
    cases = tuple(case for case in generated.cases if case.needle in needles)
    used = {span.source for case in cases for span in case.timeline}
    sources = {name: source for name, source in generated.sources.items() if name in used}
    return dataclasses.replace(generated, cases=cases, sources=sources)


def write_suite(generated: GeneratedSuite, folder: Path) -> None:
    """Write cases, sources, skipped files and needles, near-duplicates, the suite and its hashes into `folder`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "cases.jsonl", case_lines(generated.cases))
    for name, rows in [
        ("sources", generated.sources.values()),
        ("skipped", generated.skipped),
        ("near_duplicates", generated.near_duplicates),
    ]:
        replace_file(folder / f"{name}.jsonl", to_json_lines(map(_row, rows)))
    text = yaml.safe_dump(_plain(dataclasses.asdict(generated.suite)), sort_keys=False, allow_unicode=True)
    replace_file(folder / "suite.yaml", text)
    write_hashes(folder, generated.cases, {source.name: source.sha256 for source in generated.sources.values()})


@no_cycles()
def read_suite(folder: Path) -> GeneratedSuite:
    """Read a folder that `write_suite` wrote; any of its files may be gzipped.

    Raises UserError if `folder` has no generated suite.
    """
    folder = Path(folder)
    if stored_path(folder / "cases.jsonl") is None:
        raise UserError(f"{folder} has no cases.jsonl; write one with: niah generate SUITE -o {folder}")
    if stored_path(folder / "records.jsonl") is not None:
        raise UserError(
            f"{folder} is the folder of a run, not of a suite, and has no paths of this machine; name the suite it "
            "was made from: its .yaml, its name, or a folder that niah generate wrote"
        )
    return GeneratedSuite(
        suite=read_yaml(Suite, folder / "suite.yaml"),
        cases=tuple(_read_lines(folder / "cases.jsonl", Case.from_json, line_decoder(Case))),
        sources={source.name: source for source in _read_lines(folder / "sources.jsonl", lambda row: Source(**row))},
        skipped=tuple(_read_lines(folder / "skipped.jsonl", lambda row: Skip(**row))),
        near_duplicates=read_near_duplicates(folder),
    )


def read_near_duplicates(folder: Path) -> tuple[NearDuplicate, ...]:
    """Return the near-duplicates that the folder of a suite or run lists; none if it has no such file."""
    path = Path(folder) / "near_duplicates.jsonl"
    if stored_path(path) is None:
        return ()
    return tuple(_read_lines(path, lambda row: NearDuplicate(**row)))


def case_lines(cases: Iterable[Case]) -> str:
    """Return the lines of cases.jsonl: those of `to_json_lines`, by msgspec, which takes a third of the time."""
    return "".join([_case_line(case) for case in cases])


def _case_line(case: Case) -> str:
    row = case.to_json()
    # The two spell very small and very large floats differently, and of a case only `fps` is one.
    with suppress(UnicodeEncodeError):  # a lone surrogate
        if 1e-4 <= case.fps < 1e16:
            return msgspec.json.encode(row).decode() + "\n"
    return to_json_lines([row])


def cases_sha256(cases: Iterable[Case]) -> str:
    """Return the hash of cases.jsonl, which identifies the cases of a run."""
    return sha256(case_lines(cases).encode()).hexdigest()


def sources_sha256(hashes: Mapping[str, str]) -> str:
    """Return one hash of the file hashes of all sources, which are given by name."""
    return sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()


def suite_sha256(folder: Path) -> str:
    """Return the hash of a folder's suite.yaml, which has the sampling of its videos; "" if it has none."""
    path = folder / "suite.yaml"
    return sha256(read_regular(path)).hexdigest() if path.is_file() else ""


def write_hashes(folder: Path, cases: Iterable[Case], sources: Mapping[str, str]) -> str:
    """Write hashes.json beside suite.yaml and return its name; `sources` are the hashes of the files, by name."""
    hashes = {
        "cases_sha256": cases_sha256(cases),
        "sources_sha256": sources_sha256(sources),
        "suite_sha256": suite_sha256(folder),
    }
    replace_file(folder / HASHES, json.dumps(hashes, indent=1) + "\n")
    return HASHES


def read_hashes(folder: Path) -> dict[str, str]:
    """Return the content of hashes.json; empty if it is missing. Raises UserError if it is damaged."""
    path = folder / HASHES
    try:
        hashes = json.loads(read_regular(path))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not JSON ({error}); restore it") from error
    if not isinstance(hashes, dict) or not {"cases_sha256", "sources_sha256"} <= set(hashes):
        raise UserError(f"{path} lacks cases_sha256 or sources_sha256; restore it")
    return hashes


def _read_lines(path: Path, parse: Callable[[Any], T], fast: Callable[[bytes], T | None] | None = None) -> list[T]:
    """Return the value of each JSON line. Raises UserError naming a line that cannot be read."""
    remedy = f"generate the suite into {path.parent} again"
    return [value for _, value in read_json_lines(path, lambda row: check_types(parse(row)), remedy, fast)]


def _row(value: Any) -> dict[str, Any]:
    """Return the line of a value."""
    return value.to_json() if isinstance(value, Source) else dataclasses.asdict(value)


def _plain(value: Any) -> Any:
    """Convert tuples to lists and drop None, so that the YAML is as readable as a handwritten one."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
