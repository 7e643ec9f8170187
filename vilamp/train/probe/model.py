"""The reader probe: a small transformer that reads what compression left of a needle.

A wrong answer may be the fault of compression or of the language model; the probe distinguishes the two. Unlike any
model, it is given the needle's place, and it sees only the tokens that compression made of the needle's frames, as the
language model gets them. What the probe cannot read, compression has lost, or the probe is too small to see. What it
reads and the model does not, the language model did not find or could not read.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from niah.io import replacing
from niah.types import UserError
from vilamp.model import Stream

WIDTH, HEADS, LAYERS = 64, 4, 2
MAX_FRAMES = 64  # with an embedding each; clips of the built-in footage have 40 at most
FILE = "probe.safetensors"


@dataclass(frozen=True, eq=False)
class NeedleTokens:
    """What compression left of a needle's frames, and the question's embedding."""

    tokens: Float[Tensor, "tokens hidden"]
    frames: Int[Tensor, " tokens"]  # which frame of the needle each comes from
    query: Float[Tensor, " dim"]


class Probe(nn.Module):
    """Chooses among the answers it was trained on."""

    def __init__(self, hidden: int, dim: int, answers: tuple[str, ...]) -> None:
        super().__init__()
        self.answers = answers
        self.token, self.query = nn.Linear(hidden, WIDTH), nn.Linear(dim, WIDTH)
        self.frame = nn.Embedding(MAX_FRAMES, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.answer = nn.Linear(WIDTH, len(answers))

    def forward(self, batch: list[NeedleTokens]) -> Float[Tensor, "batch answers"]:
        """Return a logit for every answer; a batch is padded to its longest needle."""
        tokens = nn.utils.rnn.pad_sequence([one.tokens for one in batch], batch_first=True)
        frames = nn.utils.rnn.pad_sequence([one.frames for one in batch], batch_first=True)
        lengths = torch.tensor([[len(one.tokens)] for one in batch], device=tokens.device)
        inputs = self.token(tokens) + self.frame(frames.clamp(max=MAX_FRAMES - 1))  # (batch, tokens, width)
        asked = self.query(torch.stack([one.query for one in batch]))[:, None]  # (batch, 1, width)
        padding = torch.arange(tokens.shape[1] + 1, device=tokens.device) > lengths  # (batch, 1 + tokens)
        states = self.layers(torch.cat([asked, inputs], dim=1), src_key_padding_mask=padding)
        return self.answer(states[:, 0])

    def score(self, remains: NeedleTokens, options: tuple[str, ...]) -> tuple[float, ...]:
        """Return the logit of each option. Raises UserError for one the probe was not trained on."""
        unknown = [option for option in options if option not in self.answers]
        if unknown:
            raise UserError(
                f"the probe knows the answers {', '.join(self.answers)}, not {', '.join(unknown)}: it serves only "
                "suites of the question types it was trained on"
            )
        logits = self([remains])[0]
        return tuple(float(logits[self.answers.index(option)]) for option in options)


def needle_tokens(stream: Stream, start: int, stop: int, query: Float[Tensor, " dim"]) -> NeedleTokens:
    """Return the tokens of the needle's frames, `start` up to `stop`, in a compressed stream."""
    inside = (stream.frames >= start) & (stream.frames < stop)
    tokens = stream.embeddings[inside.to(stream.embeddings.device)]
    return NeedleTokens(tokens, (stream.frames[inside] - start).to(tokens.device), query)


def save(probe: Probe, folder: Path, weights_id: str) -> None:
    """Write the probe of the checkpoint in `folder`; `weights_id` names the checkpoint's weights."""
    about = {"weights": weights_id, "answers": json.dumps(probe.answers)}
    state = {name: tensor.contiguous() for name, tensor in probe.state_dict().items()}
    with replacing(folder / FILE) as temporary:
        save_file(state, temporary, metadata=about)


def load(folder: Path, weights_id: str) -> Probe:
    """Return the probe of the checkpoint in `folder`. Raises UserError where none was trained on these weights."""
    try:
        with safe_open(folder / FILE, framework="pt") as file:
            about, state = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (FileNotFoundError, SafetensorError) as error:
        raise UserError(
            f"no probe can be read from {folder / FILE} ({error}); train one: niah probe_train --pretrained {folder}"
        ) from None
    if about["weights"] != weights_id:
        raise UserError(
            f"the probe in {folder} was trained on weights {about['weights']}, these are {weights_id}: a probe "
            f"reads one model's stream only; train its own: niah probe_train --pretrained {folder}"
        )
    probe = Probe(state["token.weight"].shape[1], state["query.weight"].shape[1], tuple(json.loads(about["answers"])))
    probe.load_state_dict(state)
    return probe.eval()
