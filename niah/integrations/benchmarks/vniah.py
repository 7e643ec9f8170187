"""V-NIAH (LongVA, also Video-XL's): one picture hidden among the frames of a long video.

`length` frames, the first of those spread evenly over the video, and the picture before frame
int(depth * length), as in LongVA's eval_vision_niah.py. Two scorers:

- `teacher_forced`: LongVA appends the answer to the prompt and checks whether each of its tokens is the likeliest at
  its position. That is so exactly if greedy decoding begins with these tokens, so the reply must begin with the answer,
  character for character. (The two could differ where a tokenizer has several spellings of the answer.)
- `generated`: the option's letter, or the answer as a word of the reply. LongVA's demo prints replies and scores none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from niah.integrations.benchmarks.documents import ALLOW_OUTSIDE, Benchmark, BenchmarkSettings, rows_of
from niah.integrations.benchmarks.frames import evenly, spans
from niah.integrations.benchmarks.item import split_question, text
from niah.integrations.benchmarks.video_case import PromptedCase
from niah.integrations.case_library import CaseMedia, register_library
from niah.io import cache_folder
from niah.media.scan import scan
from niah.media.writer import write_mp4
from niah.scoring import extract_answer
from niah.settings import from_mapping
from niah.suite.downloads import refuse_outside
from niah.types import LETTERS, Placement, Question, Sampling, Source, Span, UserError

SETTINGS = ("table", "download", "allow_outside", "frame_size")  # the fields of BenchmarkSettings that this task reads
SIDE = 384  # pixels of the square that film and pictures are stretched to
TABLE = Benchmark("vniah", "lmms-lab/v_niah_needles", lambda row, where: ())


@dataclass(frozen=True)
class Grid:
    """The settings of --metadata besides SETTINGS; the defaults are those of LongVA's eval.sh."""

    haystack: str  # a video file of an hour or more
    lengths: tuple[int, ...] = tuple(range(200, 3001, 200))
    depths: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    spread: int = 3000  # frames taken evenly from the whole haystack, of which a case shows the first

    def __post_init__(self) -> None:
        if not self.lengths or not self.depths or min(self.lengths) < 1 or max(self.lengths) > self.spread:
            raise UserError(f"lengths lie between 1 and spread={self.spread}, got {list(self.lengths)}")
        if not all(0 <= depth <= 1 for depth in self.depths):
            raise UserError(f"depths lie between 0 and 1, got {list(self.depths)}")


@dataclass(frozen=True)
class PictureNeedle:
    """One needle: a picture as a video of one frame, and what is asked about it."""

    name: str
    path: Path
    question: Question
    answer: str


class NeedleLibrary:
    """The cases of V-NIAH: every picture at every length and depth."""

    def __init__(self, grid: Grid, size: int, pictures: Sequence[PictureNeedle]) -> None:
        self.grid = grid
        self.sampling = Sampling("native", size, size)
        self.cases = {
            f"{picture.name}.{length}.{depth:g}": (picture, length, depth)
            for picture in pictures
            for length in grid.lengths
            for depth in grid.depths
        }
        parts = [dataclasses.asdict(grid), size, [(one.name, one.question.prompt, one.path.name) for one in pictures]]
        self.name = f"vniah@{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"

    def question(self, case: str) -> Question:
        """Return the question of a case."""
        return self.cases[case][0].question

    def media(self, case: str) -> CaseMedia:
        """Return a case and its media. Raises UserError where the haystack has fewer frames than `spread`."""
        picture, length, depth = self.cases[case]
        haystack, needle = (_source(path) for path in (Path(self.grid.haystack), picture.path))
        if haystack.frames < self.grid.spread:
            raise UserError(f"{haystack.path} has {haystack.frames} frames, spread={self.grid.spread} needs as many")
        kept = evenly(range(haystack.frames), self.grid.spread)[:length]
        start = int(depth * length)
        timeline = (*spans(haystack.name, kept[:start]), Span(needle.name, 0, 1), *spans(haystack.name, kept[start:]))
        made = PromptedCase(
            id=case,
            suite=self.name,
            version=1,
            condition="full",
            needle=picture.name,
            needle_source=needle.identity,
            haystack=haystack.name,
            length=length + 1,
            needles=(Placement(picture.name, start, start + 1),),
            timeline=timeline,
            fps=self.grid.spread / haystack.seconds,
            question=picture.question.text,
            options=picture.question.options,
            answer="",  # not needed to show a case
            type="picture",
            prompt=picture.question.prompt,
        )
        return CaseMedia(made, {haystack.name: haystack, needle.name: needle}, self.sampling)


def load_documents(**metadata: Any) -> dict[str, Any]:
    """Return every picture at every length and depth as the task's only split, called test."""
    import datasets  # here: it takes a second, and a model has no need of it

    settings = BenchmarkSettings.of(metadata)
    known = {field.name for field in dataclasses.fields(Grid)}
    grid = from_mapping(Grid, {key: value for key, value in metadata.items() if key in known}, "--metadata")
    folder = Path(settings.table or ".").resolve()
    folder = folder if folder.is_dir() else folder.parent
    root = None if settings.allow_outside else folder
    pictures = [_picture(row, where, folder, root) for where, row in rows_of(TABLE, settings)]
    library = NeedleLibrary(grid, settings.frame_size or SIDE, pictures)
    register_library(library)
    rows = [
        {
            "library": library.name,
            "case": case,
            "length": length,
            "depth": depth,
            "options": list(picture.question.options),
            "answer": picture.answer,
            "prompt": picture.question.prompt,
        }
        for case, (picture, length, depth) in library.cases.items()
    ]
    return {"test": datasets.Dataset.from_list(rows)}


def score(document: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """Score one reply in both ways."""
    reply = results[0]
    answer = document["answer"]
    options = document["options"]
    if options:
        right = extract_answer(reply, options) == answer
    else:
        right = re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", reply, re.IGNORECASE) is not None
    return {"teacher_forced": float(reply.startswith(answer)), "generated": float(right)}


def _picture(row: Mapping[str, Any], where: str, folder: Path, root: Path | None) -> PictureNeedle:
    """Read one row: columns as on the hub (`image`, `question`) or as in LongVA's dataset.json (`path`, `prompt`).

    A path begins at `folder`, and may not lead out of `root` where one is given.
    """
    prompt = text(row, "question" if "question" in row else "prompt", where)
    answer = text(row, "answer", where)
    question_text, options = split_question(prompt)
    if options and answer not in LETTERS[: len(options)]:
        raise UserError(f"{where}: the answer {answer!r} is not one of {len(options)} options")
    question = Question(question_text.split("\nAnswer the question")[0], options, prompt=prompt)
    pixels = _pixels(row, where, folder, root)
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
    path = cache_folder() / "vniah" / f"{digest}-{pixels.shape[1]}x{pixels.shape[0]}.mp4"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_mp4(path, [pixels], Fraction(1))
    return PictureNeedle(f"needle-{where.rpartition(' ')[2]}", path, question, answer)


def _pixels(row: Mapping[str, Any], where: str, folder: Path, root: Path | None) -> np.ndarray:
    """Return the picture of a row, (height, width, 3) uint8 RGB. Raises UserError."""
    from PIL import Image, UnidentifiedImageError

    picture = row.get("image")
    if picture is None:
        path = folder / text(row, "path", where)
        if root is not None:
            refuse_outside(path, root, f"{where}: picture {path.name!r}", ALLOW_OUTSIDE)
        try:
            picture = Image.open(path)
        except (OSError, UnidentifiedImageError) as error:
            raise UserError(f"{where}: cannot read the picture {path} ({error}); put it beside the table") from error
    if not isinstance(picture, Image.Image):
        raise UserError(f"{where}: column 'image' must hold pictures, got {type(picture).__name__}")
    return np.asarray(picture.convert("RGB"))


def _source(path: Path) -> Source:
    """Return a file as a source, with every frame counted."""
    index = scan(path)
    name = f"{path.stem}-{index.sha256[:12]}"
    return Source(name, f"sha256:{index.sha256}", index.path, index.sha256, len(index.times), index.seconds)
