"""A VideoChat-Flash written a second time, slowly and plainly, and a reference folder of other sizes made with it.

Shares no code with `baselines`, and calls nothing of `transformers`. In double precision; merging goes token by token.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tests.reference_impl.parts import affine, attend, drawn, gelu, linear, norm, rms, rotate, save

TOWER = "model.vision_tower.vision_tower.encoder."


@dataclass(frozen=True)
class Sizes:
    """Another model: no width, count or grid is the reference's."""

    seed: int = 2
    clips: int = 2
    grid: int = 5
    patch: int = 12
    tower: int = 48
    heads_of_tower: int = 3  # of 16 channels, over which merging averages too
    blocks: int = 2
    hidden: int = 60
    intermediate: int = 44
    layers: int = 5
    heads: int = 6
    key_heads: int = 3
    vocabulary: int = 111
    theta: float = 3000.0
    before: int = 4
    after: int = 7
    generated: int = 3
    variants: tuple[tuple[str, str, tuple[int, ...], tuple[float, ...]], ...] = (
        ("attention", "attention", (1, 3), (1.0, 0.7, 0.3)),
        ("mixed", "uniform0_attention", (2, 4), (1.0, 0.6, 0.2)),
        ("even", "uniform", (2,), (1.0, 0.45)),
    )

    @property
    def side(self) -> int:
        """Pixels along an edge."""
        return self.grid * self.patch


def write_folder(folder: Path, s: Sizes) -> None:
    """Write checkpoint, golden.safetensors and golden_meta.json; no layout and no memory analysis."""
    draw = torch.Generator().manual_seed(s.seed)
    w = {name: tensor.double() for name, tensor in _weights(s, draw).items()}
    golden, meta = _seen(w, s, draw)
    merged = golden["video.merged"]
    ids = torch.randint(3, s.vocabulary, (s.before + 1 + s.after,), generator=draw)
    ids[s.before] = -200
    table, visual = w["model.embed_tokens.weight"], golden["video.projected"].flatten(0, 1)
    embeds = torch.cat([table[ids[: s.before]], visual, table[ids[s.before + 1 :]]])
    golden |= {"lm.input_ids": ids[None], "lm.inputs_embeds": embeds[None]}
    for name, kind, stops, ratios in (("none", "", (), (1.0,)), *s.variants):
        found, told = _variant(w, s, embeds, len(visual), kind, stops, ratios)
        golden |= {f"{name}.{part}": tensor for part, tensor in found.items()}
        meta |= {f"{name}.{part}": value for part, value in told.items()}
        if stops:
            meta[f"{name}.config"] = {
                "llm_compress_type": kind, "llm_compress_layer_list": stops, "llm_image_token_ratio_list": ratios,
            }  # fmt: skip
    cut = _language(w, s, embeds[:50], 0, "", (), (1.0,))[0][-1:]
    golden["truncated.logits_last"] = cut @ w["lm_head.weight"].T
    meta |= {
        "truncated.length": 50, "visual_tokens": len(visual), "prefix_tokens": s.before, "suffix_tokens": s.after,
        "frames": 4 * s.clips, "clips": s.clips, "image_token_index": -200, "vision_blocks_run": s.blocks,
        "encode_video_image_output_shape": list(merged.shape), "stop_string": "<|im_end|>",
        "prompt": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<image>\nTIME_MESSAGE "
        "QUESTION<|im_end|>\n<|im_start|>assistant\n",
    }  # fmt: skip
    (folder / "tiny_checkpoint").mkdir(parents=True)
    save(folder / "tiny_checkpoint" / "model.safetensors", w)
    save(folder / "golden.safetensors", golden)
    (folder / "golden_meta.json").write_text(json.dumps(meta))
    (folder / "tiny_checkpoint" / "config.json").write_text(json.dumps(_config(s)))


def _seen(w: dict[str, Tensor], s: Sizes, draw: torch.Generator) -> tuple[dict[str, Tensor], dict]:
    """Return every stage from frames to projected tokens."""
    frames = torch.randint(0, 256, (4 * s.clips, s.side, s.side, 3), generator=draw, dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = ((frames.double() / 255 - mean) / std).permute(0, 3, 1, 2)
    clips = pixels.view(s.clips, 4, 3, s.side, s.side)
    towers = [_tower(w, s, clip) for clip in clips]
    features = torch.stack([stages[-1] for stages in towers])
    found = {
        "video.frames_uint8": frames, "vision.features": features, "vision.pos_embed": _positions(4, s)[None],
        "video.pixel_values_checksum": torch.stack([pixels.mean((1, 2, 3)), pixels.flatten(1).std(1)]),
        "vision.img_pos_embed": _positions(1, s)[None], "vision.patch_embed_clip0": towers[0][0][None],
        "vision.embeddings_clip0": towers[0][1][None],
        "vision.single_image_features": _tower(w, s, clips[0, :1])[-1][None],
        **{f"vision.block_{n}_clip0": x[None] for n, x in enumerate(towers[0][2:-1])},
    }  # fmt: skip
    steps = [_merge(x, 64, s.heads_of_tower) for x in features]
    counts = [step[3] for step in steps[0]]
    for number in range(len(counts)):
        found[f"video.size_after_step{number}"] = torch.stack([one[number][1] for one in steps])
    found["video.step0_order"] = torch.tensor([one[0][2][0] for one in steps])
    found["video.step0_best_dst"] = torch.tensor([one[0][2][1] for one in steps])
    merged = torch.stack([one[-1][0] for one in steps])
    inner = gelu(linear(w, "model.mm_projector.mlp.0", merged))
    found |= {"video.merged": merged, "video.projected": linear(w, "model.mm_projector.mlp.2", inner)}
    return found, {"video.r_list": counts}


def _merge(x: Tensor, target: int, heads: int) -> list[tuple[Tensor, Tensor, tuple[list[int], list[int]], int]]:
    """Return tokens, sizes, (order, choices) and the count of each merge, token by token."""
    tokens, sizes, steps = list(x), [1.0] * len(x), []
    while len(tokens) > target:
        count = min(len(tokens) - target, len(tokens) // 2)
        likes = [token.view(heads, -1).mean(0) for token in tokens]
        likes = [like / like.norm() for like in likes]
        evens, odds = range(0, len(tokens), 2), range(1, len(tokens), 2)
        table = [[float(likes[a] @ likes[b]) for b in odds] for a in evens]
        choice = [max(range(len(row)), key=row.__getitem__) for row in table]
        order = sorted(range(len(table)), key=lambda a: -table[a][choice[a]])
        sums, weights = [tokens[b] * sizes[b] for b in odds], [sizes[b] for b in odds]
        for a in order[:count]:
            sums[choice[a]] = sums[choice[a]] + tokens[2 * a] * sizes[2 * a]
            weights[choice[a]] += sizes[2 * a]
        left = [2 * a for a in order[count:]]
        tokens = [tokens[a] for a in left] + [one / weight for one, weight in zip(sums, weights, strict=True)]
        sizes = [sizes[a] for a in left] + weights
        steps.append((torch.stack(tokens), torch.tensor(sizes), (order, choice), count))
    return steps


def _positions(frames: int, s: Sizes) -> Tensor:
    """Return the fixed table; other grids than 14 x 14 are resized from it (bicubic, by torch)."""
    table = torch.zeros(frames * 196, s.tower).double()
    for j in range(s.tower):
        angle = torch.arange(frames * 196).double() / 10000 ** (2 * (j // 2) / s.tower)
        table[:, j] = angle.cos() if j % 2 else angle.sin()
    maps = table.view(frames, 14, 14, s.tower).permute(0, 3, 1, 2)
    small = torch.nn.functional.interpolate(maps, size=(s.grid, s.grid), mode="bicubic", align_corners=False)
    return small.permute(0, 2, 3, 1).flatten(0, 2)


def _tower(w: dict[str, Tensor], s: Sizes, clip: Tensor) -> list[Tensor]:
    """Return patches, patches with positions, the states behind each block, and the normed last ones."""
    kernel, rows = w[TOWER + "patch_embed.proj.weight"].flatten(1), []
    for picture in clip:
        for top in range(0, s.side, s.patch):
            for left in range(0, s.side, s.patch):
                cut = picture[:, top : top + s.patch, left : left + s.patch]
                rows.append(kernel @ cut.flatten() + w[TOWER + "patch_embed.proj.bias"])
    states = [torch.stack(rows)]
    states.append(states[0] + _positions(len(clip), s))
    for block in range(s.blocks):
        x, p = states[-1], f"{TOWER}blocks.{block}."
        q, k, v = (norm(w, p + "norm1", x, 1e-6) @ w[p + "attn.qkv.weight"].T).chunk(3, dim=1)
        q, v = q + w[p + "attn.q_bias"], v + w[p + "attn.v_bias"]
        x = x + linear(w, p + "attn.proj", attend(q, k, v, s.heads_of_tower, s.heads_of_tower, False))
        states.append(x + linear(w, p + "mlp.fc2", gelu(linear(w, p + "mlp.fc1", norm(w, p + "norm2", x, 1e-6)))))
    return [*states, norm(w, TOWER + "vision_layernorm", states[-1], 1e-12)]


def _variant(
    w: dict[str, Tensor], s: Sizes, embeds: Tensor, visual: int, kind: str, stops: tuple, ratios: tuple
) -> tuple[dict[str, Tensor], dict]:
    """Return what is recorded of one way of dropping tokens."""
    states, caches, kept, scores, places = _language(w, s, embeds, visual, kind, stops, ratios)
    head, table = w["lm_head.weight"].T, w["model.embed_tokens.weight"]
    lengths = [len(keys) for keys, _ in caches]
    rows, chosen, place = [states[-1] @ head], [], list(places)
    for _ in range(s.generated - 1):
        chosen.append(int(rows[-1].argmax()))
        x = table[chosen[-1:]]
        for layer in range(s.layers):
            x, caches[layer] = _layer(w, s, layer, x, caches[layer], torch.tensor([place[layer]]))
        place = [one + 1 for one in place]
        rows.append(rms(w, "model.norm", x)[0] @ head)
    chosen.append(int(rows[-1].argmax()))
    found = {
        "logits": (states @ head)[None, -5:], "last_hidden": states[None, -6:],
        "generated_ids": torch.tensor(chosen), "generated_logits": torch.stack(rows),
        **{f"stage{n}_kept_visual": torch.tensor(x) for n, x in enumerate(kept)},
        **{f"stage{n}_scores": x for n, x in enumerate(scores) if x is not None},
    }  # fmt: skip
    return found, {"kv_lengths": lengths, "seq_len_final": lengths[-1]}


def _language(
    w: dict[str, Tensor], s: Sizes, x: Tensor, visual: int, kind: str, stops: tuple, ratios: tuple
) -> tuple[Tensor, list[tuple[Tensor, Tensor]], list[list[int]], list[Tensor | None], list[int]]:
    """Return normed states, each layer's cache, what each stop kept and why, and each layer's next position."""
    uniform = {"uniform": len(stops), "uniform0_attention": 1, "uniform1_attention": 2}.get(kind, 0)
    left, first, caches, kept, scores, places = list(range(visual)), s.before, [], [], [], []
    for layer in range(s.layers):
        if layer in stops:
            stop = stops.index(layer)
            keep, weights = int(visual * ratios[stop + 1]), None
            if stop < uniform:
                step = (len(left) - 1) / (keep - 1)
                chosen = [int(step * i) for i in range(keep)]
                chosen[-1] = len(left) - 1
            else:
                weights = _attention(w, s, layer, x)[first : first + len(left)]
                chosen = sorted(sorted(range(len(left)), key=lambda i: -float(weights[i]))[:keep])
            x = torch.cat([x[:first], x[[first + i for i in chosen]], x[first + len(left) :]])
            left = [left[i] for i in chosen]
            kept.append(left)
            scores.append(weights)
        empty = torch.zeros(0, s.hidden // s.heads * s.key_heads).double()
        x, cache = _layer(w, s, layer, x, (empty, empty), torch.arange(len(x)))
        caches.append(cache)
        places.append(len(x))
    return rms(w, "model.norm", x), caches, kept, scores, places


def _heads(w: dict[str, Tensor], s: Sizes, layer: int, x: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return turned queries, turned keys and values."""
    p, dim = f"model.layers.{layer}.", s.hidden // s.heads
    turns = places.double()[:, None] * s.theta ** (-torch.arange(0, dim, 2).double() / dim)
    a = rms(w, p + "input_layernorm", x)
    q, k, v = (linear(w, f"{p}self_attn.{n}_proj", a) for n in "qkv")
    return rotate(q, turns, dim), rotate(k, turns, dim), v


def _attention(w: dict[str, Tensor], s: Sizes, layer: int, x: Tensor) -> Tensor:
    """Return how much the last token attends to each, averaged over heads."""
    q, k, _ = _heads(w, s, layer, x, torch.arange(len(x)))
    dim, rows = s.hidden // s.heads, []
    for head in range(s.heads):
        group = head // (s.heads // s.key_heads)
        one, other = q[-1, head * dim : (head + 1) * dim], k[:, group * dim : (group + 1) * dim]
        rows.append((other @ one / math.sqrt(dim)).softmax(0))
    return torch.stack(rows).mean(0)


def _layer(
    w: dict[str, Tensor], s: Sizes, layer: int, x: Tensor, cache: tuple[Tensor, Tensor], places: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run one layer over a whole prompt, or over one token behind it."""
    p, (q, k, v) = f"model.layers.{layer}.", _heads(w, s, layer, x, places)
    k, v = torch.cat([cache[0], k]), torch.cat([cache[1], v])
    x = x + attend(q, k, v, s.heads, s.key_heads, len(q) == len(k)) @ w[p + "self_attn.o_proj.weight"].T
    a = rms(w, p + "post_attention_layernorm", x)
    gate = a @ w[p + "mlp.gate_proj.weight"].T
    x = x + (gate * torch.sigmoid(gate) * (a @ w[p + "mlp.up_proj.weight"].T)) @ w[p + "mlp.down_proj.weight"].T
    return x, (k, v)


def _weights(s: Sizes, draw: torch.Generator) -> dict[str, Tensor]:
    """Draw every tensor of the official layout."""
    keys = s.hidden // s.heads * s.key_heads
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (s.vocabulary, s.hidden), "lm_head.weight": (s.vocabulary, s.hidden),
        "model.norm.weight": (s.hidden,), TOWER + "patch_embed.proj.weight": (s.tower, 3, 1, s.patch, s.patch),
        TOWER + "patch_embed.proj.bias": (s.tower,),
    }  # fmt: skip
    norms = [TOWER + "vision_layernorm"]
    shapes |= affine("model.mm_projector.mlp.0", s.hidden, s.tower)
    shapes |= affine("model.mm_projector.mlp.2", s.hidden, s.hidden)
    for block in range(s.blocks):
        p = f"{TOWER}blocks.{block}."
        norms += [p + "norm1", p + "norm2"]
        shapes |= {p + "attn.qkv.weight": (3 * s.tower, s.tower)}
        shapes |= {p + "attn.q_bias": (s.tower,), p + "attn.v_bias": (s.tower,)}
        shapes |= affine(p + "attn.proj", s.tower, s.tower) | affine(p + "mlp.fc1", 3 * s.tower, s.tower)
        shapes |= affine(p + "mlp.fc2", s.tower, 3 * s.tower)
    shapes |= {f"{name}.{part}": (s.tower,) for name in norms for part in ("weight", "bias")}
    for layer in range(s.layers):
        p = f"model.layers.{layer}."
        shapes |= {f"{p}{n}_layernorm.weight": (s.hidden,) for n in ("input", "post_attention")}
        for n, out in (("q", s.hidden), ("k", keys), ("v", keys)):
            shapes |= affine(f"{p}self_attn.{n}_proj", out, s.hidden)
        shapes[p + "self_attn.o_proj.weight"] = (s.hidden, s.hidden)
        shapes |= {f"{p}mlp.{n}_proj.weight": (s.intermediate, s.hidden) for n in ("gate", "up")}
        shapes[p + "mlp.down_proj.weight"] = (s.hidden, s.intermediate)
    return drawn(shapes, draw)


def _config(s: Sizes) -> dict:
    tower = {
        "image_size": s.side, "patch_size": s.patch, "embed_dim": s.tower, "depth": s.blocks + 1,
        "num_heads": s.heads_of_tower, "num_frames": 4, "mlp_ratio": 3.0,
    }  # fmt: skip
    return {
        "hidden_size": s.hidden, "num_hidden_layers": s.layers, "num_attention_heads": s.heads,
        "num_key_value_heads": s.key_heads, "intermediate_size": s.intermediate, "vocab_size": s.vocabulary,
        "rms_norm_eps": 1e-6, "rope_theta": s.theta, "max_position_embeddings": 600, "eos_token_id": 2,
        "mm_vision_tower": "umt-hd-large", "mm_hidden_size": s.tower, "mm_projector_type": "tome16_mlp_hd64",
        "mm_vision_select_layer": -2, "tiny_vision": tower,
    }  # fmt: skip
