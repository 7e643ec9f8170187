"""The examples of a step: clips in haystacks among decoys, compressed, with the clip's question behind them.

A step's draws depend on the seed, the step and the stage alone, so all models get the same examples until one of them
is a stage further.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from niah.adapters.compressor import Choice, Compressor, InLanguage, TokenChunk
from niah.suite.config import QUESTION_TEMPLATE
from niah.suite.positions import nearest
from niah.types import LETTERS, Question
from vilamp.late import without_cosines
from vilamp.model import Vilamp
from vilamp.train.example import Example
from vilamp.train.micro.config import MicroConfig
from vilamp.train.micro.footage import Span, World
from vilamp.train.questions import ClipQuestion, questions, questions_about_others
from vilamp.train.reader import FIRST_TRACED_FRAME, positions_with_gaps
from vilamp.vocabulary import cloze


@dataclass(frozen=True)
class TrainingVideo:
    """Which frames of a world a video shows; the clip's are `start` up to `stop`."""

    frames: Int[Tensor, " frames"]
    start: int
    stop: int


def splice_video(world: World, clip: int, length: int, decoys: int, rng: random.Random) -> TrainingVideo:
    """Insert a clip and its decoys at scene cuts of a haystack, about `length` frames in all; the clip alone if 0."""
    first, last = world.spans[clip]
    made = world.clips[clip]
    shown = rng.sample(world.decoys[made.type, made.target], decoys)
    around = min(length - sum(stop - start for start, stop in [(first, last), *shown]), world.haystack)
    if around <= 0:
        return TrainingVideo(torch.arange(first, last), 0, last - first)
    opening = rng.randint(0, world.haystack - around)
    cuts = [0, *(cut - opening for cut in world.cuts if 0 < cut - opening < around), around]
    inserts: list[tuple[int, float, Span]] = [
        (nearest(rng.randint(0, around), cuts), rng.random(), span) for span in ((first, last), *shown)
    ]
    return _lay_out(inserts, opening, around, (first, last))


def _lay_out(inserts: list[tuple[int, float, Span]], opening: int, around: int, clip: Span) -> TrainingVideo:
    """Return a haystack's frames with spans inserted; inserts at one cut follow in a drawn order."""
    pieces: list[Tensor] = []
    begun = start = shown = 0
    for at, _, span in sorted(inserts):
        pieces += [torch.arange(opening + begun, opening + at), torch.arange(*span)]
        shown += at - begun
        start = shown if span == clip else start
        shown += span[1] - span[0]
        begun = at
    pieces.append(torch.arange(opening + begun, opening + around))
    return TrainingVideo(torch.cat(pieces), start, start + clip[1] - clip[0])


def draw_batch(
    config: MicroConfig,
    model: Vilamp,
    worlds: Sequence[World],
    length: int,
    videos: int,
    positions: int,
    weights: Sequence[float],
    rng: random.Random,
) -> tuple[list[str], list[Example]]:
    """Return the question types and the examples of a batch; further examples may ask about the same videos.

    Args:
        config: Says what examples look like.
        model: Compresses the videos.
        worlds: What videos are cut from.
        length: Frames of a video, at most.
        videos: How many.
        positions: Positions leave gaps up to so many tokens.
        weights: How often each type is drawn.
        rng: Draws everything.
    """
    types: list[str] = []
    examples: list[Example] = []
    for kind in rng.choices(range(len(config.types)), weights, k=videos):
        world = rng.choice(worlds)
        number = kind + len(config.types) * rng.randrange(config.clips // len(config.types))
        shown = rng.choice(config.shown)
        frames = rng.randint(length // 2, length)
        video = splice_video(world, number, frames, shown if length else 0, rng)
        clip = world.clips[number]
        asked = questions(clip)[: None if length == 0 else 1]  # decoys answer what its clip is not asked
        if length == 0 and not model.compressor.guided:  # read once, so more questions cost next to nothing
            asked += questions_about_others(clip)
        for group in [[one] for one in asked] if model.compressor.guided else [asked]:
            templated = rng.random() < config.templated
            right = LETTERS.index(clip.answer)
            examples.append(_build(model, world, video, group, right, templated, positions, rng))
        types.append(config.types[kind])
    return types, examples


def _build(
    model: Vilamp,
    world: World,
    video: TrainingVideo,
    asked: list[ClipQuestion],
    right: int,
    templated: bool,
    positions: int,
    rng: random.Random,
) -> Example:
    """Compress a video for the first of some questions, and put all of them behind it."""
    visual, cosines = compress_video(model, world, video.frames, model.encode_queries([one.text for one in asked]))
    stays = visual.stays or [True] * len(visual.frames)
    staying = [frame for frame, one in zip(visual.frames, stays, strict=True) if one]
    traced = last_tokens(staying, video.start + FIRST_TRACED_FRAME, video.stop)
    template = QUESTION_TEMPLATE if templated else "{question}"
    answers = [model.vocabulary.encode(one.answer) for one in asked]
    prompts = [model.vocabulary.encode(cloze(Question(one.text, ("", ""), template))) for one in asked]
    places = positions_with_gaps(len(staying), len(staying) + 1, positions, rng)
    return Example(
        visual=visual,
        texts=[model.embed(prompt + answer) for prompt, answer in zip(prompts, answers, strict=True)],
        answers=answers,
        positions=places.to(model.device),
        traced=torch.tensor(traced, dtype=torch.long, device=model.device),
        options=tuple(model.vocabulary.encode(option)[0] for option in asked[0].options),
        right=right if asked[0].options else -1,
        cosines=cosines,
    )


def compress_video(
    model: Vilamp, world: World, frames: Int[Tensor, " frames"], queries: Float[Tensor, "questions dim"]
) -> tuple[TokenChunk, Float[Tensor, "questions staying"] | None]:
    """Return a video's tokens as one chunk, compressed for the first question.

    Where the question comes late, the cosines of the tokens that stay are returned too, one row a question.
    """
    visual, cosines = _compress(model, world, frames, queries[0])
    if cosines is None:
        return visual, None
    with torch.no_grad():  # of the others only the cosines are wanted, and nothing learns through them
        others = [_compress(model, world, frames, query)[1] for query in queries[1:]]
    return visual, torch.stack([cosines, *(one for one in others if one is not None)])


def _compress(
    model: Vilamp, world: World, frames: Int[Tensor, " frames"], query: Float[Tensor, " dim"]
) -> tuple[TokenChunk, Float[Tensor, " staying"] | None]:
    """Return a video's tokens as one chunk, and the cosines of those that stay where the question comes late."""
    compressor = model.compressor
    choice, patches = _choose(compressor, world, frames, query)
    cosines: list[Tensor] = []
    chunks = model.tokens(compressor, choice, query, patches)
    held = list(chunks if model.late_weights is None else without_cosines(chunks, cosines))
    return _joined(held, isinstance(compressor, InLanguage)), torch.cat(cosines) if cosines else None


def _choose(
    compressor: Compressor, world: World, order: Int[Tensor, " frames"], query: Float[Tensor, " dim"]
) -> tuple[Choice, Iterator[Float[Tensor, "_frames patches dim"]]]:
    """Return what a compressor chooses of some frames of a world, and the patches of those, 512 frames at a time."""
    embeddings = world.embeddings[order].to(query.device)
    choice = compressor.choose(normalize(embeddings, dim=-1) if compressor.guided else embeddings[:, :0], query)
    seen = order[torch.tensor(list(choice.seen), dtype=torch.long)]
    return choice, (world.patches[part].to(query) for part in seen.split(512))


def _joined(chunks: list[TokenChunk], marks_staying: bool) -> TokenChunk:
    """Return all tokens of a video as one chunk."""
    frames = [frame for chunk in chunks for frame in chunk.frames]
    stays = [one for chunk in chunks for one in chunk.stays or ()] if marks_staying else None
    return TokenChunk(frames, torch.cat([chunk.embeddings for chunk in chunks]), stays)


def last_tokens(frames: Sequence[int], start: int, stop: int) -> list[int]:
    """Return the index of the last token of each frame from `start` up to `stop`, from the frame of each token."""
    last = {frame: index for index, frame in enumerate(frames)}
    return sorted(index for frame, index in last.items() if start <= frame < stop)
