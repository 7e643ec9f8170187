"""A released ViLaMP written a second time, slowly and plainly, as the oracle of the fast one.

Shares no code with `vilamp` or `transformers`: loops and matrices out of a dictionary of tensors with the
official names.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.reference_impl.parts import attend, cosine, gelu, linear, norm, quick_gelu, rms, rotate, tanh_gelu


@dataclass(frozen=True)
class Sizes:
    """Another model: no width, count or grid is the reference's; its tau is larger."""

    seed: int = 11
    frames: int = 67
    keyframes: int = 5
    side: int = 29  # 5 x 5 patches of 5 pixels, 4 left over
    patch: int = 5
    vision: tuple = (24, 40, 3, 3)  # width, mlp, blocks, heads
    clip_side: int = 18
    clip_patch: int = 6
    clip_vision: tuple = (20, 28, 3, 2)
    clip_text: tuple = (16, 24, 2, 2)
    clip_vocabulary: int = 61
    clip_positions: int = 15
    clip_width: int = 12
    language: tuple = (48, 80, 3, 6)
    key_heads: int = 3
    vocabulary: int = 210
    theta: float = 5000.0
    threshold: float = 0.9


def record(w: dict[str, Tensor], inputs: dict[str, Tensor], sizes: Sizes, limit: int) -> tuple[dict, dict]:
    """Compute everything; return tensors and what runs.json says."""
    count = len(inputs["siglip_pixel_values"])
    e = torch.stack([_clip_image(w, pixels, sizes) for pixels in inputs["clip_pixel_values"]])
    q = _clip_text(w, inputs["clip_input_ids"][0], sizes)
    greedy, kept = _select(e, q, limit, sizes.threshold)
    states = [_siglip(w, pixels, sizes) for pixels in inputs["siglip_pixel_values"]]
    v = torch.stack([s[-1] for s in states])
    x = linear(w, "model.mm_projector.2", gelu(linear(w, "model.mm_projector.0", v)))
    c = "model.composer_projector."
    merged, pooled, anchor_of = [], [], []
    for n in range(count):
        before = [j for j, s in enumerate(kept) if s <= n]
        anchor_of.append(before[-1] if before else n)
        r = cosine(linear(w, c + "linear_iq", x[n]), linear(w, c + "linear_q", q))
        t = cosine(linear(w, c + "linear_ik", x[n]), linear(w, c + "linear_k", x[anchor_of[n]]))
        weights = (((r - t) / w[c + "tau"]).exp() / ((r - t) / w[c + "tau"]).exp().sum())[:, None]
        merged.append((weights * x[n]).sum(0))
        pooled.append(_halve(x[n]))
    visual = torch.cat([pooled[n] if n in kept else merged[n][None] for n in range(count)])
    ids = inputs["input_ids"][0].tolist()
    table, at = w["model.embed_tokens.weight"], ids.index(-200)
    whole = torch.cat([table[ids[:at]], visual, w["model.image_newline"][None], table[ids[at + 1 :]]])
    layers = _language(w, whole, sizes)
    generated, longer = [], whole
    for _ in range(5):
        generated.append(int((_language(w, longer, sizes)[-1][-1] @ w["lm_head.weight"].T).argmax()))
        longer = torch.cat([longer, table[generated[-1:]]])
    tensors = {
        "clip_image_embeds": e, "clip_text_embeds": q[None], "vision_hidden_frame0": torch.stack(states[0]),
        "vision_features": v, "projected_patches": x, "anchor_frame_index": torch.tensor(anchor_of),
        "merged_tokens": torch.stack(merged), "keyframe_tokens": torch.stack([pooled[n] for n in kept]),
        "inputs_embeds": whole, "lm_hidden_states": torch.stack(layers), "logits": layers[-1] @ w["lm_head.weight"].T,
        "generated_ids": torch.tensor(generated),
    }  # fmt: skip
    about = {"greedy_keyframes": greedy, "keyframes": kept, "sequence_length": len(whole), "generated": generated}
    return {name: tensor.contiguous() for name, tensor in tensors.items()}, about


def _select(e: Tensor, q: Tensor, limit: int, threshold: float) -> tuple[list[int], list[int]]:
    """Visit frames by falling cosine, block what is like a kept one; then fill gaps."""
    count = len(e)
    relevance = [float(cosine(e[n], q)) for n in range(count)]
    greedy: list[int] = []
    for n in sorted(range(count), key=lambda n: -relevance[n]):
        if len(greedy) < limit and all(float(cosine(e[n], e[k])) <= threshold for k in greedy):
            greedy.append(n)
    return sorted(greedy), slow_gaps(greedy, count, limit)


def slow_gaps(greedy: list[int], count: int, limit: int) -> list[int]:
    """Fill gaps as the reference's page words it."""
    kept, limit = set(greedy), min(limit, count)
    runs, run = [], []
    for n in range(count):
        if n in kept:
            runs, run = [*runs, run] if run else runs, []
        else:
            run = [*run, n]
    runs = [*runs, run] if run else runs
    budget, spacing = limit - len(kept), 1
    while sum(math.ceil(len(r) / spacing) - 1 for r in runs) > budget:
        spacing += 1
    for r in runs:
        points = math.ceil(len(r) / spacing) - 1
        for j in range(1, points + 1):
            kept.add(r[min(j * math.ceil(len(r) / (points + 1)), len(r) - 1)])
    for r in reversed(runs):
        for n in reversed(r):
            if len(kept) < limit:
                kept.add(n)
    return sorted(kept)


def _halve(x: Tensor) -> Tensor:
    """Resize a square grid to half its side, rounded up: bilinear, half-pixel centres, by hand."""
    side = math.isqrt(len(x))
    half = math.ceil(side / 2)
    grid, rows = x.view(side, side, -1), []
    for i in range(half):
        for j in range(half):
            mixed = torch.zeros(x.shape[1])
            for row, by_row in _taps(i, side, half):
                for column, by_column in _taps(j, side, half):
                    mixed = mixed + by_row * by_column * grid[row, column]
            rows.append(mixed)
    return torch.stack(rows)


def _taps(place: int, side: int, half: int) -> list[tuple[int, float]]:
    centre = max(0.0, (place + 0.5) * side / half - 0.5)
    low = int(centre)
    return [(low, 1 - (centre - low)), (min(low + 1, side - 1), centre - low)]


def _siglip(w: dict[str, Tensor], pixels: Tensor, s: Sizes) -> list[Tensor]:
    p = "model.vision_tower.vision_tower.vision_model."
    states = [_patches(w, p, pixels, s.patch) + w[p + "embeddings.position_embedding.weight"]]
    for layer in range(s.vision[2]):
        states.append(_block(w, f"{p}encoder.layers.{layer}.", states[-1], s.vision[3], 1e-6, tanh_gelu, False))
    return states


def _clip_image(w: dict[str, Tensor], pixels: Tensor, s: Sizes) -> Tensor:
    p = "model.frame_selector.model.vision_model."
    patches = _patches(w, p, pixels, s.clip_patch)
    x = torch.cat([w[p + "embeddings.class_embedding"][None], patches])
    x = norm(w, p + "pre_layrnorm", x + w[p + "embeddings.position_embedding.weight"], 1e-5)
    for layer in range(s.clip_vision[2]):
        x = _block(w, f"{p}encoder.layers.{layer}.", x, s.clip_vision[3], 1e-5, quick_gelu, False)
    return w["model.frame_selector.model.visual_projection.weight"] @ norm(w, p + "post_layernorm", x[0], 1e-5)


def _clip_text(w: dict[str, Tensor], ids: Tensor, s: Sizes) -> Tensor:
    p = "model.frame_selector.model.text_model."
    x = w[p + "embeddings.token_embedding.weight"][ids] + w[p + "embeddings.position_embedding.weight"][: len(ids)]
    for layer in range(s.clip_text[2]):
        x = _block(w, f"{p}encoder.layers.{layer}.", x, s.clip_text[3], 1e-5, quick_gelu, True)
    return w["model.frame_selector.model.text_projection.weight"] @ norm(
        w, p + "final_layer_norm", x[int(ids.argmax())], 1e-5
    )


def _patches(w: dict[str, Tensor], p: str, pixels: Tensor, patch: int) -> Tensor:
    kernel = w[p + "embeddings.patch_embedding.weight"].flatten(1)
    grid, rows = pixels.shape[1] // patch, []
    for i in range(grid):
        for j in range(grid):
            cut = pixels[:, i * patch : (i + 1) * patch, j * patch : (j + 1) * patch]
            rows.append(kernel @ cut.flatten())
    return torch.stack(rows) + w.get(p + "embeddings.patch_embedding.bias", torch.zeros(len(kernel)))


def _block(w, p, x, heads, eps, activation, causal):
    a = norm(w, p + "layer_norm1", x, eps)
    q, k, v = (linear(w, f"{p}self_attn.{n}_proj", a) for n in "qkv")
    x = x + linear(w, p + "self_attn.out_proj", attend(q, k, v, heads, heads, causal))
    hidden = activation(linear(w, p + "mlp.fc1", norm(w, p + "layer_norm2", x, eps)))
    return x + linear(w, p + "mlp.fc2", hidden)


def _language(w: dict[str, Tensor], x: Tensor, s: Sizes) -> list[Tensor]:
    """Return the states before each block, and the normed last ones."""
    states, (width, _, blocks, heads) = [], s.language
    dim = width // heads
    turns = torch.arange(len(x))[:, None] * s.theta ** (-torch.arange(0, dim, 2) / dim)
    for layer in range(blocks):
        states.append(x)
        p = f"model.layers.{layer}."
        a = rms(w, p + "input_layernorm", x)
        q, k, v = (linear(w, f"{p}self_attn.{n}_proj", a) for n in "qkv")
        q, k = rotate(q, turns, dim), rotate(k, turns, dim)
        x = x + attend(q, k, v, heads, s.key_heads, True) @ w[p + "self_attn.o_proj.weight"].T
        a = rms(w, p + "post_attention_layernorm", x)
        gate, up = a @ w[p + "mlp.gate_proj.weight"].T, a @ w[p + "mlp.up_proj.weight"].T
        x = x + (gate * torch.sigmoid(gate) * up) @ w[p + "mlp.down_proj.weight"].T
    return [*states, rms(w, "model.norm", x)]
