"""The windows of a batch as rows, so that a layer reads them all at once.

A row is a window, or a text behind a video. Its tokens see the tokens before them in the row, and the
summary tokens of earlier windows of the same video, which stand at the front of the keys. States lie packed,
(tokens, hidden) row after row; only attention pads the rows to one width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from niah.adapters.compressor import Sequences, States

WINDOW = 8  # frames


@dataclass(frozen=True, eq=False)
class Part:
    """Some rows of a batch, for attention; `most` is the summary tokens of the video that has most."""

    tokens: Int[Tensor, " tokens"]  # numbers among the packed tokens of all rows
    stays: Int[Tensor, " summaries"]  # numbers of the summary tokens among `tokens`
    slots: Int[Tensor, " tokens"]  # places among rows x width
    video: Int[Tensor, " rows"]
    places: Int[Tensor, "rows width"]  # positions while the window is read
    mask: Float[Tensor, "rows 1 width keys"]  # 0 where a token sees one of most + width keys, else minus infinity
    bias: Float[Tensor, "rows heads most"] | None  # what a row's scores of the summary tokens get; 0 for windows

    def padded(self, tokens: Float[Tensor, "tokens size"]) -> Float[Tensor, "rows width size"]:
        """Return packed tokens in their rows."""
        rows, width = self.places.shape
        empty = tokens.new_zeros(rows * width, tokens.shape[1])
        return empty.index_copy(0, self.slots, tokens).unflatten(0, (rows, width))

    def packed(self, rows: Float[Tensor, "rows width size"]) -> Float[Tensor, "tokens size"]:
        """Return the tokens of padded rows."""
        return rows.flatten(0, 1)[self.slots]


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch laid out."""

    inputs: Float[Tensor, "tokens hidden"]
    all: Part
    answering: Part  # the rows with texts or summary tokens whose last states are wanted
    summaries: Int[Tensor, "videos most"]  # where each stands among the tokens
    summary_places: Int[Tensor, "videos most"]  # positions once its window is over
    texts: tuple[tuple[Int[Tensor, " _words"], ...], ...]  # of each video: where each text's words stand
    wanted: tuple[Int[Tensor, " _wanted"], ...]

    def pick(self, states: Float[Tensor, "answering hidden"]) -> States:
        """Return the states wanted out of those of the rows `answering`."""
        place = torch.full((len(self.inputs),), -1, device=states.device)
        place[self.answering.tokens] = torch.arange(len(states), device=states.device)
        asked = [*(words for texts in self.texts for words in texts), *self.wanted]
        # one look-up: the gradient of each would be as large as all states
        picked = iter(states[place[torch.cat(asked)]].split([len(one) for one in asked]))
        return States([[next(picked) for _ in texts] for texts in self.texts], list(picked))


def lay_out(batch: Sequences) -> Rows:
    """Lay out a batch whose videos say which tokens stay. Frames are numbered from 0, and every number occurs."""
    pieces, stays, video, before, start = [], [], [], [], []
    for number, (tokens, texts, places) in enumerate(zip(batch.visual, batch.texts, batch.places, strict=True)):
        sizes = (torch.tensor(tokens.frames, dtype=torch.long) // WINDOW).bincount().tolist()
        flags = torch.tensor(tokens.stays, dtype=torch.bool)
        parts = list(flags.split(sizes)) if sizes else []
        earlier = torch.tensor([0, *(int(part.sum()) for part in parts)]).cumsum(0)  # before each window and at the end
        earlier = torch.cat([earlier, earlier[-1:].expand(len(texts) - 1)])
        pieces += [*(tokens.embeddings.split(sizes) if sizes else ()), *texts]
        stays += [*parts, *(torch.zeros(len(text), dtype=torch.bool) for text in texts)]
        video += [number] * len(earlier)
        before.append(earlier)
        start.append(places.cpu()[earlier])
    device = batch.texts[0][0].device
    sizes, flags, of_video = torch.tensor([len(piece) for piece in pieces]), torch.cat(stays), torch.tensor(video)
    row = torch.arange(len(sizes)).repeat_interleave(sizes)  # of each token
    kept = [(flags & (of_video[row] == n)).nonzero()[:, 0] for n in range(len(batch.texts))]
    wanted = [one[places.cpu()] for one, places in zip(kept, batch.wanted, strict=True)]
    asking = _text_rows(of_video, batch)
    most = max(map(len, kept))
    bias = None if batch.bias is None else _spread(batch.bias, asking, len(sizes), most)
    sight = _Sight(sizes, row, flags, of_video, torch.cat(before), torch.cat(start), most, bias)
    answering = torch.cat([torch.tensor([n for rows in asking for n in rows]), *(row[one] for one in wanted)]).unique()
    settled = [places[:-1] for places in batch.places]
    words = (tuple((row == n).nonzero()[:, 0].to(device) for n in rows) for rows in asking)
    return Rows(
        inputs=torch.cat(pieces),
        all=sight.part(torch.arange(len(sizes)), device),
        answering=sight.part(answering, device),
        summaries=pad_sequence(kept, batch_first=True).to(device),
        summary_places=pad_sequence(settled, batch_first=True).to(device),
        texts=tuple(words),
        wanted=tuple(one.to(device) for one in wanted),
    )


def _spread(
    bias: Sequence[Float[Tensor, "_texts heads _tokens"]], asking: list[list[int]], rows: int, most: int
) -> Float[Tensor, "{rows} heads {most}"]:
    """Return the bias of every row: that of its text, or 0."""
    spread = bias[0].new_zeros(rows, bias[0].shape[1], most)
    for of_texts, numbers in zip(bias, asking, strict=True):
        spread = spread.index_put((torch.tensor(numbers),), pad(of_texts, (0, most - of_texts.shape[2])))
    return spread


def _text_rows(of_video: Int[Tensor, " rows"], batch: Sequences) -> list[list[int]]:
    """Return the rows of each video's texts, which are its last."""
    ends = of_video.bincount().cumsum(0).tolist()
    return [list(range(end - len(texts), end)) for end, texts in zip(ends, batch.texts, strict=True)]


@dataclass(frozen=True, eq=False)
class _Sight:
    """What decides who sees whom; one entry a row, but for `row` and `stays`, which have one a token."""

    sizes: Int[Tensor, " rows"]
    row: Int[Tensor, " tokens"]
    stays: Bool[Tensor, " tokens"]
    video: Int[Tensor, " rows"]
    before: Int[Tensor, " rows"]  # summary tokens of the video before this row
    start: Int[Tensor, " rows"]  # position of the row's first token
    most: int
    bias: Float[Tensor, "rows heads most"] | None

    def part(self, rows: Int[Tensor, " chosen"], device: torch.device) -> Part:
        """Return what attention needs to know of some rows, in rising order."""
        tokens = torch.isin(self.row, rows).nonzero()[:, 0]
        sizes = self.sizes[rows]
        width = int(sizes.max())
        within = torch.cat([torch.arange(size) for size in sizes.tolist()])
        slots = torch.arange(len(rows)).repeat_interleave(sizes) * width + within
        far = torch.arange(self.most) < self.before[rows][:, None, None]  # (rows, 1, most)
        near = torch.ones(width, width, dtype=torch.bool).tril()
        seen = torch.cat([far.expand(-1, width, -1), near.expand(len(rows), -1, -1)], dim=-1)
        return Part(
            tokens=tokens.to(device),
            stays=self.stays[tokens].nonzero()[:, 0].to(device),
            slots=slots.to(device),
            video=self.video[rows].to(device),
            places=(self.start[rows][:, None] + torch.arange(width)).to(device),
            mask=torch.zeros(seen.shape).masked_fill(~seen, float("-inf"))[:, None].to(device),
            bias=None if self.bias is None else self.bias[rows],
        )
