"""The two connectors into the language model: one for keyframe patches, one for merged tokens (Eq. 11)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class Connector(nn.Module):
    """A two-layer perceptron with exact GELU, from vision features to language-model embeddings."""

    def __init__(self, channels: int, hidden_size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(channels, hidden_size), nn.GELU(), nn.Linear(hidden_size, hidden_size))

    def forward(self, features: Float[Tensor, "tokens channels"]) -> Float[Tensor, "tokens hidden"]:
        """Map features to embeddings, token by token."""
        return self.layers(features)
