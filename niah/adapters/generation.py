"""How the tokens of a reply are chosen: the most likely one, or drawn as a release's script draws them.

`transformers` lets a checkpoint's generation_config.json act on every reply, on greedy ones as well: several ids that
end it, and a penalty on ids that it holds already. Both are read here. Whether and how the file wants tokens to be
drawn is not: the releases' scripts decide that by themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.generation.logits_process import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from niah.adapters.config_reader import JsonKeys, read_config
from niah.types import UserError

Choose = Callable[[Float[Tensor, " vocabulary"]], int]
FILE = "generation_config.json"
# Keys of the file that change greedy replies too, and which no release sets: with the value that changes nothing.
UNREAD = {
    "num_beams": 1,
    "no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": None,
    "bad_words_ids": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "forced_eos_token_id": None,
    "guidance_scale": None,
}


@dataclass(frozen=True)
class Drawing:
    """Draw from the most likely tokens instead of taking the first. `top_k` is what `transformers` takes by default."""

    temperature: float
    top_p: float = 1.0
    top_k: int = 50


@dataclass(frozen=True)
class Generation:
    """What a checkpoint and a user decide about replies."""

    end_ids: frozenset[int] = frozenset()
    repetition_penalty: float = 1.0
    drawing: Drawing | None = None  # None: greedy

    def chooser(self, *seed: object) -> Choose:
        """Return what chooses one token after another of one reply.

        Args:
            seed: What draws are derived from: equal ones give equal replies.
        """
        if self.drawing is None and self.repetition_penalty == 1:
            return most_likely
        return TokenChooser(self, repr(seed))

    def settings(self) -> dict[str, float | str | None]:
        """Return what a record says of it; nothing where tokens are simply the most likely ones."""
        found: dict[str, float | str | None] = {}
        if self.repetition_penalty != 1:
            found["repetition_penalty"] = self.repetition_penalty
        if self.drawing is not None:
            found.update(temperature=self.drawing.temperature, top_p=self.drawing.top_p, top_k=self.drawing.top_k)
        return found


GREEDY = Generation()


class TokenChooser:
    """Chooses the tokens of one reply. The prompt is not penalised: `transformers` never sees its ids either."""

    def __init__(self, generation: Generation, seed: str) -> None:
        self._ids: list[int] = []
        self._drawing = generation.drawing
        self._processors = LogitsProcessorList()
        if generation.repetition_penalty != 1:
            self._processors.append(RepetitionPenaltyLogitsProcessor(generation.repetition_penalty))
        if generation.drawing is not None:
            self._processors.append(TemperatureLogitsWarper(generation.drawing.temperature))
            self._processors.append(TopKLogitsWarper(generation.drawing.top_k))
            if generation.drawing.top_p < 1:
                self._processors.append(TopPLogitsWarper(generation.drawing.top_p))
        digest = hashlib.sha256(seed.encode()).digest()
        self._generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)

    def __call__(self, logits: Float[Tensor, " vocabulary"]) -> int:
        """Return the next id. Raises UserError for logits that are not finite."""
        ids = torch.tensor([self._ids], dtype=torch.long)
        scores = check_finite(logits).float().cpu()[None]  # on the CPU, so that draws do not depend on the device
        scores = self._processors(ids, scores)  # type: ignore[arg-type]  # annotated for token ids of its own alias
        if self._drawing is None:
            chosen = int(scores.argmax())
        else:
            chosen = int(torch.multinomial(scores.softmax(-1), 1, generator=self._generator))
        self._ids.append(chosen)
        return chosen


def most_likely(logits: Float[Tensor, " vocabulary"]) -> int:
    """Return the id of the largest logit. Raises UserError for logits that are not finite."""
    return int(check_finite(logits).argmax())


def continue_reply(
    logits: Float[Tensor, " vocabulary"],
    step: Callable[[int], Float[Tensor, " vocabulary"]],
    limit: int,
    stops: Collection[int] = (),
    choose: Choose = most_likely,
) -> Iterator[tuple[int, Float[Tensor, " vocabulary"]]]:
    """Yield ids up to but without a stop id, and the logits that each was chosen by.

    Args:
        logits: Those after the prompt.
        step: Reads an id and returns the logits after it; an id is read only when the one after it is asked for.
        limit: The most ids to yield.
        stops: Ids that end the reply.
        choose: Returns the next id; the most likely one if nothing else is said.
    """
    for count in range(limit):
        chosen = choose(logits)
        if chosen in stops:
            return
        yield chosen, logits
        if count + 1 < limit:
            logits = step(chosen)


def check_finite(logits: Float[Tensor, "*rows vocabulary"]) -> Float[Tensor, "*rows vocabulary"]:
    """Return logits as they came. Raises UserError where one is not finite: the most likely token would be made up."""
    if not logits.isfinite().all():
        raise UserError(
            f"the logits are not finite numbers in {logits.dtype}, so any answer would be made up: load with a wider "
            "dtype, and look for odd numbers in the checkpoint's config files"
        )
    return logits


def read_generation(folder: Path) -> Generation:
    """Return what a checkpoint's generation_config.json says of greedy replies; nothing where there is no such file.

    Raises UserError for a value of the wrong kind, and for one that would change replies and is not read.
    """
    if not (folder / FILE).is_file():
        return Generation()
    keys = JsonKeys(FILE, _without_null(read_config(folder, FILE)))
    keys.only({key: value for key, value in UNREAD.items() if key in keys})
    ends = keys.wholes("eos_token_id")
    penalty = keys.number("repetition_penalty", 1.0)
    keys.complain()
    return Generation(frozenset(ends), penalty)


def _without_null(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
