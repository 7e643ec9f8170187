"""Teach the connectors and the language model to read what the frozen encoders deliver.

Cases are spliced from features: a clip in a haystack of its world, at a uniform depth. The haystack grows with the
model's accuracy, not by the clock. The positions of some batches leave gaps, so that distances of long videos occur
in short ones (as in PoSE, arXiv 2309.10400).

Two losses are not in the paper. The alignment loss asks the embedding of a patch to point at the words for what the
patch shows. The tracing loss asks the language model to name the answer at tokens of the needle already, so that one
example teaches at twenty places instead of one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from niah.adapters.compressor import States, TokenChunk
from niah.suite.config import QUESTION_TEMPLATE
from niah.suite.footage.clips import DrawnClip
from niah.suite.footage.draw import COLOURS, DIGITS, SHAPES
from niah.types import LETTERS, Question
from vilamp.model import Stream, Vilamp
from vilamp.train.data import NO_LABEL, Pool
from vilamp.train.example import Example
from vilamp.train.forward import last_states
from vilamp.vocabulary import cloze

FRAMES_PER_BATCH = 64  # of the encoders
FIRST_TRACED_FRAME = 6  # of a clip: before this frame nobody could name its answer


@dataclass(frozen=True, eq=False)
class PoolFeatures:
    """A pool after the encoders: 13 KB a frame. The labels are kept, the pixels are not."""

    pool: Pool
    embeddings: Float[Tensor, "frames dim"]
    patches: Float[Tensor, "frames patches dim"]  # half precision, as in the adapter's feature store
    queries: dict[str, Float[Tensor, " dim"]]  # by the text of a question


@dataclass(frozen=True, eq=False)
class SplicedCase:
    """A clip in a haystack, compressed."""

    clip: DrawnClip
    start: int  # the clip's first frame
    keyframes: list[int]
    query: Float[Tensor, " dim"]
    stream: Stream


@torch.inference_mode()
def encode_pool(model: Vilamp, pool: Pool) -> PoolFeatures:
    """Run the frozen encoders over a pool."""
    embeddings, patches = [], []
    for start in range(0, len(pool.frames), FRAMES_PER_BATCH):
        pixels = torch.from_numpy(pool.frames[start : start + FRAMES_PER_BATCH])
        batch_embeddings, batch_patches = model.encode_frames(pixels)
        embeddings.append(batch_embeddings.half().float())
        patches.append(batch_patches.half())
    questions = {clip.question for clip in pool.clips}
    queries = {text: model.encode_query(text) for text in sorted(questions)}
    without_pixels = Pool(pool.world, np.zeros((0,)), pool.labels, pool.haystack, pool.clips, pool.starts)
    return PoolFeatures(without_pixels, torch.cat(embeddings), torch.cat(patches), queries)


def spliced_frames(pool: Pool, clip: int, before: int, around: int, offset: int) -> Int[Tensor, " frames"]:
    """Return which frames of a pool a spliced video shows.

    Args:
        pool: The world's footage.
        clip: The number of the needle clip.
        before: How many haystack frames come before the clip.
        around: How many haystack frames there are in all.
        offset: The first haystack frame that is shown.
    """
    parts = (
        (offset, offset + before),
        (pool.starts[clip], pool.starts[clip + 1]),
        (offset + before, offset + around),
    )
    return torch.cat([torch.arange(*part) for part in parts])


def splice(
    model: Vilamp, features: PoolFeatures, type: str, length: int, keyframes: int, rng: random.Random
) -> SplicedCase:
    """Splice a clip into about `length` frames of its world and compress them; the clip alone if `length` is 0."""
    pool = features.pool
    number = rng.choice([n for n, clip in enumerate(pool.clips) if clip.type == type])
    needle = pool.clips[number]
    around = max(0, min(length - needle.count, pool.haystack))
    before = rng.randint(0, around)  # the depth is uniform
    offset = rng.randint(0, pool.haystack - around)
    order = spliced_frames(pool, number, before, around, offset)
    query = features.queries[needle.question].to(model.device)
    selected = model.select(normalize(features.embeddings[order], dim=-1), query, keyframes)
    chunks = (features.patches[part].to(query) for part in order.split(1024))
    return SplicedCase(needle, before, selected, query, model.compress(selected, query, chunks))


def build_example(
    model: Vilamp,
    features: PoolFeatures,
    type: str,
    length: int,
    keyframes: int,
    positions: int,
    rng: random.Random,
) -> Example:
    """Make a case ready for the language model.

    Args:
        model: Compresses the video, and embeds the question.
        features: The world that clip and haystack come from.
        type: The type of question.
        length: Frames of the video, about; 0 for the clip alone.
        keyframes: K, at most.
        positions: Positions leave gaps where this exceeds the number of tokens.
        rng: Draws clip, depth, haystack, prompt and gaps.
    """
    case = splice(model, features, type, length, keyframes, rng)
    needle, stream = case.clip, case.stream
    late = (stream.frames >= case.start + FIRST_TRACED_FRAME) & (stream.frames < case.start + needle.count)
    merged = late & ~torch.isin(stream.frames, torch.tensor(case.keyframes))
    question = Question(needle.question, needle.options, QUESTION_TEMPLATE if rng.random() < 0.7 else "{question}")
    prompt = model.vocabulary.encode(cloze(question))
    options = [model.vocabulary.encode(option) for option in needle.options]
    right = LETTERS.index(needle.answer)
    text = model.embed(prompt + options[right])
    visual = len(stream.embeddings)
    places = positions_with_gaps(visual, visual + len(text), positions, rng)
    return Example(
        visual=TokenChunk(stream.frames.tolist(), stream.embeddings),
        texts=[text],
        answers=[options[right]],
        positions=places[: visual + 1].to(model.device),
        traced=merged.nonzero()[:, 0].to(model.device),
        options=tuple(option[0] for option in options),
        right=right,
    )


def positions_with_gaps(visual: int, tokens: int, positions: int, rng: random.Random) -> Int[Tensor, " tokens"]:
    """Return rising positions of `tokens` tokens below `positions`, with two gaps among the first `visual`."""
    places = torch.arange(tokens)
    spare = max(0, positions - tokens)
    for gap in (rng.randint(0, spare // 2), rng.randint(0, spare // 2)):
        places[rng.randint(0, visual) :] += gap
    return places


def reader_loss(model: Vilamp, batch: Sequence[Example]) -> tuple[Float[Tensor, ""], Float[Tensor, ""], list[bool]]:
    """Return the loss of the answers (Eq. 12), the tracing loss, and for each first question whether it was right."""
    states = last_states(model, batch)
    before_answers: list[Tensor] = []  # the states that predict the answers' tokens
    targets: list[int] = []
    first_questions: list[tuple[int, Example]] = []  # each with the row of its answer's first token
    for example, texts in zip(batch, states.texts, strict=True):
        if example.options:
            first_questions.append((len(targets), example))
        for text, answer in zip(texts, example.answers, strict=True):
            before_answers.append(text[-len(answer) - 1 : -1])
            targets += answer
    logits = model.name(torch.cat(before_answers))  # (answer tokens, vocabulary)
    loss = cross_entropy(logits, torch.tensor(targets, device=logits.device))
    right = [int(logits[row, list(one.options)].argmax()) == one.right for row, one in first_questions]
    return loss, _tracing_loss(model, batch, states, nothing=loss * 0), right


def _tracing_loss(
    model: Vilamp, batch: Sequence[Example], states: States, nothing: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Return how badly traced tokens name the answers to their video's questions; `nothing` where none is traced."""
    answers = [example.answers for example in batch for _ in range(len(example.traced))]
    pairs = [(row, answer[0]) for row, of_row in enumerate(answers) for answer in of_row]
    if not pairs:
        return nothing
    logits = model.name(torch.cat(list(states.wanted)))  # (traced, vocabulary)
    rows, words = (torch.tensor(column, device=logits.device) for column in zip(*pairs, strict=True))
    return cross_entropy(logits[rows], words)


def alignment_loss(model: Vilamp, features: PoolFeatures, rng: random.Random, count: int = 48) -> Float[Tensor, ""]:
    """Return how badly the embeddings of `count` frames' sprite patches point at the words for what they show."""
    rows = torch.tensor([rng.randrange(len(features.patches)) for _ in range(count)])
    labels = torch.from_numpy(features.pool.labels[rows.numpy()]).long().to(model.device)
    patches = features.patches[rows].to(next(model.keyframe_connector.parameters()))
    query = rng.choice(list(features.queries.values())).to(patches)
    shown = labels[..., 0] != NO_LABEL  # (frames, patches)
    channels = model.features(patches, query)[shown]  # (shown, channels)
    labels = labels[shown]  # (shown, 3)
    loss = channels.new_zeros(())
    for connector in (model.keyframe_connector, model.merged_connector):
        embeddings = connector(channels)  # (shown, hidden)
        for number, names in enumerate((SHAPES, tuple(COLOURS), tuple(map(str, DIGITS)))):
            ids = [model.vocabulary.encode(name)[0] for name in names]
            known = labels[:, number] != NO_LABEL
            if known.any():
                loss = loss + cross_entropy(embeddings[known] @ model.embed(ids).T, labels[known, number])
    return loss / 6
