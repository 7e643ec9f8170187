"""Ask the same cases with other constants: every K alone, then every alpha with every tau.

No weights change. Each setting is a run of its own, as `niah run` makes it, and resumable like one: a complete run is
not asked again. Constants that are not varied are the checkpoint's. No constant changes the features of frames, which
the runs share, so a further setting costs little; times and memory of these runs mean nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from niah.cli.command import RESUMED, Command
from niah.cli.flags import add_config
from niah.cli.run_suite import NamedRun
from niah.run.config import RunConfig
from niah.settings import read_yaml
from niah.types import UserError
from vilamp.train.many_runs import run_with_shared_store

EXAMPLES = """\
examples:
  niah sweep --config configs/sweeps/keyframes.yaml
      six runs of 40 cases with 1 to 30 keyframes, into the folder that the file calls output
  niah paper figure6 runs/keyframes/*
      accuracy over K, drawn
  niah sweep --config configs/sweeps/constants.yaml
      every pair of merging temperature alpha and threshold tau
  niah paper table6 runs/constants/*
      accuracy over alpha and tau

Each setting is a run of its own, and resumable like one. Times and memory of these runs mean nothing: they share
the features of frames.

exit codes: 0 every run is complete, 2 a mistake in the config, 3 some run is not complete, 130 after Ctrl-C
"""


@dataclass(frozen=True)
class Sweep:
    """Which cases are asked, and which constants are tried: the keys of the YAML file."""

    output: str  # gets a run folder for each setting
    keyframes: tuple[int, ...] = ()  # K
    temperatures: tuple[float, ...] = ()  # alpha; crossed with the thresholds
    thresholds: tuple[float, ...] = ()  # tau
    pretrained: str = "micro-vilamp"
    device: str | None = None
    suite: str = "default"
    lengths: tuple[int, ...] | None = None  # None: the suite's; likewise depths
    depths: tuple[float, ...] | None = None
    conditions: tuple[str, ...] = ("full",)

    def __post_init__(self) -> None:
        if bool(self.temperatures) != bool(self.thresholds):
            raise UserError("temperatures and thresholds are crossed: a sweep names both, or neither")
        if not self.keyframes and not self.temperatures:
            raise UserError("a sweep needs keyframes: [...], or temperatures: [...] and thresholds: [...]")

    def runs(self) -> dict[str, RunConfig]:
        """Return the run of each setting, by the name of its folder."""
        settings: dict[str, dict[str, float | int]] = {f"k-{count}": {"keyframes": count} for count in self.keyframes}
        for temperature in self.temperatures:
            for threshold in self.thresholds:
                name = f"alpha-{temperature:g}-tau-{threshold:g}"
                settings[name] = {"temperature": temperature, "threshold": threshold}
        return {name: self._run(name, constants) for name, constants in settings.items()}

    def _run(self, name: str, constants: Mapping[str, float | int]) -> RunConfig:
        """Return one run."""
        return RunConfig(
            model_args={"pretrained": self.pretrained, **constants},
            device=self.device,
            suite=self.suite,
            lengths=self.lengths,
            depths=self.depths,
            conditions=self.conditions,
            output_path=str(Path(self.output) / name),
            figures=False,  # a heatmap of one cell says nothing
        )


def sweep(settings: Sweep) -> int:
    """Ask every run; return 0, or the highest exit code of those that were not done."""
    return run_with_shared_store(NamedRun(name, config) for name, config in settings.runs().items())


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, "cases and constants: YAML, for instance a copy of one in configs/sweeps, which are commented")


def _run(options: argparse.Namespace) -> int:
    """Ask every run of the config."""
    return sweep(read_yaml(Sweep, options.config))


COMMAND = Command(_run, EXAMPLES, _add_arguments, stopped=RESUMED)
