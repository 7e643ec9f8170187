"""Train micro models on the built-in footage: a ViLaMP from scratch, or the models that ship, trained alike."""

from __future__ import annotations

import argparse
import json
import random
from collections import deque
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from niah.cli.command import Command
from niah.cli.flags import add_config
from niah.exit_codes import DONE
from niah.settings import read_yaml
from niah.types import UserError
from vilamp import checkpoint
from vilamp.config import written
from vilamp.model import Vilamp
from vilamp.train import data
from vilamp.train.config import ReaderConfig, TrainingConfig
from vilamp.train.encoder import EncoderHeads, encoder_loss
from vilamp.train.journal import Journal, draw_curve, has_state, read_summary
from vilamp.train.loop import StepLoss, cosine_rate, train_stage
from vilamp.train.micro.config import has_members, read_micro
from vilamp.train.micro.footage import load_worlds
from vilamp.train.micro.train import train_micro
from vilamp.train.reader import Example, PoolFeatures, alignment_loss, build_example, encode_pool, reader_loss
from vilamp.vocabulary import FIRST_WORD, Vocabulary

EXAMPLES = """\
examples:
  niah train --config configs/train/micro.yaml
      a ViLaMP from random weights into runs/micro, 69 minutes of one core
  niah run --model vilamp --model_args pretrained=runs/micro --suite smoke
      ask what was trained
  niah train --config configs/train/rivals.yaml
      every model that ships, one after another, ten to twenty minutes of one core each, into runs/rivals/NAME
  niah train --config configs/train/rivals.yaml llama_vid
      one of them

The file says what is trained and for how long, and `output` where it goes. Interrupt it whenever
you like: the same command goes on where it stopped.
"""
WORD_EMBEDDINGS = "text.text_model.embeddings.token_embedding.weight"  # CLIP's
FEW_KEYFRAMES = ((1, 2), (2, 4), (4, 8))  # K in the first stages: a short sequence buys more examples
AT_CURRENT_LENGTH = 0.67  # share of the batches; the others come from an earlier length


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, "what is trained: YAML, for instance a copy of one in configs/train, which are commented")
    help_text = "models of a config with members (default: all of them)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=help_text)


def _run(options: argparse.Namespace) -> int:
    """Train what the config describes; write the checkpoint folders."""
    if has_members(options.config):
        config, members = read_micro(options.config, options.names)
        for member in members:
            train_micro(config, member, partial(load_worlds, config))
        return DONE
    if options.names:
        raise UserError(f"{options.config} describes one model, so none is named: leave out {' '.join(options.names)}")
    train(read_yaml(TrainingConfig, options.config))
    return DONE


def train(run: TrainingConfig, pools: list[PoolFeatures] | None = None) -> None:
    """Train `run` to its end, or from where an earlier attempt stopped.

    `pools` is the reader's footage where it has been encoded already with the encoders that `run` takes. Raises
    UserError where the output folder holds a finished training.
    """
    device = ("cuda" if torch.cuda.is_available() else "cpu") if run.device == "auto" else run.device
    folder = Path(run.output)
    if read_summary(folder) is not None and not has_state(folder):
        raise UserError(
            f"{folder} holds a finished training: give this one another output, or remove that folder to train anew"
        )
    journal = Journal(folder, json.dumps(written(run), sort_keys=True))
    torch.manual_seed(run.seed)  # for the initial weights alone; every later draw has a generator of its own
    model = Vilamp(run.model, Vocabulary(data.vocabulary_words())).to(device)
    if journal.state["stage"] == "encoder":
        if run.encoder_from is None:
            train_encoder(run, model, journal)
        else:
            copy_encoders(model, run.encoder_from)
        journal.save("reader", 0, model=model.state_dict())
    model.load_state_dict(journal.state["model"])
    train_reader(run, model, journal, pools or encode_pools(run, model))
    checkpoint.save(model, folder)
    draw_curve(folder)
    summary = {"seed": run.seed, "seconds": round(journal.seconds), "device": device, "torch": torch.__version__}
    journal.finish({**summary, "codec": data.codec_name(), "config": written(run)})


def copy_encoders(model: Vilamp, name: str) -> None:
    """Copy CLIP and the SigLIP tower of the checkpoint called `name` into a model.

    The checkpoint's words must be the model's, or the first of them. Further words, which the text encoder never
    saw, get random embeddings that depend on the word alone and are spread like those of the known words.
    """
    trained, _ = checkpoint.load(checkpoint.locate(name))
    known = trained.vocabulary
    if model.vocabulary.words[: len(known.words)] != known.words:
        raise UserError(f"encoder_from: {name} was trained with other words; train the encoders again")
    state = trained.clip.state_dict()
    new_words = model.vocabulary.words[len(known.words) :]
    if new_words:
        state[WORD_EMBEDDINGS] = _add_rows(state[WORD_EMBEDDINGS], known, new_words)
    model.clip.load_state_dict(state)
    model.vision.load_state_dict(trained.vision.state_dict())


def _add_rows(
    table: Float[Tensor, "tokens dim"], known: Vocabulary, new_words: tuple[str, ...]
) -> Float[Tensor, "more_tokens dim"]:
    """Return CLIP's embedding table with rows for new words before the last row, that of the end-of-text token."""
    words = table[FIRST_WORD : known.end]
    rows = []
    for word in new_words:
        generator = torch.Generator().manual_seed(int.from_bytes(sha256(f"word/{word}".encode()).digest()[:6]))
        rows.append(words.mean(0) + words.std(0) * torch.randn(table.shape[1], generator=generator))
    return torch.cat([table[: known.end], torch.stack(rows), table[known.end :]])


def train_encoder(run: TrainingConfig, model: Vilamp, journal: Journal) -> None:
    """Train CLIP and the SigLIP tower on single frames of all worlds.

    The frames of all worlds stay in memory, 12 KB each.
    """
    settings = run.encoder
    heads = EncoderHeads(model).to(model.device)
    if journal.state["step"]:
        model.load_state_dict(journal.state["model"])
        heads.load_state_dict(journal.state["heads"])
    pools = list(_build_pools(run, settings.haystack, settings.clips, settings.crowds))

    def step_loss(step: int) -> StepLoss:
        rng = random.Random(f"{run.seed}/encoder/{step}")
        pool = pools[rng.randrange(len(pools))]
        rows = _draw_frames(pool, settings.batch, rng)
        frames = torch.from_numpy(pool.frames[rows]).to(model.device)
        labels = torch.from_numpy(pool.labels[rows]).to(model.device)
        loss, curve_row = encoder_loss(model, heads, frames, labels, rng)
        return loss, {"loss": loss.item(), **curve_row}

    train_stage(
        journal,
        "encoder",
        settings.steps,
        step_loss,
        [*model.clip.parameters(), *model.vision.parameters(), *heads.parameters()],
        rate=partial(_rate, settings.rate, settings.steps),
        weight_decay=0.05,
        state=lambda: {"model": model.state_dict(), "heads": heads.state_dict()},
    )


def _draw_frames(pool: data.Pool, batch: int, rng: random.Random) -> list[int]:
    """Return the frames of an encoder batch: an eighth of the haystack, three of clips, half of them crowded."""
    parts = (
        (range(pool.haystack), batch // 8),
        (range(pool.starts[0], pool.starts[-1]), batch * 3 // 8),
        (range(pool.starts[-1], len(pool.frames)), batch // 2),
    )
    return [rng.randrange(part.start, part.stop) for part, count in parts for _ in range(count)]


def encode_pools(run: TrainingConfig, model: Vilamp) -> list[PoolFeatures]:
    """Draw the reader's footage and run the trained encoders over it; 13 KB a frame stay in memory."""
    model.eval().requires_grad_(False)
    return [encode_pool(model, pool) for pool in _build_pools(run, run.reader.haystack, run.reader.clips)]


def train_reader(run: TrainingConfig, model: Vilamp, journal: Journal, pools: list[PoolFeatures]) -> None:
    """Train connectors and language model on spliced cases; the haystack grows with the model's accuracy."""
    settings = run.reader
    model.eval().requires_grad_(False)
    trained = [*_parameters(model.keyframe_connector, model.merged_connector, model.language)]
    for parameter in trained:
        parameter.requires_grad_(True)
    lengths = LengthCurriculum(settings, run.types, journal.state)

    def step_loss(step: int) -> StepLoss:
        rng = random.Random(f"{run.seed}/reader/{step}")
        features = pools[rng.randrange(len(pools))]
        stage = lengths.draw_stage(rng)
        types, batch = _draw_batch(run, model, features, stage, lengths.accuracy(), rng)
        loss, tracing, right = reader_loss(model, batch)
        extra = settings.tracing * tracing
        if settings.alignment:
            extra = extra + settings.alignment * alignment_loss(model, features, rng)
        curve_row = lengths.update(stage, types, right)
        return loss + extra, {"loss": loss.item(), **curve_row}

    train_stage(
        journal,
        "reader",
        settings.steps,
        step_loss,
        trained,
        rate=partial(_rate, settings.rate, settings.steps),
        weight_decay=0.01,
        state=lambda: {"model": model.state_dict(), **lengths.state()},
    )


def _draw_batch(
    run: TrainingConfig,
    model: Vilamp,
    features: PoolFeatures,
    stage: int,
    accuracy: dict[str, float],
    rng: random.Random,
) -> tuple[list[str], list[Example]]:
    """Return the question types and the examples of a batch, all of one length.

    Types with a low accuracy are drawn more often.
    """
    settings = run.reader
    longest = settings.lengths[stage]
    length = rng.randint(longest // 2, longest)
    keyframes = settings.keyframes
    if length < 256:
        keyframes = min(keyframes, rng.choice(FEW_KEYFRAMES[min(stage, 2)]))
    count = max(1, settings.tokens // (length + 48 + 64 * keyframes))
    types = rng.choices(run.types, [1.1 - accuracy[kind] for kind in run.types], k=count)
    positions = settings.positions if rng.random() < settings.position_gaps else 0
    return types, [build_example(model, features, kind, length, keyframes, positions, rng) for kind in types]


class LengthCurriculum:
    """The stages of growing haystack length in the reader's training, and the accuracy that moves it on."""

    def __init__(self, settings: ReaderConfig, types: tuple[str, ...], state: dict[str, Any]) -> None:
        """Start at the first stage, or where `state` stopped."""
        self.settings = settings
        self.stage: int = state.get("rung", 0)
        answers = state.get("recent", {})
        self._recent = {kind: deque(answers.get(kind, []), settings.window) for kind in types}

    def draw_stage(self, rng: random.Random) -> int:
        """Return the stage a batch is drawn from: the present one, or any up to it."""
        return self.stage if rng.random() < AT_CURRENT_LENGTH else rng.randint(0, self.stage)

    def accuracy(self) -> dict[str, float]:
        """Return the accuracy of every question type over the last answers at the present stage."""
        return {kind: sum(right) / max(1, len(right)) for kind, right in self._recent.items()}

    def update(self, stage: int, types: list[str], right: list[bool]) -> dict[str, float | int]:
        """Count a batch's answers and move to the next stage if the worst type is good enough; return a curve row.

        The decision, like the row, takes the accuracy from before the batch.
        """
        accuracy = self.accuracy()
        worst = min(accuracy.values())
        if stage == self.stage:
            for kind, is_right in zip(types, right, strict=True):
                self._recent[kind].append(is_right)
        is_full = all(len(answers) == self.settings.window for answers in self._recent.values())
        if is_full and worst > self.settings.promote and self.stage + 1 < len(self.settings.lengths):
            self.stage += 1
            for answers in self._recent.values():
                answers.clear()
        mean = sum(accuracy.values()) / len(accuracy)
        return {"length": self.settings.lengths[self.stage], "accuracy": mean, "worst": worst}

    def state(self) -> dict[str, Any]:
        """Return what to resume from."""
        return {"rung": self.stage, "recent": {kind: list(right) for kind, right in self._recent.items()}}


def _rate(rate: float, steps: int, step: int) -> float:
    """Return the learning rate of a step."""
    return cosine_rate(rate, step, steps)


def _parameters(*modules: nn.Module) -> Iterator[nn.Parameter]:
    """Yield the parameters of some modules."""
    for module in modules:
        yield from module.parameters()


def _build_pools(run: TrainingConfig, haystack: int, clips: int, crowds: int = 0) -> Iterator[data.Pool]:
    """Draw one pool a world, each when it is asked for."""
    worlds = [f"train/{run.name}/{number}" for number in range(run.worlds)]
    for world in tqdm(worlds, desc="footage", unit="world"):
        yield data.build_pool(world, haystack, clips, run.types, crowds)


COMMAND = Command(_run, EXAMPLES, _add_arguments, stopped="stopped; the same command goes on from the last saved step")
