"""Train the probe of a checkpoint on streams of the training worlds; the model stays as it is.

niah probe_train --pretrained micro
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from niah.cli.guard import guarded
from niah.suite.footage.draw import DIGITS
from niah.suite.footage.paths import DIRECTIONS
from niah.types import LETTERS, UserError
from vilamp import checkpoint
from vilamp.model import Vilamp
from vilamp.train import data
from vilamp.train.probe.model import NeedleTokens, Probe, needle_tokens, save
from vilamp.train.reader import PoolFeatures, encode_pool, splice
from vilamp.train.training import cosine_rate, optimizer_step

ANSWERS = (*DIRECTIONS, *map(str, DIGITS))
TYPES = ("motion", "digit")
WORLDS, HAYSTACK, CLIPS = 10, 1000, 250  # haystack frames and clips of each world
BATCH, RATE = 16, 1e-3


def main() -> int:
    """Train and save; return 0, or 2 where there is no such checkpoint or it has another compressor than ViLaMP's."""
    parser = argparse.ArgumentParser(prog="niah probe_train", description=__doc__)
    parser.add_argument("--pretrained", default="micro", help="a shipped checkpoint or a folder (default: micro)")
    parser.add_argument("--steps", type=int, default=2000, help="of 16 cases each (default: 2000)")
    given = parser.parse_args()
    return guarded(lambda: _train(given.pretrained, given.steps), stopped="stopped; nothing was written")


def _train(pretrained: str, steps: int) -> int:
    """Train and save; return 0."""
    folder = checkpoint.locate(pretrained)
    model, weights_id = checkpoint.load(folder)
    if model.config.compression is not None:
        raise UserError(
            f"{folder} has the compressor {model.config.compression.scheme!r}, and this trains probes of ViLaMP's own; "
            "those of others are trained by niah experiment"
        )
    model.requires_grad_(False)
    worlds = tqdm([f"train/probe/{number}" for number in range(WORLDS)], desc="footage", unit="world")
    pools = [encode_pool(model, data.build_pool(world, HAYSTACK, CLIPS, TYPES)) for world in worlds]
    save(train(model, pools, steps), folder, weights_id)
    return 0


def train(model: Vilamp, pools: list[PoolFeatures], steps: int) -> Probe:
    """Return a probe trained on cases of up to the pools' haystacks, K from 1 up to the model's."""

    def batch(step: int) -> list[tuple[NeedleTokens, int]]:
        rng = random.Random(f"probe/{step}")
        return [needle_example(model, rng.choice(pools), rng) for _ in range(BATCH)]

    return fit(model, steps, batch, "probe")


def fit(model: Vilamp, steps: int, batch: Callable[[int], list[tuple[NeedleTokens, int]]], name: str) -> Probe:
    """Return a probe of a model's streams after `steps` batches: what is left of needles, and places in ANSWERS."""
    torch.manual_seed(0)  # the initial weights; every later draw is named
    probe = Probe(model.config.language.hidden_size, model.config.clip.embed_dim, ANSWERS)
    optimizer = torch.optim.AdamW(probe.parameters(), lr=RATE, weight_decay=0.01)
    recent: list[bool] = []
    progress = tqdm(range(steps), desc=name, unit="step")
    for step in progress:
        remains, places = zip(*batch(step), strict=True)
        rights = torch.tensor(places)
        logits = probe(list(remains))
        loss = cross_entropy(logits, rights)
        optimizer_step(optimizer, loss, list(probe.parameters()), cosine_rate(RATE, step, steps, floor=0.02))
        recent = [*recent, *(logits.argmax(-1) == rights).tolist()][-400:]
        progress.set_postfix(right=f"{sum(recent) / len(recent):.2f}")
    return probe.eval()


@torch.no_grad()
def needle_example(model: Vilamp, features: PoolFeatures, rng: random.Random) -> tuple[NeedleTokens, int]:
    """Return what is left of the needle of one spliced case, and the place of its answer in ANSWERS."""
    keyframes = rng.randint(1, model.config.keyframes)
    case = splice(model, features, rng.choice(TYPES), rng.randint(0, HAYSTACK), keyframes, rng)
    answer = case.clip.options[LETTERS.index(case.clip.answer)]
    return needle_tokens(case.stream, case.start, case.start + case.clip.count, case.query), ANSWERS.index(answer)


if __name__ == "__main__":
    sys.exit(main())
