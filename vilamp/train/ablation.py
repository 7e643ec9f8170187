"""Train without each thing that the paper does not have, and compare the answers: what each is worth.

Resumable, like its trainings and runs. With --records nothing is trained or asked: the table is made again from the
runs in that folder, one for each variant.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from niah.analysis.load import read_run
from niah.analysis.table import table_frame
from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_config
from niah.cli.forward import forward
from niah.cli.run_suite import NamedRun
from niah.exit_codes import DONE
from niah.io import replace_file
from niah.run.config import RunConfig
from niah.settings import from_mapping, read_yaml
from niah.terminal import to_stderr, to_stdout
from niah.types import UserError
from vilamp import checkpoint
from vilamp.config import VilampConfig
from vilamp.train.config import TrainingConfig
from vilamp.train.journal import CURVE, SUMMARY, read_summary
from vilamp.train.many_runs import run_with_shared_store
from vilamp.train.reader import PoolFeatures
from vilamp.train.training import encode_pools, train

EXAMPLES = """\
examples:
  niah ablation --config configs/train/ablation.yaml
      train every variant, ask it, and write the table
  niah ablation --config configs/train/ablation.yaml --records results/archive/version-1/ablation
      train and ask nothing; write the table again from the runs kept there

exit codes: 0 done, 2 a mistake in the config, 3 some run is not complete, 130 after Ctrl-C
"""
LENGTHS = (128, 512)  # the longest that so short a training reaches, and four times that; at 5,000 all guess
DEPTHS = (0.1, 0.5, 0.9)
CONDITIONS = ("full", "needle_only")
COLUMNS = [
    "variant", "trained_to", "condition", "type", "length", "n", "correct", "accuracy", "cluster_low", "cluster_high",
]  # fmt: skip


def variants(base: TrainingConfig) -> dict[str, TrainingConfig]:
    """Return the base training and, for each thing it has beyond the paper, a training without it."""
    reader = base.reader
    changes: dict[str, dict[str, Any]] = {"all": {}}
    for extra, is_on in dataclasses.asdict(base.model.extras).items():
        if not is_on:
            continue
        changes[f"no {extra}"] = {"model": _without(base.model, extra)}
    for setting in ("alignment", "tracing", "position_gaps"):
        changes[f"no {setting}"] = {"reader": dataclasses.replace(reader, **{setting: 0.0})}
    checkpoints = Path(base.output) / "checkpoints"
    return {
        name: dataclasses.replace(base, output=str(checkpoints / _folder_name(name)), **change)
        for name, change in changes.items()
    }


def _without(model: VilampConfig, extra: str) -> VilampConfig:
    """Return a model's settings with one extra switched off."""
    return dataclasses.replace(model, extras=dataclasses.replace(model.extras, **{extra: False}))


def ablate(base: TrainingConfig) -> int:
    """Train every variant and ask it the default needles; return 0, or the highest exit code of runs not done."""
    return run_with_shared_store(_trained_runs(base))


def _trained_runs(base: TrainingConfig) -> Iterator[NamedRun]:
    """Train one variant after another, unless its checkpoint exists, and yield the run that asks it."""
    pools = None
    for name, variant in variants(base).items():
        if read_summary(Path(variant.output)) is None:
            to_stderr(f"training variant {name}\n")
            pools = pools or _encode_shared_pools(base)
            train(variant, pools)
        folder = Path(base.output) / _folder_name(name)
        config = RunConfig(
            model_args={"pretrained": variant.output},
            output_path=str(folder),
            lengths=LENGTHS,
            depths=DEPTHS,
            conditions=CONDITIONS,
        )
        yield NamedRun(f"variant {name}", config, when_done=partial(_copy_training, Path(variant.output), folder))


def _copy_training(checkpoint_folder: Path, run_folder: Path) -> None:
    """Copy the record of how a model was trained to the records of its answers."""
    for name in (SUMMARY, CURVE):
        replace_file(run_folder / name, (checkpoint_folder / name).read_bytes())


def variants_table(base: TrainingConfig, folder: Path) -> pd.DataFrame:
    """Return the table of all variants, made from the runs below a folder.

    `trained_to` is the longest haystack that a variant's training reached, in frames. Raises UserError where a run is
    missing, incomplete, or of another training.
    """
    rows = pd.concat([_variant_table(folder / _folder_name(name), name, one) for name, one in variants(base).items()])
    wanted = (rows.depth == "all") & (rows.type != "all") & rows.length_by.isin(["exact", "all"])
    by_length = (rows.condition == "full") == (rows.length != "all")  # needle_only has no length worth a row
    return rows.loc[wanted & by_length, COLUMNS]


def _variant_table(folder: Path, name: str, variant: TrainingConfig) -> pd.DataFrame:
    """Return the table of one variant's run, with its name and how far its training came."""
    data = read_run(folder)
    missing = len(data.cases) - sum(record.status == "ok" for record in data.records.values())
    if missing:
        raise UserError(
            f"{folder}: {missing} of {len(data.cases)} cases have no answer, and a table would be of the rest; ask "
            "again, or restore its records"
        )
    settings = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))["config"]
    if from_mapping(TrainingConfig, settings, str(folder / SUMMARY)) != variant:
        raise UserError(f"{folder} is not of the variant {name!r} of this config: {SUMMARY} is of another training")
    trained_to = pd.read_csv(folder / CURVE)["length"].max()  # empty in the encoders' rows
    return table_frame([data]).assign(variant=name, trained_to=f"{trained_to:.0f}")


def _folder_name(variant: str) -> str:
    """Return the name of a variant's folders."""
    return variant.replace(" ", "-")


def _encode_shared_pools(base: TrainingConfig) -> list[PoolFeatures]:
    """Return the reader's footage behind the encoders that all variants share."""
    if base.encoder_from is None:
        raise UserError("an ablation compares readers on the same encoders: name a checkpoint as encoder_from")
    model, _ = checkpoint.load(checkpoint.locate(base.encoder_from))
    return encode_pools(base, model)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, "variants and their training: YAML, for instance a copy of configs/train/ablation.yaml")
    help_text = "train nothing; sum up the runs kept here (default: train into the config's output)"
    parser.add_argument("--records", type=Path, metavar="FOLDER", help=help_text)


def _run(options: argparse.Namespace) -> int:
    """Train and ask every variant, unless there are records; write and print the table."""
    base = read_yaml(TrainingConfig, options.config)
    folder = options.records or Path(base.output)
    code = ablate(base) if options.records is None else DONE
    if code != DONE:
        return code
    rows = variants_table(base, folder)
    replace_file(folder / "table.csv", rows.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    to_stdout(rows.to_string(index=False) + "\n")
    return DONE


COMMAND = Command(_run, EXAMPLES, _add_arguments, stopped=RESUMED)

if __name__ == "__main__":  # the old name, for one release
    forward("ablation")
