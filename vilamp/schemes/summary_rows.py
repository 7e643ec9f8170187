"""The windows of a batch as rows of one tensor, so that a layer reads them all at once.

A row is a window, or the text behind a video. Its tokens see the tokens before them in the row, and the
summary tokens of earlier windows of the same case, which stand at the front of the keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from niah.adapters.compressor import Sequences, States

WINDOW = 8  # frames


@dataclass(frozen=True, eq=False)
class Rows:
    """A batch laid out; `most` is the summary tokens of the case that has most."""

    inputs: Tensor  # (rows, width, hidden)
    case: Tensor  # (rows,)
    places: Tensor  # (rows, width) positions while the window is read
    stays: Tensor  # (rows, width) whether it is a summary token
    seen: Tensor  # (rows, 1, width, most + width) which keys a token sees
    summaries: Tensor  # (cases, most) where each stands among rows x width
    summary_places: Tensor  # (cases, most) positions once its window is over
    answering: Tensor  # (answering,) rows whose last states are wanted
    words: tuple[int, ...]  # of each case's text, which is the last row of its case
    wanted: tuple[Tensor, ...]  # of each case, among rows x width

    def pick(self, states: Tensor) -> States:
        """Return the states wanted out of (answering, width, hidden)."""
        width = states.shape[1]
        place = torch.full((len(self.inputs),), -1, device=states.device)
        place[self.answering] = torch.arange(len(self.answering), device=states.device)
        text_rows = [int(place[(self.case == case).nonzero()[-1, 0]]) for case in range(len(self.words))]
        text = [states[row, :count] for row, count in zip(text_rows, self.words, strict=True)]
        wanted = [states[place[flat // width], flat % width] for flat in self.wanted]
        return States(text, wanted)


def lay_out(batch: Sequences) -> Rows:
    """Lay out a batch whose runs say which tokens stay. Frames are numbered from 0, and every number occurs."""
    pieces, staying, case, before, start = [], [], [], [], []
    for number, (run, text, places) in enumerate(zip(batch.visual, batch.text, batch.places, strict=True)):
        stays = torch.tensor(run.stays, dtype=torch.bool, device=text.device)
        of_window = torch.tensor(run.frames, device=text.device) // WINDOW
        sizes = of_window.bincount().tolist() if len(of_window) else []
        pieces += [*run.embeddings.split(sizes), text] if sizes else [text]
        parts = [*(stays.split(sizes) if sizes else []), torch.zeros(len(text), dtype=torch.bool, device=text.device)]
        counts = torch.tensor([0, *(int(part.sum()) for part in parts[:-1])]).cumsum(0)  # before each row
        staying += parts
        case += [number] * len(parts)
        before += counts.tolist()
        start += places[counts.to(places.device)].tolist()
    device = batch.text[0].device
    inputs, stays = pad_sequence(pieces, batch_first=True), pad_sequence(staying, batch_first=True)
    cases, width = torch.tensor(case, device=device), inputs.shape[1]
    flat = [(stays & (cases == n)[:, None]).flatten().nonzero()[:, 0] for n in range(len(batch.text))]
    most = max(len(one) for one in flat)
    earlier = torch.tensor(before, device=device)
    far = torch.arange(most, device=device) < earlier[:, None, None, None]  # (rows, 1, 1, most)
    near = torch.ones(width, width, dtype=torch.bool, device=device).tril()
    seen = [far.expand(-1, -1, width, -1), near.expand(len(inputs), 1, -1, -1)]
    wanted = tuple(one[places] for one, places in zip(flat, batch.wanted, strict=True))
    ends = torch.tensor([*(torch.tensor(case).bincount().cumsum(0) - 1)], device=device)
    settled = [places[: len(one)] for places, one in zip(batch.places, flat, strict=True)]
    return Rows(
        inputs=inputs,
        case=cases,
        places=torch.tensor(start, device=device)[:, None] + torch.arange(width, device=device),
        stays=stays,
        seen=torch.cat(seen, dim=-1),
        summaries=pad_sequence(flat, batch_first=True),
        summary_places=pad_sequence(settled, batch_first=True).to(device),
        answering=torch.cat([ends, *(one // width for one in wanted)]).unique(),
        words=tuple(len(text) for text in batch.text),
        wanted=wanted,
    )
