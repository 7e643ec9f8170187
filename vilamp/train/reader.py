"""Teach the connectors and the language model to read what the frozen encoders deliver.

Cases are spliced from features: a clip in a haystack of its world, at a uniform
depth. The haystack grows when the model has earned it, not by the clock. Positions
of some batches leave gaps, so that distances of long videos are met in short ones
(as PoSE does, arXiv 2309.10400). Two losses are not in the paper: alignment asks the embedding of a patch to point at
the words for what it shows, tracing asks the language model to name the answer
at each merged token of the needle already, so that one example teaches at
twenty places instead of one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from niah.suite.config import QUESTION_TEMPLATE
from niah.suite.footage.clips import Clip
from niah.suite.footage.draw import COLOURS, DIGITS, SHAPES
from niah.types import LETTERS, Question
from vilamp.model import IGNORED, Stream, Vilamp
from vilamp.train.data import NO_LABEL, Pool
from vilamp.vocabulary import cloze

ENCODED = 64  # frames encoded at a time
TRACED_FROM = 6  # frames of a clip before anybody could name its answer


@dataclass(frozen=True, eq=False)
class PoolFeatures:
    """A pool after the encoders; 13 KB a frame, labels kept, pixels gone."""

    pool: Pool
    embeddings: Float[Tensor, "frames dim"]
    patches: Float[Tensor, "frames patches dim"]  # half precision, as in the adapter's store
    queries: dict[str, Float[Tensor, " dim"]]


@dataclass(frozen=True, eq=False)
class SplicedCase:
    """A clip in a haystack, compressed."""

    clip: Clip
    start: int  # the clip's first frame
    kept: list[int]  # keyframes
    query: Float[Tensor, " dim"]
    stream: Stream


@dataclass(frozen=True, eq=False)
class Example:
    """One case ready for the language model."""

    inputs: Float[Tensor, "tokens hidden"]
    positions: Int[Tensor, " tokens"]
    labels: Int[Tensor, " tokens"]
    traced: Int[Tensor, " traced"]  # places of the merged tokens of the needle, but for its first frames
    options: tuple[int, ...]  # first token of each option
    right: int
    type: str


@torch.inference_mode()
def encode_pool(model: Vilamp, pool: Pool) -> PoolFeatures:
    """Run the frozen encoders over a pool."""
    embeddings, patches = [], []
    for start in range(0, len(pool.frames), ENCODED):
        made = model.encode_frames(torch.from_numpy(pool.frames[start : start + ENCODED]))
        embeddings.append(made[0].half().float())
        patches.append(made[1].half())
    asked = {clip.question for clip in pool.clips}
    queries = {text: model.encode_query(text) for text in sorted(asked)}
    kept = Pool(pool.world, np.zeros((0,)), pool.labels, pool.haystack, pool.clips, pool.starts)
    return PoolFeatures(kept, torch.cat(embeddings), torch.cat(patches), queries)


def splice(
    model: Vilamp, features: PoolFeatures, type: str, length: int, keyframes: int, rng: random.Random
) -> SplicedCase:
    """Splice a clip into about `length` frames of its world and compress them; the clip alone if `length` is 0."""
    pool = features.pool
    number = rng.choice([n for n, clip in enumerate(pool.clips) if clip.type == type])
    needle, first = pool.clips[number], pool.starts[number]
    around = max(0, min(length - needle.count, pool.haystack))
    before = rng.randint(0, around)  # the depth is uniform
    offset = rng.randint(0, pool.haystack - around)
    order = torch.cat(
        [
            torch.arange(offset, offset + before),
            torch.arange(first, first + needle.count),
            torch.arange(offset + before, offset + around),
        ]
    )
    query = features.queries[needle.question].to(model.device)
    frames = torch.nn.functional.normalize(features.embeddings[order], dim=-1)
    kept = model.select(frames, query, keyframes)
    chunks = (features.patches[part].to(query) for part in order.split(1024))
    return SplicedCase(needle, before, kept, query, model.compress(kept, query, chunks))


def build_example(
    model: Vilamp, features: PoolFeatures, type: str, length: int, keyframes: int, positions: int, rng: random.Random
) -> Example:
    """Make a case of about `length` frames ready for the language model.

    Positions leave gaps where `positions` exceeds the number of tokens.
    """
    case = splice(model, features, type, length, keyframes, rng)
    needle, stream = case.clip, case.stream
    visual = stream.embeddings
    late = (stream.frames >= case.start + TRACED_FROM) & (stream.frames < case.start + needle.count)
    merged = late & ~torch.isin(stream.frames, torch.tensor(case.kept))
    question = Question(needle.question, needle.options, QUESTION_TEMPLATE if rng.random() < 0.7 else "{question}")
    vocabulary = model.vocabulary
    right = LETTERS.index(needle.answer)
    options = [vocabulary.encode(option) for option in needle.options]
    prompt, answer = vocabulary.encode(cloze(question)), options[right]
    labels = [IGNORED] * (len(visual) + len(prompt)) + answer
    inputs = torch.cat([visual, model.embed(prompt + answer)])
    targets = torch.tensor(labels, device=model.device)
    places = positions_with_gaps(len(visual), len(inputs), positions, rng).to(model.device)
    return Example(inputs, places, targets, merged.nonzero()[:, 0], tuple(o[0] for o in options), right, needle.type)


def positions_with_gaps(visual: int, tokens: int, positions: int, rng: random.Random) -> Int[Tensor, " tokens"]:
    """Return rising positions of `tokens` tokens below `positions`, with two gaps among the first `visual`."""
    places = torch.arange(tokens)
    spare = max(0, positions - tokens)
    for gap in (rng.randint(0, spare // 2), rng.randint(0, spare // 2)):
        places[rng.randint(0, visual) :] += gap
    return places


def reader_loss(model: Vilamp, batch: list[Example]) -> tuple[Float[Tensor, ""], Float[Tensor, ""], list[bool]]:
    """Return the loss of Eq. 12 over a batch, the tracing loss, and whose right option was the likeliest."""
    states = model.states([one.inputs for one in batch], [one.positions for one in batch])
    loss, logits = model.loss(states, [one.labels for one in batch])
    right, row, traced, answers = [], 0, [], []
    for number, one in enumerate(batch):
        scores = logits[row, list(one.options)]
        right.append(int(scores.argmax()) == one.right)
        row += int((one.labels != IGNORED).sum())
        traced.append(states[number, one.traced])
        answers += [one.options[one.right]] * len(one.traced)
    if not answers:
        return loss, loss * 0, right
    named = model.name(torch.cat(traced))
    return loss, cross_entropy(named, torch.tensor(answers, device=named.device)), right


def alignment_loss(model: Vilamp, features: PoolFeatures, rng: random.Random, count: int = 48) -> Float[Tensor, ""]:
    """Return how badly the embeddings of sprite patches point at the words for shape, colour and digit."""
    rows = torch.tensor([rng.randrange(len(features.patches)) for _ in range(count)])
    labels = torch.from_numpy(features.pool.labels[rows.numpy()]).long().to(model.device)
    patches = features.patches[rows].to(next(model.keyframe_connector.parameters()))
    query = rng.choice(list(features.queries.values())).to(patches)
    shown = labels[..., 0] != NO_LABEL  # (frames, patches)
    channels, labels = model.features(patches, query)[shown], labels[shown]
    loss = channels.new_zeros(())
    for connector in (model.keyframe_connector, model.merged_connector):
        embeddings = connector(channels)  # (patches, hidden)
        for number, names in enumerate((SHAPES, tuple(COLOURS), tuple(map(str, DIGITS)))):
            ids = [model.vocabulary.encode(name)[0] for name in names]
            known = labels[:, number] != NO_LABEL
            if known.any():
                loss = loss + cross_entropy(embeddings[known] @ model.embed(ids).T, labels[known, number])
    return loss / 6
