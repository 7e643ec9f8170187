"""Train the reader probe of a checkpoint on footage of training worlds; the model stays as it is."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from niah.cli.command import Command
from niah.suite.footage.clips import DIRECTIONS
from niah.suite.footage.draw import DIGITS
from niah.types import LETTERS, UserError
from vilamp import checkpoint
from vilamp.model import Vilamp
from vilamp.train import data
from vilamp.train.loop import cosine_rate, optimizer_step
from vilamp.train.probe.model import NeedleTokens, Probe, needle_tokens, save
from vilamp.train.reader import PoolFeatures, encode_pool, splice

EXAMPLES = """\
example:
  niah probe_train --pretrained micro
      two thousand steps on the checkpoint's compressed tokens; the probe is written into its folder, for niah probe
"""
ANSWERS = (*DIRECTIONS, *map(str, DIGITS))
TYPES = ("motion", "digit")
WORLDS, HAYSTACK, CLIPS = 10, 1000, 250  # haystack frames and clips of each world
BATCH, RATE = 16, 1e-3


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pretrained", default="micro", help="a shipped checkpoint or a folder")
    parser.add_argument("--steps", type=int, default=2000, metavar="N", help=f"of {BATCH} cases each")


def _run(options: argparse.Namespace) -> int:
    """Train and save."""
    return _train(options.pretrained, options.steps)


def _train(pretrained: str, steps: int) -> int:
    """Train and save; return 0."""
    folder = checkpoint.locate(pretrained)
    model, weights_id = checkpoint.load(folder)
    if model.config.compression is not None:
        raise UserError(
            f"{folder} has the compressor {model.config.compression.scheme!r}, and this trains probes of ViLaMP's own"
        )
    model.requires_grad_(False)
    worlds = tqdm([f"train/probe/{number}" for number in range(WORLDS)], desc="footage", unit="world")
    pools = [encode_pool(model, data.build_pool(world, HAYSTACK, CLIPS, TYPES)) for world in worlds]
    save(train(model, pools, steps), folder, weights_id)
    return 0


def train(model: Vilamp, pools: list[PoolFeatures], steps: int) -> Probe:
    """Return a probe trained on cases with haystacks of all lengths, and with K from 1 up to the model's."""

    def batch(step: int) -> list[tuple[NeedleTokens, int]]:
        rng = random.Random(f"probe/{step}")
        return [needle_example(model, rng.choice(pools), rng) for _ in range(BATCH)]

    return fit(model, steps, batch, "probe")


def fit(model: Vilamp, steps: int, batch: Callable[[int], list[tuple[NeedleTokens, int]]], name: str) -> Probe:
    """Return a probe after `steps` batches.

    `batch` returns for a step the tokens of needles, each with the index of its answer in ANSWERS.
    """
    torch.manual_seed(0)  # for the initial weights alone; every later draw has a generator of its own
    probe = Probe(model.config.language.hidden_size, model.config.clip.embed_dim, ANSWERS)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=RATE, weight_decay=0.01)
    recent: list[bool] = []
    progress = tqdm(range(steps), desc=name, unit="step")
    for step in progress:
        needles, answers = zip(*batch(step), strict=True)
        targets = torch.tensor(answers)
        logits = probe(list(needles))
        loss = cross_entropy(logits, targets)
        optimizer_step(optimizer, loss, list(probe.parameters()), cosine_rate(RATE, step, steps, floor=0.02))
        recent = [*recent, *(logits.argmax(-1) == targets).tolist()][-400:]
        progress.set_postfix(right=f"{sum(recent) / len(recent):.2f}")
    return probe.eval()


@torch.no_grad()
def needle_example(model: Vilamp, features: PoolFeatures, rng: random.Random) -> tuple[NeedleTokens, int]:
    """Return the needle's tokens of one spliced case, and the index of its answer in ANSWERS."""
    keyframes = rng.randint(1, model.config.keyframes)
    case = splice(model, features, rng.choice(TYPES), rng.randint(0, HAYSTACK), keyframes, rng)
    answer = case.clip.options[LETTERS.index(case.clip.answer)]
    return needle_tokens(case.stream, case.start, case.start + case.clip.count, case.query), ANSWERS.index(answer)


COMMAND = Command(_run, EXAMPLES, _add_arguments, stopped="stopped; nothing was written")
