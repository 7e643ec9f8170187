"""Train without each thing that the paper does not have, and ask the default needles.

Resumable, like the training and the runs it is made of. With --records nothing is trained or asked: the table is made
again from the runs in that folder, one for each variant.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import pandas as pd

from niah.analysis.load import read_run
from niah.analysis.table import table_frame
from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_config
from niah.cli.forward import forward
from niah.cli.run_suite import run_suite as run
from niah.exit_codes import DONE
from niah.io import replace_file
from niah.run.config import RunConfig
from niah.settings import from_mapping, read_yaml
from niah.types import UserError
from vilamp import checkpoint
from vilamp.config import VilampConfig
from vilamp.train.config import TrainingConfig
from vilamp.train.reader import PoolFeatures
from vilamp.train.training import encode_pools, train

EXAMPLES = """\
examples:
  niah ablation --config configs/train/ablation.yaml
      train every variant, ask it, and write the table
  niah ablation --config configs/train/ablation.yaml --records results/ablation
      train and ask nothing; write the table again from the runs kept there

exit codes: 0 done, 2 a mistake in the config, 3 some run is not complete, 130 after Ctrl-C
"""
LENGTHS = (128, 512)  # the longest that so short a training comes to, and four times that; at 5,000 all guess
DEPTHS = (0.1, 0.5, 0.9)
CONDITIONS = ("full", "needle_only")
COLUMNS = [
    "variant", "trained_to", "condition", "type", "length", "n", "correct", "accuracy", "cluster_low", "cluster_high",
]  # fmt: skip


def variants(base: TrainingConfig) -> dict[str, TrainingConfig]:
    """Return the base and, for each thing it has beyond the paper, a training without that."""
    extras, reader = base.model.extras, base.reader
    off = {
        **{f"no {name}": {"model": _without(base, name)} for name in dataclasses.asdict(extras)},
        "no alignment": {"reader": dataclasses.replace(reader, alignment=0.0)},
        "no tracing": {"reader": dataclasses.replace(reader, tracing=0.0)},
        "no position_gaps": {"reader": dataclasses.replace(reader, position_gaps=0.0)},
    }
    made = {"all": base, **{name: dataclasses.replace(base, **changes) for name, changes in off.items()}}
    folder = Path(base.output)
    return {
        name: dataclasses.replace(one, output=str(folder / "checkpoints" / _slug(name))) for name, one in made.items()
    }


def _without(base: TrainingConfig, extra: str) -> VilampConfig:
    """Return the model's settings with one extra switched off."""
    extras = dataclasses.replace(base.model.extras, **{extra: False})
    return dataclasses.replace(base.model, extras=extras)


def ablate(base: TrainingConfig) -> int:
    """Train every variant and ask each the default needles; return the exit code of the first run that is not whole."""
    pools = None
    for name, one in variants(base).items():
        if not (Path(one.output) / "train.json").is_file():
            sys.stderr.write(f"variant {name}\n")
            pools = pools or _encoded(base)
            train(one, pools)
        folder = Path(base.output) / _slug(name)
        asked = {"lengths": LENGTHS, "depths": DEPTHS, "conditions": CONDITIONS}
        code = run(RunConfig(model_args={"pretrained": one.output}, output_path=str(folder), **asked))
        if code != DONE:
            return code
        for kept in ("train.json", "curve.csv"):  # beside the records: what they are of
            replace_file(folder / kept, (Path(one.output) / kept).read_bytes())
    return DONE


def variants_table(base: TrainingConfig, folder: Path) -> pd.DataFrame:
    """Return the rows of all variants' tables that matter, and the longest haystack each was promoted to, in frames.

    They come from the runs below a folder. Raises UserError where one is missing, not whole or of another training.
    """
    rows = pd.concat([_table(folder / _slug(name), name, one) for name, one in variants(base).items()])
    wanted = (rows.depth == "all") & (rows.type != "all") & rows.length_by.isin(["exact", "all"])
    of_length = (rows.condition == "full") == (rows.length != "all")  # needle_only has no length worth telling
    return rows.loc[wanted & of_length, COLUMNS]


def _table(folder: Path, name: str, trained: TrainingConfig) -> pd.DataFrame:
    """Return the table of one variant's run, with its name and how far its training came."""
    asked = read_run(folder)
    lacking = len(asked.cases) - sum(record.status == "ok" for record in asked.records.values())
    if lacking:
        told = f"{lacking} of {len(asked.cases)} cases have no answer"
        raise UserError(f"{folder}: {told}, and a table would be of the rest; ask again, or restore its records")
    about = json.loads((folder / "train.json").read_text(encoding="utf-8"))["config"]
    if from_mapping(TrainingConfig, about, str(folder / "train.json")) != trained:
        raise UserError(f"{folder} is not of the variant {name!r} of this config: train.json tells another training")
    longest = pd.read_csv(folder / "curve.csv")["length"].max()  # empty but for the reader's steps
    return table_frame([asked]).assign(variant=name, trained_to=f"{longest:.0f}")


def _slug(variant: str) -> str:
    """Return the name of a variant's folders."""
    return variant.replace(" ", "-")


def _encoded(base: TrainingConfig) -> list[PoolFeatures]:
    """Return the reader's footage as all variants see it: they share their encoders."""
    if base.encoder_from is None:
        raise UserError("an ablation compares readers on the same encoders: name a checkpoint as encoder_from")
    model, _ = checkpoint.load(checkpoint.locate(base.encoder_from))
    return encode_pools(base, model)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, "a YAML file; see configs/train/ablation.yaml")
    told = "train nothing; sum up the runs kept here (default: train into the config's output)"
    parser.add_argument("--records", type=Path, metavar="FOLDER", help=told)


def _run(options: argparse.Namespace) -> int:
    """Train and ask every variant, unless there are records; write and print the table."""
    base = read_yaml(TrainingConfig, options.config)
    folder = options.records or Path(base.output)
    code = ablate(base) if options.records is None else DONE
    if code != DONE:
        return code
    rows = variants_table(base, folder)
    replace_file(folder / "table.csv", rows.to_csv(index=False, float_format="%.4f", lineterminator="\n"))
    sys.stdout.write(rows.to_string(index=False) + "\n")
    return DONE


COMMAND = Command(_run, EXAMPLES, _add_arguments, stopped=RESUMED)

if __name__ == "__main__":  # the old name, for one release
    forward("ablation")
