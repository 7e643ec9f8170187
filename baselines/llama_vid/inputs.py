"""What goes into LLaMA-VID: the user's settings, the frames shown, their features, prompts, and the Q-Former's query.

The release marks where tokens of the video go by `<image>`: once on the short path, once for each token on the long
one. Text is split there and every piece tokenised by itself.

The tower's features of frames come out of the store where it has them, else they are encoded and stored. They do not
depend on the question, so cases that share frames share them: 724 KB a frame at 7B size in half precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing
from torch import Tensor

from baselines.llama_vid.compress import Query
from baselines.llama_vid.language import MODES
from baselines.llama_vid.model import LlamaVid
from niah.adapters.feature_cache import FeatureCache, Slot, slot_batches
from niah.adapters.feature_store import FeatureStore
from niah.adapters.generation import Drawing
from niah.adapters.options import bytes_of_gib, read_options
from niah.adapters.preprocess import centre_square, standardise
from niah.adapters.spread import check_device_map
from niah.prompt import format_prompt
from niah.settings import positive_int, unknown_name
from niah.types import Question, UserError, Video

CHUNK = 32  # frames encoded at a time
MARK = "<image>"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
STOP = "</s>"
QUERY_TOKENS = 256  # of the Q-Former's question, special tokens included
QUERIES = ("bare", "typed")
DECODINGS = ("greedy", "script")
SCRIPTS = {  # how the release's scripts draw: those that answer questions, and the one for movies
    "short": Drawing(temperature=0.2),
    "long": Drawing(temperature=0.6, top_p=0.9),
}
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


@dataclass(frozen=True)
class LlamaVidSettings:
    """What a user may set by `--model_args`; checked before any weight is read."""

    path: str | None = None  # short or long; if None the one the checkpoint was trained for
    rope: str = "faithful"
    config: str = "config.json"
    tower: str | None = None  # the file of the vision tower, where it lies elsewhere
    bert: str | None = None  # the folder of the Q-Former's vocabulary, where it lies elsewhere
    query: str = "bare"  # what the Q-Former reads; typed: all that the language model is asked, as in the scripts
    decoding: str = "greedy"  # or script: tokens are drawn as the release's script for the path does
    max_new_tokens: int = 32
    store_gib: int | float = 1.0  # for the tower's features, which later cases may share
    store_disk_gib: int | float = 8.0
    device_map: str | None = None  # spreads the language model's layers over the cards

    def __post_init__(self) -> None:
        if self.path not in (None, *PATHS):
            raise UserError(f"path must be short or long, got {self.path!r}; fix --model_args")
        if self.rope not in MODES:
            raise UserError(f"rope must be one of {', '.join(MODES)}, got {self.rope!r}; fix --model_args")
        if self.query not in QUERIES:
            raise UserError(unknown_name("query", str(self.query), QUERIES))
        if self.decoding not in DECODINGS:
            raise UserError(unknown_name("decoding", str(self.decoding), DECODINGS))
        positive_int("max_new_tokens", self.max_new_tokens)
        bytes_of_gib("store_gib", self.store_gib)
        bytes_of_gib("store_disk_gib", self.store_disk_gib)
        check_device_map(self.device_map)


def read_settings(given: Mapping[str, Any]) -> LlamaVidSettings:
    """Check the options a user gave. Raises UserError naming what is wrong."""
    return read_options(LlamaVidSettings, "llama_vid", given)


class PromptText(NamedTuple):
    """The text before the video's tokens and the text after them."""

    before: str
    after: str

    def marked(self, marks: int) -> str:
        """Return the release's single string, with the video's place marked."""
        return self.before + MARK * marks + self.after


def short_prompt(question: str) -> PromptText:
    """Return the chat around a video and a question (`vicuna_v1`)."""
    return PromptText(f"{SYSTEM} USER: ", f"\n{question} ASSISTANT:")


def long_prompt(question: str) -> PromptText:
    """Return the movie script's chat: a fixed sentence before and after the frames."""
    movie = "Below is a movie. Memorize the content and answer my question after watching this movie."
    return PromptText(f"{SYSTEM} USER: {movie}", f"Now the movie end.\n{question} ASSISTANT:")


def blind_prompt(question: str) -> PromptText:
    """Return the chat without a video: no mark, and no line break after one."""
    return PromptText(f"{SYSTEM} USER: {question} ASSISTANT:", "")


PATHS = {"short": short_prompt, "long": long_prompt}


def piece_ids(tokenizer: Any, prompt: PromptText, vocabulary: int) -> tuple[list[int], list[int]]:
    """Return the ids before and after the video; a start token only before.

    Raises UserError for a tokenizer that gives ids the language model does not know.
    """
    before, after = (list(tokenizer(piece).input_ids) if piece else [] for piece in prompt)
    if before and after and before[0] == tokenizer.bos_token_id == after[0]:
        after = after[1:]
    largest = max(before + after)
    if largest >= vocabulary:
        raise UserError(
            f"the tokenizer gives id {largest}, the language model knows {vocabulary}: it belongs to another checkpoint"
        )
    return before, after


def sample_frames(frames: int, fps: float) -> list[int]:
    """Return the frames the release shows, one a second: every round(fps)-th, as many as there are.

    Halves round to even. Below half a frame a second the release fails on a stride of 0; here every frame is shown.
    """
    return list(range(0, frames, max(1, round(fps))))


class QueryTokenizer:
    """Turns questions into BERT's lower-case word pieces; of a question longer than 256 it keeps the end."""

    def __init__(self, vocabulary: Path) -> None:
        if not vocabulary.is_file():
            raise UserError(f"the Q-Former's question needs BERT's {vocabulary.name} in {vocabulary.parent.name}/")
        words = vocabulary.read_text(encoding="utf-8").splitlines()
        lacking = [word for word in SPECIALS if word not in words]
        if lacking:
            raise UserError(f"BERT's {vocabulary.name} lacks {', '.join(lacking)}: copy the file again")
        ids = {word: number for number, word in enumerate(words)}
        self._padding = ids["[PAD]"]
        self._tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
        self._tokenizer.normalizer = BertNormalizer(lowercase=True)
        self._tokenizer.pre_tokenizer = BertPreTokenizer()
        self._tokenizer.post_processor = BertProcessing(("[SEP]", ids["[SEP]"]), ("[CLS]", ids["[CLS]"]))
        self._tokenizer.enable_truncation(QUERY_TOKENS, direction="left")

    def __call__(self, questions: Sequence[str], device: str | torch.device = "cpu") -> Query:
        """Return one row each, shorter ones padded on the right."""
        rows = [self._tokenizer.encode(question).ids for question in questions]
        length = max(map(len, rows))
        ids = [row + [self._padding] * (length - len(row)) for row in rows]
        mask = [[1] * len(row) + [0] * (length - len(row)) for row in rows]
        return Query(torch.tensor(ids, device=device), torch.tensor(mask, device=device))


class EvaFeatures:
    """The tower's features of the frames shown, from a store or encoded now.

    Frames are encoded in batches of one shape, aligned to their source, each always in the same row. `store` holds one
    model's features: it must not be shared between models.
    """

    def __init__(self, model: LlamaVid, store: FeatureStore | None) -> None:
        self.model = model
        self.cache = FeatureCache(store, model.dtype, model.device)

    @torch.inference_mode()
    def tokens(
        self, video: Video, shown: Sequence[int], query: Query, class_row: bool
    ) -> tuple[Float[Tensor, "tokens hidden"], int]:
        """Return the tokens of the frames shown for one question, and how many frames the store had.

        Args:
            video: The video.
            shown: Numbers of the frames, evenly spaced.
            query: The question, as the Q-Former reads it.
            class_row: Whether the Q-Former sees the class row; not on the long path.
        """
        encoded: list[int] = []

        def chunks() -> Iterator[Float[Tensor, "_frames rows width"]]:
            for features, missing in self.of(video, shown, shown[1] if len(shown) > 1 else 1):
                encoded.append(missing)
                yield features if class_row else features[:, 1:]

        return self.model.video_tokens(chunks(), query)[0], len(shown) - sum(encoded)

    @torch.inference_mode()
    def of(
        self, video: Video, shown: Sequence[int], stride: int
    ) -> Iterator[tuple[Float[Tensor, "_frames rows width"], int]]:
        """Yield features of a batch of frames, class row first, and how many of them had to be encoded.

        Holds the frames, pixels and activations of one batch of 32: 2, 19 and about 290 MB at 7B size.
        """
        keys = video.keys(0, len(video))

        def encode(slots: list[Slot]) -> Float[Tensor, "missing rows width"]:
            return self._encode(video, slots)

        batches = slot_batches(keys, shown, CHUNK, stride)
        announce = partial(_announce, video)
        yield from self.cache.get_or_encode(
            batches, lambda slot: keys[slot.frame], encode, announce=announce, row=lambda slot: slot.place
        )

    def _encode(self, video: Video, slots: list[Slot]) -> Float[Tensor, "missing rows width"]:
        """Encode a few frames, each in its row of an otherwise black batch."""
        frames = centre_square(video.frames([slot.frame for slot in slots]), self.model.config.vision.image_size)
        rows = [slot.place for slot in slots]
        batch = np.zeros((CHUNK, *frames.shape[1:]), np.uint8)
        batch[rows] = frames
        return self.model.encode(standardise(batch, device=self.model.device), class_row=True)[rows]


def _announce(video: Video, missing: list[Slot]) -> None:
    """Have the frames that must be encoded decoded while the model computes."""
    video.announce([slot.frame for slot in missing])


@dataclass(frozen=True, eq=False)
class LlamaVidPrompt:
    """A video and a question, embedded."""

    embeds: Float[Tensor, "tokens hidden"]
    first: int  # number of the first visual token
    shown: list[int]  # frames of the video
    reused: int  # of them, those whose features came from the store


class LlamaVidPrompts:
    """Embeds videos and questions in the release's words."""

    def __init__(
        self,
        features: EvaFeatures,
        tokenizer: Any,
        query_tokenizer: QueryTokenizer,
        path: str,
        reads_typed: bool = False,
    ) -> None:
        self.features, self.tokenizer, self.query_tokenizer, self.path = features, tokenizer, query_tokenizer, path
        self.reads_typed = reads_typed  # whether the Q-Former reads all that the language model is asked

    @torch.inference_mode()
    def embed(self, video: Video, question: Question) -> LlamaVidPrompt:
        """Return the whole prompt; a blind one has no visual token."""
        model = self.features.model
        shown = sample_frames(len(video), video.fps)
        typed = format_prompt(question)
        query = self.query_tokenizer([typed if self.reads_typed else question.text], model.device)
        tokens, reused = self.features.tokens(video, shown, query, class_row=self.path == "short")
        write = PATHS[self.path] if shown else blind_prompt
        ids = piece_ids(self.tokenizer, write(typed), model.config.language.vocabulary)
        before, after = (model.embed(torch.tensor(piece, dtype=torch.long)) for piece in ids)
        return LlamaVidPrompt(torch.cat((before, tokens, after)), len(before), shown, reused)
