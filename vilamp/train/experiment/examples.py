"""The examples of a step: drawn as numbers from seed and step alone, then read through a scheme.

Schemes on the same rung get the same clips, haystacks, depths, lengths, wordings and position gaps. A
scheme that has climbed further gets them in a longer haystack.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from niah.adapters.compressor import Choice, Compressor, InLanguage, Sequences, States, TokenChunk
from niah.suite.config import QUESTION_TEMPLATE
from niah.suite.footage.wording import WORDINGS
from niah.types import LETTERS, Question
from vilamp.model import Vilamp
from vilamp.train.experiment.config import Curriculum
from vilamp.train.experiment.questions import ClipQuestion, questions
from vilamp.train.reader import TRACED_FROM, PoolFeatures, positions_with_gaps
from vilamp.vocabulary import cloze


@dataclass(frozen=True)
class ExampleSpec:
    """One example before any scheme has seen it."""

    world: int
    clip: int
    length: int  # frames, those of the clip included; 0: the clip alone
    depth: float
    offset: float  # where in the world's haystack the footage begins, as a share of what is possible
    templated: bool
    gaps: int | None  # the seed of the gaps in its positions, None without
    told: tuple[str, ...] = WORDINGS  # how its questions may tell the target


@dataclass(frozen=True, eq=False)
class Example:
    """One video, as a scheme compressed it, with one or several questions: ready for the language model."""

    visual: TokenChunk
    texts: list[Float[Tensor, "_words hidden"]]  # prompt, then answer
    answers: list[list[int]]
    places: Int[Tensor, " tokens"]  # of the visual tokens that stay, then of every text's first word
    traced: Int[Tensor, " traced"]  # of the visual tokens that stay: the last of each frame of the needle, late ones
    options: tuple[int, ...]  # of the clip's own question the first token of each option, or none where it is not asked
    right: int


def draw_examples(course: Curriculum, seed: int, step: int, rung: int) -> tuple[int, list[ExampleSpec]]:
    """Return the rung of a step's examples, `rung` or below, and the examples; no draw depends on an earlier one."""
    rng = random.Random(f"compression/{seed}/{step}")
    at = rung if rng.random() < 0.67 else int(rng.random() * (rung + 1))
    here = course.rungs[at]
    longest, kinds, gapped_step, made = here.length, course.places(here), rng.random() < here.gaps, []
    for number in range(here.videos):
        rng = random.Random(f"compression/{seed}/{step}/{number}")
        kind = kinds[(step * 5 + number) % len(kinds)]  # types in turn, also where a step has fewer examples
        clip = kind + len(course.types) * rng.randrange(course.clips // len(course.types))
        world, share, depth, offset = rng.randrange(course.worlds), rng.random(), rng.random(), rng.random()
        length = longest // 2 + round(share * (longest - longest // 2))
        templated, gaps = rng.random() < 0.7, rng.getrandbits(32)
        made.append(
            ExampleSpec(world, clip, length, depth, offset, templated, gaps if gapped_step else None, here.told)
        )
    return at, made


def frame_order(features: PoolFeatures, drawn: ExampleSpec) -> tuple[Int[Tensor, " frames"], int]:
    """Return which frames of a world are shown, and the place of the clip's first among them."""
    pool = features.pool
    first, stop = pool.starts[drawn.clip], pool.starts[drawn.clip + 1]
    around = max(0, min(drawn.length - (stop - first), pool.haystack))
    before, offset = round(drawn.depth * around), round(drawn.offset * (pool.haystack - around))
    parts = ((offset, offset + before), (first, stop), (offset + before, offset + around))
    return torch.cat([torch.arange(*part) for part in parts]), before


def build_examples(model: Vilamp, features: PoolFeatures, drawn: ExampleSpec, course: Curriculum) -> list[Example]:
    """Compress a video with the model's scheme and put its questions behind it.

    A scheme that looks at the question compresses the video for each; another does so once.
    """
    asked = questions(features.pool.clips[drawn.clip], drawn.told)
    if model.compressor.guided:
        return [_read(model, features, drawn, course, [one]) for one in asked]
    return [_read(model, features, drawn, course, asked)]


def _read(
    model: Vilamp, features: PoolFeatures, drawn: ExampleSpec, course: Curriculum, asked: list[ClipQuestion]
) -> Example:
    """Compress a video for the first of some questions, and put all of them behind it."""
    scheme, clip = model.compressor, features.pool.clips[drawn.clip]
    order, before = frame_order(features, drawn)
    query = features.queries[asked[0].text].to(model.device)
    choice, chunks = choose_frames(scheme, features, order, query)
    runs = list(model.tokens(scheme, choice, query, chunks))
    numbers = [number for run in runs for number in run.frames]
    stays = [one for run in runs for one in run.stays or ()] if isinstance(scheme, InLanguage) else None
    visual = TokenChunk(numbers, torch.cat([run.embeddings for run in runs]), stays)
    staying = numbers if stays is None else [n for n, one in zip(numbers, stays, strict=True) if one]
    late = traced_places(staying, before + TRACED_FROM, before + clip.count)
    answers = [model.vocabulary.encode(one.answer) for one in asked]
    prompts = [model.vocabulary.encode(_cloze(one, drawn.templated)) for one in asked]
    options = tuple(model.vocabulary.encode(option)[0] for option in asked[0].options)
    return Example(
        visual=visual,
        texts=[model.embed(prompt + answer) for prompt, answer in zip(prompts, answers, strict=True)],
        answers=answers,
        places=_places(model, len(staying), drawn, course).to(model.device),
        traced=torch.tensor(late, dtype=torch.long, device=model.device),
        options=options,
        right=LETTERS.index(clip.answer) if options else -1,
    )


def choose_frames(
    scheme: Compressor, features: PoolFeatures, order: Int[Tensor, " frames"], query: Float[Tensor, " dim"]
) -> tuple[Choice, Iterator[Float[Tensor, "_frames patches dim"]]]:
    """Return what a scheme chooses of some frames of a world, and the patches of those, 512 frames at a time."""
    frames = features.embeddings[order].to(query.device)
    choice = scheme.choose(normalize(frames, dim=-1) if scheme.guided else frames[:, :0], query)
    seen = order[torch.tensor(list(choice.seen))]
    return choice, (features.patches[part].to(query) for part in seen.split(512))


def _cloze(asked: ClipQuestion, templated: bool) -> str:
    """Return a prompt; which options there are does not show in it."""
    return cloze(Question(asked.text, ("", ""), QUESTION_TEMPLATE if templated else "{question}"))


def _places(model: Vilamp, staying: int, drawn: ExampleSpec, course: Curriculum) -> Int[Tensor, " places"]:
    """Return rising positions of the tokens that stay and of what comes next, with gaps where the example has them."""
    if drawn.gaps is None:
        return torch.arange(staying + 1)
    compression = model.config.compression
    assert compression is not None  # every model of an experiment has one
    farthest = round(course.farthest * compression.budget)
    return positions_with_gaps(staying, staying + 1, farthest, random.Random(drawn.gaps))


def traced_places(frames: list[int], start: int, stop: int) -> list[int]:
    """Return the place of the last token of each frame from `start` up to `stop`, as far as there is one."""
    last = {frame: place for place, frame in enumerate(frames)}
    return sorted(place for frame, place in last.items() if start <= frame < stop)


def batch_loss(model: Vilamp, batch: list[Example]) -> tuple[Float[Tensor, ""], Float[Tensor, ""], list[bool]]:
    """Return the loss of the answers, the tracing loss, and of each own question whether it was answered right."""
    states = last_states(model, batch)
    before, targets, own, row = [], [], [], 0
    for one, texts in zip(batch, states.texts, strict=True):
        own += [(row, one)] if one.options else []
        for text, answer in zip(texts, one.answers, strict=True):
            before.append(text[-len(answer) - 1 : -1])
            targets += answer
            row += len(answer)
    logits = model.name(torch.cat(before))  # (answer tokens, vocabulary)
    loss = cross_entropy(logits, torch.tensor(targets, device=logits.device))
    right = [int(logits[row, list(one.options)].argmax()) == one.right for row, one in own]
    named = model.name(torch.cat(list(states.wanted)))  # (traced, vocabulary)
    pairs = [(row, answer[0]) for row, answers in enumerate(_answers(batch)) for answer in answers]
    if not pairs:
        return loss, loss * 0, right
    rows, words = (torch.tensor(column, device=named.device) for column in zip(*pairs, strict=True))
    return loss, cross_entropy(named[rows], words), right


def _answers(batch: list[Example]) -> list[list[list[int]]]:
    """Return for each traced token all answers that its video's questions have."""
    return [one.answers for one in batch for _ in range(len(one.traced))]


def last_states(model: Vilamp, batch: list[Example]) -> States:
    """Return the last states of texts and traced tokens, through the scheme where it works in the language model."""
    scheme = model.compressor
    if isinstance(scheme, InLanguage):
        parts = [(one.visual, one.texts, one.places, one.traced) for one in batch]
        return scheme.states(model.language, Sequences(*zip(*parts, strict=True)))
    pairs = [(one, text) for one in batch for text in one.texts]
    inputs = [torch.cat([one.visual.embeddings, text]) for one, text in pairs]
    behind = [one.places[-1] + torch.arange(len(text), device=one.places.device) for one, text in pairs]
    places = [torch.cat([one.places[:-1], words]) for (one, _), words in zip(pairs, behind, strict=True)]
    states = model.states(inputs, places)  # (pairs, tokens, hidden)
    texts, wanted, row = [], [], 0
    for one in batch:
        start = len(one.visual.embeddings)
        texts.append([states[row + n, start : start + len(text)] for n, text in enumerate(one.texts)])
        wanted.append(states[row, one.traced])
        row += len(one.texts)
    return States(texts, wanted)
