"""Publish a suite as a `datasets` folder: cases and sources as parquet, licences, hashes and a card.

The videos are never included: whoever has them checks them against the hashes (`niah verify`) and gets
a suite that runs.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.integrations.hub.dataset_repo import UNKNOWN, config, plain, refuse_foreign, table, write_card
from niah.io import refuse_link, replace_file, replacing, stored_path
from niah.run.folder import suite_yaml
from niah.suite.folder import GeneratedSuite, cases_sha256, write_hashes
from niah.types import Case, Sampling, Source, UserError

OWN = "apache-2.0"  # licence of built-in footage, which this project draws
BUILT_IN = "footage-"  # how identities of built-in footage begin
DRAWN = """Its videos are drawn on first use:

```
niah run --model NAME --suite FOLDER/suite.yaml
```
"""
FOUND = """With the videos in a folder VIDEOS, under any names:

```
niah verify FOLDER --media VIDEOS -o my-suite
niah run --model NAME --suite my-suite
```

The first command checks every file against its hash, reports what is missing or changed, and writes a suite that runs
on this machine.
"""
IN_USE = (
    "sources.jsonl",
    "records.jsonl",
)  # a folder with one of these is a suite or a run, whose suite.yaml must stay


@dataclass(frozen=True)
class Licence:
    """The licence of a video, and who is to be credited."""

    licence: str = UNKNOWN
    attribution: str = ""


def write_suite(
    generated: GeneratedSuite, folder: Path, licence: str | None = None, licences: Mapping[str, Licence] | None = None
) -> list[str]:
    """Write the suite into `folder` and return the names of the files.

    `licence` is that of questions and cases, `licences` those of the videos by name or sha256.
    Raises UserError where the folder is in use, or holds other files than an earlier call wrote.
    """
    for name in IN_USE:
        if stored_path(folder / name) is not None:
            raise UserError(f"{folder} holds {name}, so it is a suite or a run in use; name another folder with -o")
    refuse_foreign(folder)
    sources = [_source_row(source, licences or {}) for source in generated.sources.values()]
    card = write_card(folder, _head(generated, _licence(generated, licence)), _body(generated, sources))
    refuse_link(folder / "data")
    (folder / "data").mkdir(exist_ok=True)
    files = [
        card,
        _parquet(folder, "data/cases.parquet", [_case_row(case) for case in generated.cases], _cases_features()),
        _parquet(folder, "data/sources.parquet", sources, _sources_features(any("crop" in row for row in sources))),
    ]
    replace_file(folder / "suite.yaml", suite_yaml(generated.suite))
    hashes = {row["name"]: row["sha256"] for row in sources}
    return [*files, "suite.yaml", write_hashes(folder, generated.cases, hashes)]


def read_published_suite(folder: Path) -> tuple[list[Case], list[dict[str, Any]]]:
    """Return the cases and the rows of the sources of a published suite."""
    from pyarrow import ArrowInvalid, parquet

    names = {field.name for field in dataclasses.fields(Case)}
    tables = []
    for file in ("cases", "sources"):
        path = folder / "data" / f"{file}.parquet"
        try:
            tables.append(parquet.read_table(path).to_pylist())
        except (FileNotFoundError, ArrowInvalid) as error:
            raise UserError(f"{path} is missing or damaged ({error}); download the data set again") from error
    try:
        cases = [Case.from_json({key: row[key] for key in row if key in names}) for row in tables[0]]
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{folder}/data/cases.parquet: no case ({error!r}); download the data set again") from error
    return cases, tables[1]


def read_licences(path: Path) -> dict[str, Licence]:
    """Read licences of videos: csv or JSON lines with licence, attribution, and source (or file) or sha256."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines: Iterable[Any] = list(csv.DictReader(file) if path.suffix == ".csv" else map(json.loads, file))
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}); name a csv or JSON lines file of licences") from error
    except ValueError as error:
        raise UserError(f"{path} is neither csv nor JSON lines ({error})") from error
    found: dict[str, Licence] = {}
    for number, row in enumerate(lines, start=1):
        fields = row if isinstance(row, dict) else {}
        name = fields.get("sha256") or fields.get("source") or fields.get("file")
        licence = fields.get("licence") or fields.get("license")
        if not name or not licence:
            raise UserError(f"{path}, row {number}: wanted source (or file or sha256) and licence, got {row!r}")
        found[str(name)] = Licence(str(licence), str(fields.get("attribution") or ""))
    return found


def _licence(generated: GeneratedSuite, given: str | None) -> str:
    """Return the licence of questions and cases; those of built-in footage are the project's own."""
    return given or (OWN if generated.suite.footage is not None else UNKNOWN)


def _source_row(source: Source, licences: Mapping[str, Licence]) -> dict[str, Any]:
    """Return the published row of a source, without its path. Raises UserError where its licence is ambiguous."""
    built_in = Licence(OWN, "drawn by VideoNIAH") if source.identity.startswith(BUILT_IN) else Licence()
    licence = licences.get(source.sha256, licences.get(source.name))
    if licence is None:
        named = {name: licences[name] for name in licences if name.endswith(f"/{source.name}")}
        if len(set(named.values())) > 1:
            raise UserError(
                f"{source.name} could be any of {', '.join(named)}, which have other licences; name it by its sha256, "
                f"{source.sha256}"
            )
        licence = next(iter(named.values()), built_in)
    row = {key: value for key, value in source.to_json().items() if key != "path"}
    return {**row, **dataclasses.asdict(licence)}


def _case_row(case: Case) -> dict[str, Any]:
    """Return a case with its depth, which in cases.jsonl is derived."""
    return {**dataclasses.asdict(case), "depth": case.depth}


def _parquet(folder: Path, name: str, rows: list[dict[str, Any]], features: Any) -> str:
    """Write rows of one kind and return the file's name."""
    from datasets import Dataset
    from pyarrow import parquet

    columns = {column: [row.get(column) for row in rows] for column in features}  # one without a crop has none
    with replacing(folder / name) as temporary:
        parquet.write_table(Dataset.from_dict(columns, features=features).data.table, temporary)
    return name


def _cases_features() -> Any:
    """Return the column types of the cases, which cannot be inferred from empty lists."""
    from datasets import Features, List, Value

    text = Value("string")
    number = Value("int64")
    real = Value("float64")
    texts = ("id", "suite", "condition", "needle", "needle_source", "haystack", "question", "answer", "type")
    return Features(
        {
            **dict.fromkeys((*texts, "template", "kind", "confused"), text),
            **dict.fromkeys(("version", "length", "repeats"), number),
            **dict.fromkeys(("depth", "fps"), real),
            **dict.fromkeys(("options", "asked"), List(text)),
            "needles": List({"needle": text, "start": number, "stop": number}),
            "timeline": List({"source": text, "start": number, "stop": number}),
        }
    )


def _sources_features(cropped: bool) -> Any:
    """Return the column types of the sources; the pixels cut off have a column where a source has any."""
    from datasets import Features, List, Value

    texts = dict.fromkeys(("name", "identity", "sha256", "licence", "attribution"), Value("string"))
    crop = {"crop": List(Value("int64"))} if cropped else {}
    return Features({**texts, "frames": Value("int64"), "seconds": Value("float64"), **crop})


def _head(generated: GeneratedSuite, licence: str) -> dict[str, Any]:
    """Return the front matter of the card."""
    return {
        "pretty_name": f"VideoNIAH suite {generated.suite.name}",
        "license": licence,
        "task_categories": ["video-text-to-text", "visual-question-answering"],
        "tags": ["videoniah", "long-video", "needle-in-a-haystack"],
        "configs": [
            config("cases", "test", "data/cases.parquet", default=True),
            config("sources", "test", "data/sources.parquet"),
        ],
    }


def _frame_size(sampling: Sampling) -> str:
    """Return in words how large frames are."""
    if not sampling.of_case:
        return f"{sampling.width} x {sampling.height}"
    limit = f", the shorter side at most {sampling.height}" if sampling.fit == "shorter_side" else ""
    return f"as large as each haystack is displayed{limit}"


def _body(generated: GeneratedSuite, sources: list[dict[str, Any]]) -> str:
    """Return the text of the card: what the suite contains, the licences of its videos, and how to run it."""
    suite = generated.suite
    conditions = Counter(case.condition for case in generated.cases)
    sampling = f"{suite.sampling.rate} frames a second, {_frame_size(suite.sampling)}"
    contents = [
        ("cases", f"{len(generated.cases):,}: " + ", ".join(f"{n:,} {name}" for name, n in conditions.items())),
        ("lengths in frames", ", ".join(f"{length:,}" for length in suite.lengths)),
        ("depths", ", ".join(f"{depth:g}" for depth in suite.depths)),
        ("sampling", sampling),
        ("rules of generation", f"version {suite.version}"),
        ("sha256 of cases.jsonl", cases_sha256(generated.cases)),
    ]
    terms = Counter((row["licence"], row["attribution"]) for row in sources)
    licence_rows = [(count, licence, attribution) for (licence, attribution), count in sorted(terms.items())]
    return f"""# VideoNIAH suite {plain(suite.name)}

Questions about a short clip (needle) hidden in long video (haystack), and for each the edit list of its video.
**The videos are not in this data set**: `sources` names each by its SHA-256.

{table(("what", "value"), contents)}
## Licences of the videos

{table(("videos", "licence", "attribution"), licence_rows)}
## To run it

{DRAWN if suite.footage is not None else FOUND}"""
