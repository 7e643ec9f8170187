"""Train one of the micro models that ship; an interrupted training continues where it stopped.

The cost is counted in processor seconds over all attempts, so that a machine's other work does not count.
"""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, replace
from hashlib import sha256
from typing import Any, cast

import torch
from torch.nn.functional import normalize

from niah.types import UserError
from vilamp import checkpoint
from vilamp.compressors.learned import ContextAndContent
from vilamp.compressors.summary import Projections, SummaryTokens
from vilamp.config import written
from vilamp.model import Vilamp
from vilamp.train.journal import Journal, draw_curve, has_state, read_summary
from vilamp.train.loop import StepLoss, hold_then_cool, train_stage
from vilamp.train.micro.config import Member, MicroConfig
from vilamp.train.micro.examples import draw_batch
from vilamp.train.micro.footage import World
from vilamp.train.reader import reader_loss

AT_CURRENT_LENGTH = 0.67  # share of the steps; the others come from an earlier stage
TEXT = 64  # tokens of a prompt, about
SHARPNESS = 60.0  # with which LLaMA-VID's context token attends to the question before training


class Stages:
    """Which length a training has reached, and the accuracy that moves it on."""

    def __init__(self, config: MicroConfig, member: Member, state: dict[str, Any]) -> None:
        """Start with clips alone, or where `state` stopped."""
        self.lengths = config.lengths_of(member)
        self.promote = config.promote
        self.stage: int = state.get("stage_reached", 0)
        answers = state.get("answers", {})
        self._answers = {kind: deque(answers.get(kind, []), config.window) for kind in config.types}
        self.reached: list[list[int]] = [list(pair) for pair in state.get("reached", [])]  # step, length

    def draw(self, rng: random.Random) -> int:
        """Return the stage of a step: the present one, or any up to it."""
        return self.stage if rng.random() < AT_CURRENT_LENGTH else rng.randint(0, self.stage)

    def accuracy(self) -> dict[str, float]:
        """Return the accuracy of every type over the last answers at the present stage."""
        return {kind: sum(right) / max(1, len(right)) for kind, right in self._answers.items()}

    def update(self, step: int, stage: int, types: list[str], right: list[bool]) -> None:
        """Count a step's answers, and go on to the next length where every type is read well enough."""
        if stage != self.stage:
            return
        for kind, is_right in zip(types, right, strict=True):
            self._answers[kind].append(is_right)
        is_full = all(len(answers) == answers.maxlen for answers in self._answers.values())
        if is_full and min(self.accuracy().values()) > self.promote and self.stage + 1 < len(self.lengths):
            self.stage += 1
            self.reached.append([step + 1, self.lengths[self.stage]])
            for answers in self._answers.values():
                answers.clear()

    def state(self) -> dict[str, Any]:
        """Return what to resume from."""
        answers = {kind: list(right) for kind, right in self._answers.items()}
        return {"stage_reached": self.stage, "answers": answers, "reached": self.reached}


def train_micro(config: MicroConfig, member: Member, load: Callable[[Vilamp], list[World]]) -> None:
    """Train a model to its end and save its checkpoint; `load` gives the footage, encoded by the model handed to it.

    Raises UserError where the output folder holds a finished training.
    """
    folder = config.checkpoint(member)
    if read_summary(folder) is not None and not has_state(folder):
        raise UserError(f"{folder} holds a finished training: name other models, or remove that folder to train anew")
    base_name = config.base_of(member)
    base, _ = checkpoint.load(checkpoint.locate(base_name))
    model = new_model(config, member, base)
    weights = checkpoint.locate(base_name) / "model.safetensors"
    settings = {
        "config": {**asdict(replace(config, members=())), "output": None, "extras": written(config.extras)},
        "member": asdict(member),
        "base": sha256(weights.read_bytes()).hexdigest()[:12],
        "model": written(model.config),
    }
    journal = Journal(folder, json.dumps(settings, sort_keys=True))
    if "model" in journal.state:
        model.load_state_dict(journal.state["model"])
    stages = Stages(config, member, journal.state)
    cpu_seconds = _train_reader(config, member, model, journal, stages, load(base))
    checkpoint.save(model, folder, encoders=checkpoint.encoders_of(base_name))
    draw_curve(folder)
    parameters = sum(one.numel() for one in trained_parameters(model))
    journal.finish({
        **settings, "cpu_seconds": round(cpu_seconds, 1), "seconds": round(journal.seconds, 1),
        "reached": stages.reached, "accuracy": {kind: round(share, 4) for kind, share in stages.accuracy().items()},
        "parameters": parameters, "torch": torch.__version__,
    })  # fmt: skip


def new_model(config: MicroConfig, member: Member, base: Vilamp) -> Vilamp:
    """Return a model before training: the base's weights, and a compressor that begins where it can be read.

    Connectors lose the columns of extras that the base has and the model has not. Summary tokens begin with the
    language model's projections, and LLaMA-VID's context token attends to patches by their cosine with the question.
    """
    torch.manual_seed(config.seed)  # for a compressor's own weights, which are drawn last
    model = Vilamp(config.model_of(member, base.config), base.vocabulary)
    state = model.state_dict()
    for name, tensor in base.state_dict().items():
        fits = name in state and tensor.ndim == 2 and tensor.shape != state[name].shape
        state[name] = tensor[:, : state[name].shape[1]] if fits else tensor
    model.load_state_dict(state)
    with torch.no_grad():
        _begin(model)
    model.eval().requires_grad_(False)
    for parameter in trained_parameters(model):
        parameter.requires_grad_(True)
    return model


def _begin(model: Vilamp) -> None:
    """Give a compressor that learns the weights it begins with."""
    compressor = model.scheme
    if isinstance(compressor, SummaryTokens):
        for own, layer in zip(compressor.layers, model.language.model.layers, strict=True):
            cast(Projections, own).copy_from(layer.self_attn)
    if isinstance(compressor, ContextAndContent):
        dim = compressor.query.weight.shape[0]
        compressor.key.weight.copy_(torch.eye(dim))
        compressor.query.weight.copy_(SHARPNESS * torch.eye(dim))
        compressor.key.bias.zero_()
        compressor.query.bias.zero_()


def trained_parameters(model: Vilamp) -> list[torch.nn.Parameter]:
    """Return what is trained: connectors, language model, late weights, and the compressor's own if it has any."""
    parts = [model.keyframe_connector, model.merged_connector, model.language]
    own = [model.scheme] if isinstance(model.scheme, torch.nn.Module) else []
    late = [] if model.late_weights is None else [model.late_weights]
    return [*(one for part in (*parts, *own) for one in part.parameters()), *late]


def _train_reader(
    config: MicroConfig, member: Member, model: Vilamp, journal: Journal, stages: Stages, worlds: list[World]
) -> float:
    """Take the steps that are left; return the processor seconds of all attempts."""
    began = time.process_time() - journal.state.get("cpu", 0.0)
    tracing = config.tracing if member.tracing is None else member.tracing

    def step_loss(step: int) -> StepLoss:
        rng = random.Random(f"{config.name}/{config.seed}/{step}")
        stage = stages.draw(rng)
        length = stages.lengths[stage]
        weights = [1.1 - share for share in stages.accuracy().values()]
        positions = member.positions if rng.random() < config.gaps else 0
        videos = videos_in_step(config, member, model, length)
        types, batch = draw_batch(config, model, worlds, length, videos, positions, weights, rng)
        loss, traced, right = reader_loss(model, batch)
        stages.update(step, stage, types, right)
        accuracy = stages.accuracy().values()
        row = {"accuracy": sum(accuracy) / len(accuracy), "worst": min(accuracy)}
        return loss + tracing * traced, {"loss": loss.item(), **row, "length": stages.lengths[stages.stage]}

    train_stage(
        journal,
        "reader",
        member.steps,
        step_loss,
        trained_parameters(model),
        rate=lambda step: hold_then_cool(config.rate, step, member.steps, config.cooling),
        weight_decay=0.01,
        state=lambda: {"model": model.state_dict(), "cpu": time.process_time() - began, **stages.state()},
        label=member.name,
    )
    return time.process_time() - began


def videos_in_step(config: MicroConfig, member: Member, model: Vilamp, length: int) -> int:
    """Return how many videos of a length a step has."""
    shown = max(length * 3 // 4, 25)  # frames of a video, on average
    generator = torch.Generator().manual_seed(shown)  # no number of tokens may depend on what a video shows
    embeddings = normalize(torch.randn(shown, model.config.clip.embed_dim, generator=generator), dim=-1)
    choice = model.compressor.choose(embeddings, embeddings[0])
    tokens = model.compressor.tokens(choice, model.patches)
    return max(1, min(config.videos, member.tokens // (tokens + TEXT)))
