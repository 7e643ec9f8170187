"""The training examples of a step, drawn from seed and step alone and then compressed, and the questions about a clip.

At the same stage of the curriculum all compressors get the same clips, haystacks, depths, lengths, wordings and
position gaps; a compressor whose training is a stage further gets them in a longer haystack.

The costliest compressor reads a video for seconds and a question for nothing, so a training of minutes learns more
from several questions about one video. Suites ask a clip its own question only.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from niah.adapters.compressor import Choice, Compressor, InLanguage, TokenChunk
from niah.suite.config import QUESTION_TEMPLATE
from niah.suite.footage.clips import CROSSING, DrawnClip
from niah.suite.footage.scenes import Track
from niah.suite.footage.wording import WORDED_TYPES, WORDINGS, base_type, reword
from niah.types import LETTERS, Question
from vilamp.model import Vilamp
from vilamp.train.experiment.config import Curriculum
from vilamp.train.reader import FIRST_TRACED_FRAME, Example, PoolFeatures, positions_with_gaps, spliced_frames
from vilamp.vocabulary import cloze

QUESTIONS = {"motion": "Which way does the {look} move?", "digit": "Which digit is beside the {look}?"}


@dataclass(frozen=True)
class ClipQuestion:
    """A question about a clip and its right answer; `options` are those of the clip's own question, else none."""

    text: str
    answer: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExampleSpec:
    """One example before any compressor has seen it: numbers only."""

    world: int
    clip: int
    length: int  # frames, those of the clip included; 0: the clip alone
    depth: float
    offset: float  # where in the world's haystack the footage begins, as a share of what is possible
    templated: bool  # whether the prompt is the suite's template, or the question alone
    gaps: int | None  # the seed of the gaps in its positions; None: no gaps
    wordings: tuple[str, ...] = WORDINGS  # how its questions may name the target


def draw_examples(curriculum: Curriculum, seed: int, step: int, stage: int) -> tuple[int, list[ExampleSpec]]:
    """Return the stage of a step's examples, `stage` or an earlier one, and the examples.

    No draw depends on an earlier one.
    """
    rng = random.Random(f"compression/{seed}/{step}")
    drawn_stage = stage if rng.random() < 0.67 else int(rng.random() * (stage + 1))
    settings = curriculum.rungs[drawn_stage]
    types = curriculum.type_indices(settings)
    has_gaps = rng.random() < settings.gaps
    specs = []
    for number in range(settings.videos):
        rng = random.Random(f"compression/{seed}/{step}/{number}")
        kind = types[(step * 5 + number) % len(types)]  # types in turn, also where a step has fewer examples
        clip = kind + len(curriculum.types) * rng.randrange(curriculum.clips // len(curriculum.types))
        world = rng.randrange(curriculum.worlds)
        shortest = settings.length // 2
        length = shortest + round(rng.random() * (settings.length - shortest))
        spec = ExampleSpec(
            world=world,
            clip=clip,
            length=length,
            depth=rng.random(),
            offset=rng.random(),
            templated=rng.random() < 0.7,
            gaps=rng.getrandbits(32) if has_gaps else None,
            wordings=settings.told,
        )
        specs.append(spec)
    return drawn_stage, specs


def questions(clip: DrawnClip, wordings: Collection[str] = WORDINGS) -> list[ClipQuestion]:
    """Return the clip's own question first, then the others that its pictures answer.

    These ask for the motion and the digit of the same target, and name it in one of the `wordings`. A clip whose
    target is not named shows a single sprite and is asked in no other words; a target that is named is unique.
    """
    own = ClipQuestion(clip.question, clip.options[LETTERS.index(clip.answer)], clip.options)
    answers = {"motion": _direction(clip), "digit": _digit(clip)}
    own_wording = WORDED_TYPES.get(clip.type, "named")
    possible = ("unnamed",) if own_wording == "unnamed" else ("named", "indirect")
    texts = {
        reword(question.replace("{look}", str(clip.target)), clip.target, wording): answers[base]
        for base, question in QUESTIONS.items()
        for wording in possible
        if wording in wordings or wording == own_wording
    }
    assert texts[own.text] == own.answer, f"{clip.type}: the pictures say {texts[own.text]}, the clip {own.answer}"
    others = [ClipQuestion(text, answer) for text, answer in texts.items() if answer is not None]
    return [own, *(question for question in others if question.text != own.text)]


def _direction(clip: DrawnClip) -> str:
    """Return where the target goes, which crosses the picture in motion and in digit clips alike."""
    (track,) = (one for one in clip.scene.tracks if one.look == clip.target)
    way = direction(track)
    assert base_type(clip.type) in QUESTIONS and way is not None, clip.type
    return way


def direction(track: Track) -> str | None:
    """Return where a sprite goes that crosses the picture, None for one that does not."""
    across, down = int(np.ptp(track.xs)), int(np.ptp(track.ys))
    if min(across, down) > 0 or max(across, down) < CROSSING[0]:
        return None
    if across:
        return "right" if track.xs[-1] > track.xs[0] else "left"
    return "down" if track.ys[-1] > track.ys[0] else "up"


def _digit(clip: DrawnClip) -> str | None:
    """Return the target's digit, if it has one."""
    (track,) = (one for one in clip.scene.tracks if one.look == clip.target)
    return None if track.digit is None else str(track.digit)


def frame_order(features: PoolFeatures, spec: ExampleSpec) -> tuple[Int[Tensor, " frames"], int]:
    """Return which frames of a world are shown, and the index of the clip's first among them."""
    pool = features.pool
    clip_frames = pool.starts[spec.clip + 1] - pool.starts[spec.clip]
    around = max(0, min(spec.length - clip_frames, pool.haystack))
    before = round(spec.depth * around)
    offset = round(spec.offset * (pool.haystack - around))
    return spliced_frames(pool, spec.clip, before, around, offset), before


def build_examples(model: Vilamp, features: PoolFeatures, spec: ExampleSpec, curriculum: Curriculum) -> list[Example]:
    """Compress a video with the model's compressor and put its questions behind it.

    A compressor that looks at the question compresses the video for each question; another does so once.
    """
    asked = questions(features.pool.clips[spec.clip], spec.wordings)
    groups = [[one] for one in asked] if model.compressor.guided else [asked]
    return [_build_example(model, features, spec, curriculum, group) for group in groups]


def _build_example(
    model: Vilamp,
    features: PoolFeatures,
    spec: ExampleSpec,
    curriculum: Curriculum,
    asked: list[ClipQuestion],
) -> Example:
    """Compress a video for the first of some questions, and put all of them behind it."""
    compressor = model.compressor
    clip = features.pool.clips[spec.clip]
    order, before = frame_order(features, spec)
    query = features.queries[asked[0].text].to(model.device)
    choice, chunks = choose_frames(compressor, features, order, query)
    visual = join_chunks(list(model.tokens(compressor, choice, query, chunks)), isinstance(compressor, InLanguage))
    stays = visual.stays or [True] * len(visual.frames)
    staying = [frame for frame, one in zip(visual.frames, stays, strict=True) if one]
    traced = last_token_of_frames(staying, before + FIRST_TRACED_FRAME, before + clip.count)
    answers = [model.vocabulary.encode(one.answer) for one in asked]
    prompts = [model.vocabulary.encode(_prompt(one, spec.templated)) for one in asked]
    options = tuple(model.vocabulary.encode(option)[0] for option in asked[0].options)
    return Example(
        visual=visual,
        texts=[model.embed(prompt + answer) for prompt, answer in zip(prompts, answers, strict=True)],
        answers=answers,
        positions=_positions(model, len(staying), spec, curriculum).to(model.device),
        traced=torch.tensor(traced, dtype=torch.long, device=model.device),
        options=options,
        right=LETTERS.index(clip.answer) if options else -1,
    )


@runtime_checkable
class FootageFeatures(Protocol):
    """The features of footage that videos are cut from, by frame."""

    @property
    def embeddings(self) -> Float[Tensor, "frames dim"]:
        """What compressors choose by."""
        ...

    @property
    def patches(self) -> Float[Tensor, "frames patches dim"]:
        """What compressors compress; half precision."""
        ...


def choose_frames(
    compressor: Compressor, features: FootageFeatures, order: Int[Tensor, " frames"], query: Float[Tensor, " dim"]
) -> tuple[Choice, Iterator[Float[Tensor, "_frames patches dim"]]]:
    """Return what a compressor chooses of some frames of a world, and the patches of those, 512 frames at a time."""
    frames = features.embeddings[order].to(query.device)
    choice = compressor.choose(normalize(frames, dim=-1) if compressor.guided else frames[:, :0], query)
    seen = order[torch.tensor(list(choice.seen), dtype=torch.long)]
    return choice, (features.patches[part].to(query) for part in seen.split(512))


def join_chunks(chunks: list[TokenChunk], marks_staying: bool) -> TokenChunk:
    """Return all tokens of a video as one chunk."""
    frames = [frame for chunk in chunks for frame in chunk.frames]
    stays = [one for chunk in chunks for one in chunk.stays or ()] if marks_staying else None
    return TokenChunk(frames, torch.cat([chunk.embeddings for chunk in chunks]), stays)


def _prompt(question: ClipQuestion, templated: bool) -> str:
    """Return a prompt; it does not show the options."""
    return cloze(Question(question.text, ("", ""), QUESTION_TEMPLATE if templated else "{question}"))


def _positions(model: Vilamp, staying: int, spec: ExampleSpec, curriculum: Curriculum) -> Int[Tensor, " places"]:
    """Return rising positions of the tokens that stay and of what comes next, with gaps where the example has them."""
    if spec.gaps is None:
        return torch.arange(staying + 1)
    compression = model.config.compression
    assert compression is not None  # every model of an experiment has one
    farthest = round(curriculum.farthest * compression.budget)
    return positions_with_gaps(staying, staying + 1, farthest, random.Random(spec.gaps))


def last_token_of_frames(frames: list[int], start: int, stop: int) -> list[int]:
    """Return the index of the last token of each frame from `start` up to `stop`, where it has one.

    `frames` holds the frame of each token.
    """
    last = {frame: index for index, frame in enumerate(frames)}
    return sorted(index for frame, index in last.items() if start <= frame < stop)
