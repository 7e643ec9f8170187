"""Let the words of the prompt attend more to tokens that resemble the question, after compression is over.

Telling a model the question before compression mixes two effects: what is kept, and how it is found. Here every token
of a video carries its cosine with the question, and each attention head has one learned weight for it, added to the
scores of the prompt's words. What is kept, and a cache of the video, then stay free of the question unless the
compressor itself looks at it. Not in the paper, nor in any release.

On its way through a compressor the cosine is the last channel of a token, so it is pooled as the token's features are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from niah.adapters.compressor import Connectors, TokenChunk

Connect = Callable[[Tensor], Tensor]


def carrying_cosines(connect: Connectors) -> Connectors:
    """Return connectors that map all channels but the last, the cosine, which they append to the embedding."""
    return Connectors(_carrying(connect.keyframe), _carrying(connect.merged))


def _carrying(connector: Connect) -> Connect:
    def connect(features: Float[Tensor, "tokens channels"]) -> Float[Tensor, "tokens _columns"]:
        return torch.cat([connector(features[:, :-1]), features[:, -1:]], dim=-1)

    return connect


def without_cosines(chunks: Iterable[TokenChunk], cosines: list[Tensor]) -> Iterator[TokenChunk]:
    """Yield chunks whose embeddings have no cosine; append the cosines of the tokens that stay to a list."""
    for chunk in chunks:
        column = chunk.embeddings[:, -1]  # (tokens,)
        stays = slice(None) if chunk.stays is None else torch.tensor(chunk.stays, dtype=torch.bool)
        cosines.append(column[stays])
        yield chunk._replace(embeddings=chunk.embeddings[:, :-1])


def words_mask(
    weights: Float[Tensor, " heads"], cosines: Float[Tensor, " video"], read: int, words: int
) -> Float[Tensor, "1 heads words keys"]:
    """Return what is added to the attention scores of words behind a video: weighted cosines, and causality.

    Args:
        weights: One for each head.
        cosines: Of the video's tokens.
        read: How many words are in the cache already.
        words: How many words follow them.
    """
    causal = torch.full((words, words), float("-inf"), device=cosines.device).triu(1)
    earlier = cosines.new_zeros(words, read)
    on_words = torch.cat([earlier, causal], dim=1).expand(len(weights), -1, -1)  # (heads, words, read + words)
    on_video = (weights[:, None] * cosines)[:, None].expand(-1, words, -1)  # (heads, words, video)
    return torch.cat([on_video, on_words], dim=-1)[None]
