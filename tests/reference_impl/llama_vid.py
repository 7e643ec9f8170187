"""A LLaMA-VID written a second time, slowly and plainly, as the oracle of the fast one.

Shares no code with `baselines`, and calls nothing of `transformers`. In double precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tests.reference_impl.parts import attend, gelu, linear, norm, rms, rotate

BERT = "model.vlm_att_encoder.bert."
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *LETTERS, *(f"##{letter}" for letter in LETTERS))


@dataclass(frozen=True)
class Sizes:
    """Another model: no width, count or grid is the reference's; grouped keys; three linear layers project."""

    seed: int = 3
    side: int = 60
    patch: int = 10  # 6 x 6 patches
    tower: int = 40
    tower_blocks: int = 2
    tower_heads: int = 5
    ratio: float = 2.53  # 40 * 2.53 = 101.2
    queries: int = 3
    bert: int = 36
    bert_layers: int = 3
    bert_heads: int = 3
    bert_mlp: int = 50
    positions: int = 300
    hidden: int = 48
    intermediate: int = 56
    layers: int = 2
    heads: int = 6
    key_heads: int = 2
    vocabulary: int = 97
    context: int = 70  # positions of the first rotary table
    factor: float = 5.0
    frames: int = 5
    long_frames: int = 41
    generated: int = 3


def record(w: dict[str, Tensor], s: Sizes, draw: torch.Generator) -> dict[str, Tensor]:
    """Return every golden tensor."""
    asked = torch.randint(4, len(WORDS), (256,), generator=draw)
    one = torch.cat([torch.tensor([2]), asked[:6], torch.tensor([3])])
    two = torch.cat([torch.tensor([2]), asked[6:9], torch.tensor([3])])
    long = torch.cat([torch.tensor([2]), asked[:254], torch.tensor([3])])
    padded = torch.cat([two, torch.zeros(3, dtype=torch.long)])
    golden = {
        "query.input_ids": one[None], "query.attention_mask": torch.ones(1, 8, dtype=torch.long),
        "query2.input_ids": torch.stack([one, padded]),
        "query2.attention_mask": torch.tensor([[1] * 8, [1] * 5 + [0] * 3]),
        "query_long.input_ids": long[None], "query_long.attention_mask": torch.ones(1, 256, dtype=torch.long),
    }  # fmt: skip
    golden |= _pixels(draw) | _short(w, s, draw, one, two) | _long(w, s, draw, one) | _rope()
    return golden


def _pixels(draw: torch.Generator) -> dict[str, Tensor]:
    """Return preprocessing of frames 224 pixels high and wider than that, every 5th pixel of it."""
    frames = torch.randint(0, 256, (2, 224, 238, 3), generator=draw, dtype=torch.uint8)
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    pixels = ((frames[:, :, 7:231].double() / 255 - mean) / std).permute(0, 3, 1, 2)
    thin = pixels[:, :, ::5, ::5]
    return {
        "preproc.frames_uint8": frames, "preproc.pixel_values_strided5": thin,
        "preproc.pixel_values_mean": pixels.mean((2, 3)),
    }  # fmt: skip


def _short(w: dict[str, Tensor], s: Sizes, draw: torch.Generator, one: Tensor, two: Tensor) -> dict[str, Tensor]:
    """Return everything of the short path and the variants beside it."""
    pixels = torch.randn(s.frames, 3, s.side, s.side, generator=draw).double()
    towers = [_tower(w, s, frame) for frame in pixels]
    features = torch.stack([states[-1] for states in towers])
    found = {"short.pixel_values": pixels, "vision.features": features}
    found["vision.embeddings"] = torch.stack([states[0] for states in towers])
    for block in range(s.tower_blocks):
        found[f"vision.block_{block}"] = torch.stack([states[block + 1] for states in towers])
    frames = [_compress(w, s, x, one) for x in features]
    for name in frames[0]:
        found[f"short.{name}"] = torch.stack([frame[name] for frame in frames])
    tokens = _tokens(w, s, features, one)
    without = _tokens(w, s, features[:, 1:], one)
    found |= {
        "short.video_tokens": tokens[None], "short_frames_via_long_path.video_tokens": without[None],
        "two_prompts.video_tokens": torch.stack([tokens, _tokens(w, s, features, two)]),
        "delta_cls_seen_by_qformer": (without - tokens).abs().max()[None],
    }  # fmt: skip
    others = torch.randn(7, len(features[0]), s.tower, generator=draw).double()
    found["two_videos.features"] = others
    found["two_videos.video_tokens_0"] = _tokens(w, s, others[:2], one)[None]
    found["two_videos.video_tokens_1"] = _tokens(w, s, others[2:], two)[None]
    found["images.tokens_0"] = _tokens(w, s, others[:1], one)[None]
    found["images.tokens_1"] = torch.stack([_tokens(w, s, others[1:2], q) for q in (two, one)])
    for name, kind in (("compress_grid3", 3), ("compress_nocompress", None)):
        rows = []
        for x in features:
            content = _content(x[1:], s, kind)
            rows.append(torch.cat([_compress(w, s, x, one)["context_token"], _mlp(w, content)]))
        found[f"{name}.video_tokens"] = torch.cat(rows)[None]
    ids = torch.cat([torch.randint(1, s.vocabulary, (6,), generator=draw), torch.tensor([-200]),
                     torch.randint(1, s.vocabulary, (9,), generator=draw)])  # fmt: skip
    table = w["model.embed_tokens.weight"]
    embeds = torch.cat([table[ids[:6]], tokens, table[ids[7:]]])
    return found | _answer(w, s, "short", ids, embeds, 1.0, len(embeds))


def _long(w: dict[str, Tensor], s: Sizes, draw: torch.Generator, one: Tensor) -> dict[str, Tensor]:
    """Return the long path: features without class rows, text between frames, scaled positions."""
    features = torch.randn(s.long_frames, (s.side // s.patch) ** 2, s.tower, generator=draw).double()
    tokens = _tokens(w, s, features, one)
    ids = torch.randint(1, s.vocabulary, (4 + len(tokens) + 5 + 3,), generator=draw)
    ids[4 : 4 + 20] = -200
    ids[4 + 20 + 5 : 4 + 5 + len(tokens)] = -200  # five words stand between the tenth frame and the next
    embeds = w["model.embed_tokens.weight"][ids.clamp(0)]
    embeds[ids == -200] = tokens
    found = _answer(w, s, "long", ids, embeds, s.factor, 24)
    plain = (_language(w, s, embeds, 1.0)[-1] @ w["lm_head.weight"].T)[None, -24:]
    return {
        "long.features": features, "long.video_tokens": tokens[None], **found,
        "long_without_rope_scaling.logits": plain,
    }  # fmt: skip


def _answer(w: dict, s: Sizes, path: str, ids: Tensor, embeds: Tensor, factor: float, last: int) -> dict:
    """Return prompt, states and greedy continuation."""
    states, head, table = _language(w, s, embeds, factor), w["lm_head.weight"].T, w["model.embed_tokens.weight"]
    rows, chosen, longer = [], [], embeds
    for _ in range(s.generated):
        rows.append(_language(w, s, longer, factor)[-1][-1] @ head)
        chosen.append(int(rows[-1].argmax()))
        longer = torch.cat([longer, table[chosen[-1:]]])
    return {
        f"{path}.input_ids": ids[None], f"{path}.attention_mask": torch.ones(1, len(embeds), dtype=torch.long),
        f"{path}.inputs_embeds": embeds[None], f"{path}.logits": (states[-1] @ head)[None, -last:],
        **{f"{path}.lm_hidden_{n}": x[None, -last:] for n, x in enumerate(states)},
        f"{path}.generated_ids": torch.tensor(chosen), f"{path}.generated_logits": torch.stack(rows),
    }  # fmt: skip


def _rope() -> dict[str, Tensor]:
    """Return the 7B table, width 128 and factor 16, made in single precision as the release's."""
    positions = torch.tensor([0, 1, 77, 4095, 4096, 19999])
    exact = 1.0 / 10000.0 ** (torch.arange(0, 128, 2).float() / 128)
    found = {"rope_long.positions": positions, "rope_long.inv_freq_bf16_rounded": exact.bfloat16().float()}
    for name, turns in (("exact", exact), ("bf16_inv_freq", exact.bfloat16().float())):
        angles = torch.outer(positions.float() / 16, turns).repeat(1, 2)
        found |= {f"rope_long.cos_{name}": angles.cos(), f"rope_long.sin_{name}": angles.sin()}
    return found


def _tower(w: dict[str, Tensor], s: Sizes, picture: Tensor) -> list[Tensor]:
    """Return the rows of one frame before each block and behind the last."""
    kernel, rows = w["patch_embed.proj.weight"].flatten(1), [w["cls_token"][0, 0]]
    for top in range(0, s.side, s.patch):
        for left in range(0, s.side, s.patch):
            cut = picture[:, top : top + s.patch, left : left + s.patch]
            rows.append(kernel @ cut.flatten() + w["patch_embed.proj.bias"])
    states = [torch.stack(rows) + w["pos_embed"][0]]
    for block in range(s.tower_blocks):
        x, p = states[-1], f"blocks.{block}."
        q, k, v = (norm(w, p + "norm1", x, 1e-6) @ w[p + "attn.qkv.weight"].T).chunk(3, dim=1)
        q, v = q + w[p + "attn.q_bias"], v + w[p + "attn.v_bias"]
        x = x + linear(w, p + "attn.proj", attend(q, k, v, s.tower_heads, s.tower_heads, False))
        states.append(x + linear(w, p + "mlp.fc2", gelu(linear(w, p + "mlp.fc1", norm(w, p + "norm2", x, 1e-6)))))
    return states


def _compress(w: dict[str, Tensor], s: Sizes, x: Tensor, question: Tensor) -> dict[str, Tensor]:
    """Return every step from one frame's rows (with or without class row) to its two tokens."""
    steps, patches = {"qformer.ln_vision": norm(w, "model.vlm_att_ln", x, 1e-5)}, x[len(x) % 2 :]
    words = w[BERT + "embeddings.word_embeddings.weight"][question]
    words = words + w[BERT + "embeddings.position_embeddings.weight"][: len(question)]
    rows = norm(w, BERT + "embeddings.LayerNorm", torch.cat([w["model.vlm_att_query"][0], words]), 1e-12)
    steps["qformer.embeddings"] = rows
    for layer in range(s.bert_layers):
        p = f"{BERT}encoder.layer.{layer}."
        rows = _bert_attend(w, s, p + "attention.", rows, rows)
        asking, text = rows[: s.queries], rows[s.queries :]
        if layer % 2 == 0:
            asking = _bert_attend(w, s, p + "crossattention.", asking, steps["qformer.ln_vision"])
        rows = torch.cat([_bert_feed(w, p, "_query", asking), _bert_feed(w, p, "", text)])
        steps[f"qformer.layer_{layer}"] = rows
    asked = rows[: s.queries]
    text, keys = linear(w, "model.vlm_att_projector", asked), linear(w, "model.vlm_att_key_projector", patches)
    scores = text @ keys.T / s.tower**0.5
    pooled = (scores.softmax(1) @ patches).mean(0, keepdim=True)
    content = patches.mean(0, keepdim=True)
    return steps | {
        "qformer.query_output": asked, "text_q": text, "vis": patches, "keys": keys, "attn_scores": scores,
        "attn_probs": scores.softmax(1), "context_pre_proj": pooled,
        "context_token": linear(w, "model.vlm_att_val_projector", pooled), "content_pre_proj": content,
        "content_token": _mlp(w, content),
    }  # fmt: skip


def _bert_attend(w: dict[str, Tensor], s: Sizes, p: str, rows: Tensor, other: Tensor) -> Tensor:
    q, k, v = (linear(w, f"{p}self.{n}", x) for n, x in (("query", rows), ("key", other), ("value", other)))
    mixed = linear(w, p + "output.dense", attend(q, k, v, s.bert_heads, s.bert_heads, False))
    return norm(w, p + "output.LayerNorm", rows + mixed, 1e-12)


def _bert_feed(w: dict[str, Tensor], p: str, kind: str, rows: Tensor) -> Tensor:
    inner = gelu(linear(w, f"{p}intermediate{kind}.dense", rows))
    mixed = linear(w, f"{p}output{kind}.dense", inner)
    return norm(w, f"{p}output{kind}.LayerNorm", rows + mixed, 1e-12)


def _content(patches: Tensor, s: Sizes, grid: int | None) -> Tensor:
    """Return pooled squares of patches, or all of them."""
    if grid is None:
        return patches
    side = s.side // s.patch
    step, square = side // grid, patches.view(side, side, -1)
    places = [(i, j) for i in range(0, side, step) for j in range(0, side, step)]
    return torch.stack([square[i : i + step, j : j + step].mean((0, 1)) for i, j in places])


def _mlp(w: dict[str, Tensor], x: Tensor) -> Tensor:
    x = linear(w, "model.mm_projector.0", x)
    return linear(w, "model.mm_projector.4", gelu(linear(w, "model.mm_projector.2", gelu(x))))


def _tokens(w: dict[str, Tensor], s: Sizes, features: Tensor, question: Tensor) -> Tensor:
    """Return [context, content] of each frame."""
    made = [_compress(w, s, x, question) for x in features]
    return torch.cat([torch.cat([frame["context_token"], frame["content_token"]]) for frame in made])


def _language(w: dict[str, Tensor], s: Sizes, x: Tensor, factor: float) -> list[Tensor]:
    """Return the states before each block, and the normed last ones."""
    states, dim = [], s.hidden // s.heads
    turns = torch.arange(len(x)).double()[:, None] / factor * 10000.0 ** (-torch.arange(0, dim, 2).double() / dim)
    for layer in range(s.layers):
        states.append(x)
        p = f"model.layers.{layer}."
        a = rms(w, p + "input_layernorm", x, 1e-5)
        q, k, v = (a @ w[f"{p}self_attn.{n}_proj.weight"].T for n in "qkv")
        mixed = attend(rotate(q, turns, dim), rotate(k, turns, dim), v, s.heads, s.key_heads, True)
        x = x + mixed @ w[p + "self_attn.o_proj.weight"].T
        a = rms(w, p + "post_attention_layernorm", x, 1e-5)
        gate = a @ w[p + "mlp.gate_proj.weight"].T
        x = x + (gate * torch.sigmoid(gate) * (a @ w[p + "mlp.up_proj.weight"].T)) @ w[p + "mlp.down_proj.weight"].T
    return [*states, rms(w, "model.norm", x, 1e-5)]
