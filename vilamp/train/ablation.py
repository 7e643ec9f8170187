"""What each thing that the paper does not have is worth: train without it, and ask the default needles.

    python -m vilamp.train.ablation --config configs/train/ablation.yaml

Resumable, like the training and the runs it is made of.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import pandas as pd

from niah.config import read_yaml
from niah.guard import guarded
from niah.run.command import run
from niah.run.config import RunConfig
from niah.types import UserError
from vilamp import weights
from vilamp.config import VilampConfig
from vilamp.train.__main__ import encode_pools, train
from vilamp.train.config import Training
from vilamp.train.reader import Features

LENGTHS = (128, 512)  # the longest that so short a training comes to, and four times that; at 5,000 all guess
DEPTHS = (0.1, 0.5, 0.9)
CONDITIONS = ("full", "needle_only")
COLUMNS = ["variant", "condition", "type", "length", "n", "correct", "accuracy", "cluster_low", "cluster_high"]


def variants(base: Training) -> dict[str, Training]:
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
        name: dataclasses.replace(one, output=str(folder / "checkpoints" / name.replace(" ", "-")))
        for name, one in made.items()
    }


def _without(base: Training, extra: str) -> VilampConfig:
    """Return the model's settings with one extra switched off."""
    extras = dataclasses.replace(base.model.extras, **{extra: False})
    return dataclasses.replace(base.model, extras=extras)


def ablate(base: Training) -> pd.DataFrame:
    """Train every variant, ask each the default needles, and return the rows of all their tables that matter."""
    tables, pools = [], None
    for name, one in variants(base).items():
        if not (Path(one.output) / "train.json").is_file():
            sys.stderr.write(f"variant {name}\n")
            pools = pools or _encoded(base)
            train(one, pools)
        folder = Path(base.output) / name.replace(" ", "-")
        asked = {"lengths": LENGTHS, "depths": DEPTHS, "conditions": CONDITIONS}
        run(RunConfig(model_args={"pretrained": one.output}, output_path=str(folder), **asked))
        table = pd.read_csv(folder / "table.csv", dtype={"length": str, "depth": str})
        tables.append(table.assign(variant=name))
    rows = pd.concat(tables)
    wanted = (rows.depth == "all") & (rows.type != "all") & rows.length_by.isin(["exact", "all"])
    of_length = (rows.condition == "full") == (rows.length != "all")  # needle_only has no length worth telling
    return rows.loc[wanted & of_length, COLUMNS]


def _encoded(base: Training) -> list[Features]:
    """Return the reader's footage as all variants see it: they share their encoders."""
    if base.encoder_from is None:
        raise UserError("an ablation compares readers on the same encoders: name a checkpoint as encoder_from")
    model, _ = weights.load(weights.locate(base.encoder_from))
    return encode_pools(base, model)


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m vilamp.train.ablation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", type=Path, required=True, help="a YAML file; see configs/train/ablation.yaml")
    given = parser.parse_args()

    def command() -> int:
        base = read_yaml(Training, given.config)
        rows = ablate(base)
        rows.to_csv(Path(base.output) / "table.csv", index=False)
        sys.stdout.write(rows.to_string(index=False) + "\n")
        return 0

    return guarded(command)


if __name__ == "__main__":
    sys.exit(main())
