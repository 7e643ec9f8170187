"""Write a finished run to TensorBoard or Weights & Biases.

Accuracy over length is a curve for each condition and depth, with the length as its step; so are memory and time.
The run's settings and figures are added. Both packages are extras. Only wandb sends anything: it asks for a login, or
works offline (WANDB_MODE=offline).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.analysis.kinds import split_kinds
from niah.analysis.layout import ALL, ROWS
from niah.analysis.load import RunData
from niah.analysis.table import Row, table_rows
from niah.extras import install
from niah.io import read_regular, replace_file
from niah.run.metadata import read_metadata
from niah.types import SINGLE, UserError

MIB = 2**20
SETTINGS = "settings.json"  # beside the event files: the run's settings; marks the event files as ours


@dataclass(frozen=True)
class CurvePoint:
    """One number of a curve; `step` is a length in frames, 0 where a video has none."""

    name: str
    step: int
    value: float


def curve_points(run: RunData) -> list[CurvePoint]:
    """Return the curves of a run, by name and step."""
    found = [point for row in table_rows(split_kinds([run])) for point in _of_row(row)]
    return sorted([*found, *_measured(run)], key=lambda point: (point.name, point.step))


def to_tensorboard(run: RunData, folder: Path) -> Path:
    """Write event files into a folder, replacing those of an earlier call.

    Raises UserError where tensorboard is not usable, or the folder holds somebody else's events.
    """
    try:
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]  # made by protobuf
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise UserError(f"tensorboard is not usable ({error}): {install('tensorboard')}") from error
    earlier = list(folder.glob("events.out.tfevents.*"))
    if earlier and not _ours(folder / SETTINGS):
        raise UserError(
            f"{folder} holds {earlier[0].name} and no {SETTINGS} that niah track wrote, so these events are of another "
            "program and would be lost; name a new or empty folder with -o"
        )
    folder.mkdir(parents=True, exist_ok=True)
    settings = json.dumps(_settings(run), indent=1)
    replace_file(folder / SETTINGS, settings + "\n")  # first: it marks the folder as ours
    for old in earlier:
        old.unlink()  # TensorBoard would draw both
    writer = EventFileWriter(str(folder))
    for point in curve_points(run):
        value = Summary.Value(tag=point.name, simple_value=point.value)
        writer.add_event(Event(step=point.step, summary=Summary(value=[value])))
    for name, image in _pictures(run.folder):
        value = Summary.Value(tag=name, image=Summary.Image(encoded_image_string=image.read_bytes()))
        writer.add_event(Event(summary=Summary(value=[value])))
    writer.close()
    return folder


def to_wandb(run: RunData, folder: Path, project: str) -> str:
    """Log a run to Weights & Biases, which writes its files below `folder`; return its address. Raises UserError."""
    try:
        import wandb  # pyright: ignore[reportMissingImports] (an extra)
    except ImportError as error:
        raise UserError(f"wandb is not usable ({error}): {install('wandb')}") from error
    folder.mkdir(parents=True, exist_ok=True)
    try:
        name = f"{run.suite} {run.model}"
        logged = wandb.init(project=project, name=name, config=_settings(run), dir=str(folder))
    except wandb.Error as error:
        remedy = "log in with `wandb login`, or set WANDB_MODE=offline"
        raise UserError(f"wandb cannot start ({error}); {remedy}") from error
    by_step: dict[int, dict[str, Any]] = {}
    for point in curve_points(run):
        by_step.setdefault(point.step, {"frames": point.step})[point.name] = point.value
    logged.define_metric("frames")
    logged.define_metric("*", step_metric="frames")
    for step in sorted(by_step):
        logged.log(by_step[step])
    logged.log({name: wandb.Image(str(path)) for name, path in _pictures(run.folder)})
    logged.finish()
    return logged.url or logged.dir


def _of_row(row: Row) -> list[CurvePoint]:
    """Return the points of one row of the results table: by length, split by depth or question type but not both."""
    condition = row.condition if row.kind == SINGLE else f"{row.kind} {row.condition}"
    split = [f"{ROWS.get(row.kind, 'depth')} {row.depth}"] if row.depth != ALL else []
    split += [row.type] if row.type != ALL else []
    if row.accuracy is None or row.length_by == "bin" or len(split) > 1:
        return []
    if row.length == ALL:
        return [] if split else [CurvePoint(f"overall/{condition}", 0, row.accuracy)]
    return [CurvePoint("/".join(["accuracy", " ".join([condition, *split])]), int(row.length), row.accuracy)]


def _measured(run: RunData) -> list[CurvePoint]:
    """Return memory and time of the cold cases (no cached features), as in the figures."""
    found = []
    for case in run.cases:
        record = run.records.get(case.id)
        if record is None or record.status != "ok" or not record.measured.get("cold"):
            continue
        for name, key, unit in (
            ("host MiB", "peak_host_bytes", MIB),
            ("device MiB", "peak_reserved_bytes", MIB),
            ("seconds to first token", "seconds_to_first_token", 1),
        ):
            value = record.measured.get(key)
            if value is not None:
                found.append(CurvePoint(f"cost/{name}", case.length, value / unit))
    return found


def _settings(run: RunData) -> dict[str, Any]:
    """Return the run's settings from run.json, which contains no path of a machine and no secret."""
    metadata = read_metadata(run.folder)
    environment = {key: metadata[key] for key in ("versions", "git") if key in metadata}
    return {"suite": run.suite, **metadata["decides"], **environment}


def _ours(path: Path) -> bool:
    """Return True if a file holds what `_settings` returns, and not the settings of another program."""
    try:
        settings = json.loads(read_regular(path))
    except (FileNotFoundError, ValueError, RecursionError):  # no JSON
        return False
    return isinstance(settings, dict) and {"suite", "cases_sha256"} <= set(settings)


def _pictures(folder: Path) -> list[tuple[str, Path]]:
    """Return the name and path of each figure in the folder; a link may lead to a file that is not to be shown."""
    found = ((name, folder / f"{name}.png") for name in ("heatmap", "memory"))
    return [(name, path) for name, path in found if path.is_file() and not path.is_symlink()]
