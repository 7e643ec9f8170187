"""`python -m vilamp.train.micro.step_rate DEVICE [STEPS]`: how fast a device trains a micro model; keeps nothing."""

from __future__ import annotations

import random
import sys
import tempfile

import torch

from niah.adapters.meter import clock
from niah.terminal import to_stdout
from vilamp import checkpoint
from vilamp.config import Extras
from vilamp.train.loop import optimizer_step
from vilamp.train.micro.config import Member, MicroConfig
from vilamp.train.micro.examples import draw_batch
from vilamp.train.micro.footage import load_worlds
from vilamp.train.micro.train import new_model, trained_parameters, videos_in_step
from vilamp.train.reader import reader_loss

LENGTH = 1024  # frames of a video, at most
WARM_UP = 2  # steps
MEMBER = Member("vilamp", steps=0, extras=Extras(patch_positions=True, query_scores=True, late_question=True))


def main(device: str, steps: int = 20) -> None:
    """Draw a world, encode it and take some steps; print how many a second."""
    with tempfile.TemporaryDirectory() as folder:
        config = MicroConfig(
            name="step_rate", output=folder, members=(MEMBER,), worlds=1, haystack=LENGTH, clips=2, decoys=1, shown=(1,)
        )
        base = checkpoint.load(checkpoint.locate(config.base))[0].to(device)
        began = clock(base.device)
        worlds = load_worlds(config, base)
        frames, encoding = len(worlds[0].patches), clock(base.device) - began
        model = new_model(config, MEMBER, base.cpu()).to(device)
        videos = videos_in_step(config, MEMBER, model, LENGTH)
        optimizer = torch.optim.AdamW(trained_parameters(model), lr=config.rate)
        for step in range(WARM_UP + steps):
            if step == WARM_UP:
                began = clock(model.device)
            rng = random.Random(f"{config.name}/{step}")
            _, batch = draw_batch(config, model, worlds, LENGTH, videos, 0, [1.0] * len(config.types), rng)
            loss, traced, _ = reader_loss(model, batch)
            optimizer_step(optimizer, loss + config.tracing * traced, trained_parameters(model), config.rate)
        rate = steps / (clock(model.device) - began)
    to_stdout(
        f"{rate:.2f} steps a second, each of {videos} videos of up to {LENGTH:,} frames; "
        f"{frames / encoding:,.0f} frames a second drawn and encoded\n"
    )


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
