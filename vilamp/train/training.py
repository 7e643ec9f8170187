"""Train a micro ViLaMP from scratch on the built-in footage."""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import deque
from collections.abc import Iterator
from hashlib import sha256
from itertools import chain
from pathlib import Path

import torch
from tqdm import tqdm

from niah.cli.command import Command
from niah.cli.flags import add_config
from niah.exit_codes import DONE
from niah.io import replace_file
from niah.settings import read_yaml
from niah.types import UserError
from vilamp import checkpoint
from vilamp.config import written
from vilamp.model import Vilamp
from vilamp.train import data
from vilamp.train.config import TrainingConfig
from vilamp.train.curve import draw_curve
from vilamp.train.encoder import EncoderHeads, encoder_loss
from vilamp.train.journal import Journal
from vilamp.train.reader import PoolFeatures, alignment_loss, build_example, encode_pool, reader_loss
from vilamp.vocabulary import FIRST_WORD, Vocabulary

EXAMPLES = """\
example:
  niah train --config configs/train/micro.yaml

Interrupt it whenever you like: the same command goes on where it stopped.
"""
SUMMARY = "train.json"  # of a training that came to its end
SAVED = 100  # steps between two states to resume from
EMBEDDING = "text.text_model.embeddings.token_embedding.weight"  # of CLIP's words
PLOTTED = 20  # steps between two rows of the curve
_FEW = ((1, 2), (2, 4), (4, 8))  # K on the first rungs: a short sequence buys more examples


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser, "a YAML file; see configs/train/")


def _run(options: argparse.Namespace) -> int:
    """Read the config, train both stages, write the checkpoint folder."""
    train(read_yaml(TrainingConfig, options.config))
    return DONE


def train(run: TrainingConfig, pools: list[PoolFeatures] | None = None) -> None:
    """Train `run` to its end, or from where an earlier attempt stopped.

    `pools` are the reader's, if somebody has encoded them already with the encoders `run` takes. Raises UserError
    where the output holds a training that came to its end.
    """
    device = ("cuda" if torch.cuda.is_available() else "cpu") if run.device == "auto" else run.device
    folder = Path(run.output)
    if (folder / SUMMARY).is_file() and not Journal.begun(folder):
        raise UserError(
            f"{folder} holds a finished training: give this one another output, or remove that folder to train anew"
        )
    journal = Journal(folder, json.dumps(written(run), sort_keys=True))
    torch.manual_seed(run.seed)  # the initial weights, drawn in one place; every later draw is named
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
    summary = {"seed": run.seed, "seconds": round(journal.seconds), "device": device, "torch": torch.__version__}
    summary["codec"] = data.codec_name()
    replace_file(folder / SUMMARY, json.dumps(summary | {"config": written(run)}, indent=1) + "\n")
    draw_curve(folder)
    journal.done()


def copy_encoders(model: Vilamp, name: str) -> None:
    """Copy CLIP and the SigLIP tower of the checkpoint called `name`.

    Its words must be the model's, or the first of them: words behind them, which no encoder was taught, get
    embeddings drawn by their names, spread like those of the words it knows.
    """
    trained, _ = checkpoint.load(checkpoint.locate(name))
    known = trained.vocabulary
    if model.vocabulary.words[: len(known.words)] != known.words:
        raise UserError(f"encoder_from: {name} was trained with other words; train the encoders again")
    state = trained.clip.state_dict()
    new = model.vocabulary.words[len(known.words) :]
    if new:
        state[EMBEDDING] = _with_rows(state[EMBEDDING], known, new)
    model.clip.load_state_dict(state)
    model.vision.load_state_dict(trained.vision.state_dict())


def _with_rows(table: torch.Tensor, known: Vocabulary, new: tuple[str, ...]) -> torch.Tensor:
    """Return CLIP's table of embeddings with rows for new words before the last one, which is end-of-text's."""
    words = table[FIRST_WORD : known.end]
    rows = []
    for word in new:
        generator = torch.Generator().manual_seed(int.from_bytes(sha256(f"word/{word}".encode()).digest()[:6]))
        rows.append(words.mean(0) + words.std(0) * torch.randn(table.shape[1], generator=generator))
    return torch.cat([table[: known.end], torch.stack(rows), table[known.end :]])


def train_encoder(run: TrainingConfig, model: Vilamp, journal: Journal) -> None:
    """Train CLIP and the SigLIP tower on single frames of all worlds, whose pixels stay in memory, 12 KB a frame."""
    settings = run.encoder
    heads = EncoderHeads(model).to(model.device)
    trained = [*model.clip.parameters(), *model.vision.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=settings.rate, weight_decay=0.05)
    start = journal.state["step"]
    if start:
        model.load_state_dict(journal.state["model"])
        heads.load_state_dict(journal.state["heads"])
        optimizer.load_state_dict(journal.state["optimizer"])
    pools = list(_pools(run, settings.haystack, settings.clips, settings.crowds))
    progress = tqdm(range(start, settings.steps), initial=start, total=settings.steps, desc="encoder", unit="step")
    for step in progress:
        rng = random.Random(f"{run.seed}/encoder/{step}")
        pool = pools[rng.randrange(len(pools))]
        kinds = ((0, pool.haystack), (pool.starts[0], pool.starts[-1]), (pool.starts[-1], len(pool.frames)))
        counts = (settings.batch // 8, settings.batch * 3 // 8, settings.batch // 2)
        rows = [rng.randrange(*kind) for kind, count in zip(kinds, counts, strict=True) for _ in range(count)]
        frames = torch.from_numpy(pool.frames[rows]).to(model.device)
        labels = torch.from_numpy(pool.labels[rows]).to(model.device)
        loss, plotted = encoder_loss(model, heads, frames, labels, rng)
        optimizer_step(optimizer, loss, trained, cosine_rate(settings.rate, step, settings.steps))
        if step % PLOTTED == 0:
            journal.plot("encoder", step, {"loss": loss.item(), **plotted})
            progress.set_postfix(loss=f"{loss.item():.2f}", digit=f"{plotted['digit']:.2f}")
        if step % SAVED == SAVED - 1:
            states = {"model": model.state_dict(), "heads": heads.state_dict(), "optimizer": optimizer.state_dict()}
            journal.save("encoder", step + 1, **states)


def encode_pools(run: TrainingConfig, model: Vilamp) -> list[PoolFeatures]:
    """Draw the reader's footage and run the trained encoders over it; 13 KB a frame stay in memory."""
    model.eval().requires_grad_(False)
    return [encode_pool(model, pool) for pool in _pools(run, run.reader.haystack, run.reader.clips)]


def train_reader(run: TrainingConfig, model: Vilamp, journal: Journal, pools: list[PoolFeatures]) -> None:
    """Train connectors and language model on spliced cases; the haystack grows with success."""
    settings = run.reader
    model.eval().requires_grad_(False)
    trained = list(chain.from_iterable(part.parameters() for part in _reading(model)))
    for parameter in trained:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(trained, lr=settings.rate, weight_decay=0.01)
    state = journal.state
    start, rung = state["step"], state.get("rung", 0)
    if start:
        optimizer.load_state_dict(state["optimizer"])
    recent = {kind: deque(state.get("recent", {}).get(kind, []), settings.window) for kind in run.types}
    progress = tqdm(range(start, settings.steps), initial=start, total=settings.steps, desc="reader", unit="step")
    for step in progress:
        rng = random.Random(f"{run.seed}/reader/{step}")
        features = pools[rng.randrange(len(pools))]
        # two batches in three at the rung itself, the others anywhere below it
        at = rung if rng.random() < 0.67 else rng.randint(0, rung)
        length = settings.lengths[at]
        length = rng.randint(length // 2, length)
        keyframes = min(settings.keyframes, rng.choice(_FEW[min(at, 2)]) if length < 256 else settings.keyframes)
        count = max(1, settings.tokens // (length + 48 + 64 * keyframes))
        accuracy = {kind: sum(right) / max(1, len(right)) for kind, right in recent.items()}
        practised = [1.1 - accuracy[kind] for kind in run.types]  # what is not yet known is asked more often
        kinds = rng.choices(run.types, practised, k=count)
        positions = settings.positions if rng.random() < settings.position_gaps else 0
        batch = [build_example(model, features, kind, length, keyframes, positions, rng) for kind in kinds]
        loss, traced, right = reader_loss(model, batch)
        extra = settings.tracing * traced
        if settings.alignment:
            extra = extra + settings.alignment * alignment_loss(model, features, rng)
        optimizer_step(optimizer, loss + extra, trained, cosine_rate(settings.rate, step, settings.steps))
        if at == rung:
            for kind, hit in zip(kinds, right, strict=True):
                recent[kind].append(hit)
        worst = min(accuracy.values())
        full = all(len(hits) == settings.window for hits in recent.values())
        if full and worst > settings.promote and rung + 1 < len(settings.lengths):
            rung += 1
            for hits in recent.values():
                hits.clear()
        if step % PLOTTED == 0:
            plotted = {"accuracy": sum(accuracy.values()) / len(accuracy), "worst": worst}
            journal.plot("reader", step, {"loss": loss.item(), "length": settings.lengths[rung], **plotted})
            progress.set_postfix(worst=f"{worst:.2f}", length=settings.lengths[rung])
        if step % SAVED == SAVED - 1:
            states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            lists = {kind: list(hits) for kind, hits in recent.items()}
            journal.save("reader", step + 1, rung=rung, recent=lists, **states)


def _reading(model: Vilamp) -> tuple[torch.nn.Module, ...]:
    """Return the parts the second stage trains."""
    return model.keyframe_connector, model.merged_connector, model.language


def _pools(run: TrainingConfig, haystack: int, clips: int, crowds: int = 0) -> Iterator[data.Pool]:
    """Draw one pool a world, each when it is asked for."""
    worlds = [f"train/{run.name}/{number}" for number in range(run.worlds)]
    for world in tqdm(worlds, desc="footage", unit="world"):
        yield data.build_pool(world, haystack, clips, run.types, crowds)


def cosine_rate(rate: float, step: int, steps: int, floor: float = 0.05) -> float:
    """Return the learning rate of a step: warm-up over 100 steps, then half a cosine down to `floor` of it."""
    warm = min(1.0, (step + 1) / 100)
    return rate * warm * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * step / steps)))


def optimizer_step(optimizer: torch.optim.Optimizer, loss: torch.Tensor, trained: list, rate: float) -> None:
    """Take one step of AdamW at a learning rate, gradients clipped at 1."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()


COMMAND = Command(_run, EXAMPLES, _add_arguments, stopped="stopped; the same command goes on from the last saved step")
