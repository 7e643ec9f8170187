"""A Video-XL written a second time, slowly and plainly, and a reference folder of other sizes made with it.

Shares no code with `baselines`: keys are kept unrotated and the whole cache is rotated anew at every step,
as the release's page words it. In double precision.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tests.reference_impl.parts import affine, attend, drawn, gelu, linear, norm, quick_gelu, rms, rotate, save

TOWER = "model.vision_tower.vision_tower.vision_model."


@dataclass(frozen=True)
class Sizes:
    """Another model: no width, count, window or grid is the reference's."""

    seed: int = 5
    hidden: int = 48
    intermediate: int = 40
    layers: int = 2
    heads: int = 6
    key_heads: int = 6  # as many as heads
    head: int = 10  # not hidden / heads
    vocabulary: int = 190
    theta: float = 500.0
    window: int = 30
    tower: int = 20
    tower_mlp: int = 28
    tower_layers: int = 3
    tower_heads: int = 2
    side: int = 45  # 6 x 6 patches of 7 pixels and 3 left over
    patch: int = 7
    pool: int = 3
    select: int = -1
    activation: str = "gelu"
    cases: tuple[tuple[str, tuple[int, ...], int, int], ...] = (
        ("r3", (3, 3, 3), 66, 7),  # name, ratios, visual tokens, suffix
        ("carry", (4, 4, 4), 66, 7),
        ("mixed", (5, 2), 60, 7),
        ("long", (6,), 30, 64),  # three chunks of text
    )


def write_folder(folder: Path, s: Sizes) -> None:
    """Write checkpoint and golden files; no layout, facts or manifest."""
    draw = torch.Generator().manual_seed(s.seed)
    w = {name: tensor.double() for name, tensor in _weights(s, draw).items()}
    ids = torch.randint(0, s.vocabulary, (72,), generator=draw)
    features = torch.randn(66, s.hidden, generator=draw)
    golden = {"inputs.prefix_ids": ids[:5], "inputs.suffix_ids": ids[5:], "inputs.visual_features": features}
    for name, ratios, visual, suffix in s.cases:
        made = _case(w, s, ids[:5], features[:visual].double(), ids[5 : 5 + suffix], ratios, 6)
        golden |= {f"{name}.{part}": tensor for part, tensor in made.items()}
    frames = torch.randint(0, 256, (9, s.side, s.side + 9, 3), generator=draw, dtype=torch.uint8)
    (folder / "checkpoint").mkdir(parents=True)
    save(folder / "checkpoint" / "model.safetensors", w)
    save(folder / "golden_lm.safetensors", golden)
    save(folder / "golden_train.safetensors", _training(w, s, ids, features.double()))
    save(folder / "golden_vision_e2e.safetensors", _seen(w, s, ids, frames))
    _configs(folder / "checkpoint", s)


def _case(w: dict, s: Sizes, prefix: Tensor, visual: Tensor, suffix: Tensor, ratios: tuple, new: int) -> dict:
    """Return what a golden file has of one prompt."""
    run = _Run(w, s)
    run.read(prefix, visual, suffix, ratios)
    logits, prefill = run.states[-1] @ w["lm_head.weight"].T, [(k.clone(), v.clone()) for k, v in run.cache]
    rows, generated = [logits[-1]], []
    for _ in range(new):
        generated.append(int(rows[-1].argmax()))
        rows.append(run.step(w["model.embed_tokens.weight"][generated[-1:]], [], True)[-1] @ w["lm_head.weight"].T)
    found = {
        "steps": torch.tensor(run.steps), "beacon_mask": torch.tensor(run.mask, dtype=torch.uint8),
        "position_ids": torch.tensor(run.positions), "logits": logits, "greedy_ids": torch.tensor(generated),
        "decode_logits": torch.stack(rows[:new]), "hidden": torch.cat(run.states[: len(run.steps)]),
    }  # fmt: skip
    for layer, (keys, values) in enumerate(prefill):
        for name, part in (("key", keys), ("value", values)):
            found[f"kv.{layer}.{name}"] = part.view(len(part), s.key_heads, s.head).transpose(0, 1)
    return found


class _Run:
    """One prompt, a step at a time."""

    def __init__(self, w: dict[str, Tensor], s: Sizes) -> None:
        self.w, self.s = w, s
        empty = torch.zeros(0, s.key_heads * s.head).double()
        self.cache = [(empty, empty)] * s.layers  # unrotated keys, values
        self.states: list[Tensor] = []
        self.steps: list[list[int]] = []
        self.mask: list[int] = []
        self.positions: list[int] = []

    def read(self, prefix: Tensor, visual: Tensor, suffix: Tensor, ratios: tuple[int, ...]) -> None:
        """Read prefix, windows and suffix."""
        w, s, table, place, carry = self.w, self.s, self.w["model.embed_tokens.weight"], len(prefix), 0
        self._note(0, len(prefix), 0, table[prefix], [])
        for number, ratio in enumerate(ratios[: -(-len(visual) // s.window)]):
            raw = visual[number * s.window : (number + 1) * s.window]
            mixed, beacons, since = [], [], carry
            for row in raw:
                mixed.append(row)
                since += 1
                if since == ratio:
                    beacons.append(len(mixed))
                    mixed.append(w["model.beacon_embed_tokens.weight"][0])
                    since = 0
            carry = since
            self._note(place, place + len(raw), ratio, torch.stack(mixed), beacons)
            place += len(raw)
        for start in range(0, len(suffix), s.window):
            part = suffix[start : start + s.window]
            self._note(place, place + len(part), 0, table[part], [])
            place += len(part)

    def _note(self, start: int, stop: int, ratio: int, x: Tensor, beacons: list[int]) -> None:
        held = [len(self.cache[0][0])]
        self.mask += [int(i in beacons) for i in range(len(x))]
        self.positions += range(held[0], held[0] + len(x))
        self.step(x, beacons, not ratio)
        before = self.steps[-1][6:] if self.steps else [0, 0, 0]
        first = not self.steps
        grown = [before[0] + (len(x) if first else 0), before[1] + len(beacons)]
        grown.append(before[2] + (0 if first or ratio else len(x)))
        self.steps.append([start, stop, ratio, len(x), len(beacons), held[0], *grown])

    def step(self, x: Tensor, beacons: list[int], keep_all: bool) -> Tensor:
        """Run the layers over one step and keep of it what stays."""
        w, s = self.w, self.s
        turns = s.theta ** (-torch.arange(0, s.head, 2).double() / s.head)
        here = torch.tensor([i in beacons for i in range(len(x))])
        for layer in range(s.layers):
            p, (old_keys, old_values) = f"model.layers.{layer}.", self.cache[layer]
            a = rms(w, p + "input_layernorm", x)
            q, k, v = (
                torch.where(here[:, None], linear(w, f"{p}self_attn.beacon_{n}_proj", a),
                            linear(w, f"{p}self_attn.{n}_proj", a)) for n in "qkv"
            )  # fmt: skip
            keys, values = torch.cat([old_keys, k]), torch.cat([old_values, v])
            angles = torch.arange(len(keys)).double()[:, None] * turns
            rotated, before = rotate(keys, angles, s.head), len(old_keys)
            rows = []
            for i, query in enumerate(rotate(q, angles[before:], s.head)):  # each sees what is before it, and itself
                seen = before + i + 1
                rows.append(attend(query[None], rotated[:seen], values[:seen], s.heads, s.key_heads, False))
            x = x + torch.cat(rows) @ w[p + "self_attn.o_proj.weight"].T
            a = rms(w, p + "post_attention_layernorm", x)
            gate = a @ w[p + "mlp.gate_proj.weight"].T
            x = x + (gate * torch.sigmoid(gate) * (a @ w[p + "mlp.up_proj.weight"].T)) @ w[p + "mlp.down_proj.weight"].T
            stays = slice(None) if keep_all else beacons
            self.cache[layer] = torch.cat([old_keys, k[stays]]), torch.cat([old_values, v[stays]])
        self.states.append(rms(w, "model.norm", x))
        return self.states[-1]


def _training(w: dict[str, Tensor], s: Sizes, ids: Tensor, features: Tensor) -> dict[str, Tensor]:
    """Return the loss of a labelled suffix and its gradients."""
    names = [name for name in w if "beacon" in name] + ["model.layers.0.self_attn.k_proj.weight", "model.norm.weight"]
    w = {name: tensor.clone().requires_grad_(name in names) for name, tensor in w.items()}
    visual, run = features[:60].clone().requires_grad_(), _Run(w, s)
    run.read(ids[:5], visual, ids[5:12], (3, 5))
    labels = torch.full((13,), -100)
    labels[2], labels[9:] = ids[2], ids[8:12]  # one of the prefix, the last four of the suffix
    wanted = {1: ids[2], **{65 + i: ids[5 + i + 1] for i in range(2, 6)}}  # place of a raw token -> what follows it
    raw = torch.cat([
        states[[not m for m in run.mask[start : start + len(states)]]]
        for states, start in zip(run.states, [sum(len(x) for x in run.states[:n]) for n in range(len(run.states))],
                                 strict=True)
    ])  # fmt: skip
    logits = raw @ w["lm_head.weight"].T
    losses = [-logits[place].log_softmax(0)[int(token)] for place, token in wanted.items()]
    loss = torch.stack(losses).mean()
    loss.backward()
    grads = {f"grad.{name}": w[name].grad for name in names} | {"grad.visual_features": visual.grad}
    return {"steps": torch.tensor(run.steps), "labels_unexpanded": labels, "loss": loss.detach()[None], **grads}


def _seen(w: dict[str, Tensor], s: Sizes, ids: Tensor, frames: Tensor) -> dict[str, Tensor]:
    """Return every stage from frames to an answer; frames are as high as the tower, and 9 pixels wider."""
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    pixels = ((frames[:, :, 4 : 4 + s.side].double() / 255 - mean) / std).permute(0, 3, 1, 2)
    selected = torch.stack([_tower(w, s, picture) for picture in pixels])
    projected = linear(w, "model.mm_projector.2", gelu(linear(w, "model.mm_projector.0", selected)))
    grid, small = s.side // s.patch, s.side // s.patch // s.pool
    square = projected.view(len(frames), grid, grid, -1)[:, : small * s.pool, : small * s.pool]
    pooled = square.reshape(len(frames), small, s.pool, small, s.pool, -1).mean((2, 4)).flatten(1, 2)
    made = _case(w, s, ids[:5], pooled.flatten(0, 1), ids[5:12], (3, 3, 3), 6)
    kept = {name: made[name] for name in ("steps", "logits", "greedy_ids")}
    stages = {"pixel_values": pixels, "clip_selected": selected, "projected": projected, "pooled": pooled}
    return {"frames_uint8": frames, **stages, **kept}


def _tower(w: dict[str, Tensor], s: Sizes, picture: Tensor) -> Tensor:
    """Return the patches of one frame at the selected layer."""
    kernel, grid = w[TOWER + "embeddings.patch_embedding.weight"].flatten(1), s.side // s.patch
    rows = [w[TOWER + "embeddings.class_embedding"]]
    for i in range(grid):
        for j in range(grid):
            cut = picture[:, i * s.patch : (i + 1) * s.patch, j * s.patch : (j + 1) * s.patch]
            rows.append(kernel @ cut.flatten())
    x = torch.stack(rows) + w[TOWER + "embeddings.position_embedding.weight"]
    x = norm(w, TOWER + "pre_layrnorm", x, 1e-5)
    for layer in range(s.tower_layers + 1 + s.select):
        p = f"{TOWER}encoder.layers.{layer}."
        a = norm(w, p + "layer_norm1", x, 1e-5)
        q, k, v = (linear(w, f"{p}self_attn.{n}_proj", a) for n in "qkv")
        x = x + linear(w, p + "self_attn.out_proj", attend(q, k, v, s.tower_heads, s.tower_heads, False))
        inner = linear(w, p + "mlp.fc1", norm(w, p + "layer_norm2", x, 1e-5))
        x = x + linear(w, p + "mlp.fc2", gelu(inner) if s.activation == "gelu" else quick_gelu(inner))
    return x[1:]


def _weights(s: Sizes, draw: torch.Generator) -> dict[str, Tensor]:
    """Draw every tensor of the official layout."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (s.vocabulary, s.hidden), "lm_head.weight": (s.vocabulary, s.hidden),
        "model.beacon_embed_tokens.weight": (1, s.hidden), "model.norm.weight": (s.hidden,),
        TOWER + "embeddings.class_embedding": (s.tower,),
        TOWER + "embeddings.patch_embedding.weight": (s.tower, 3, s.patch, s.patch),
        TOWER + "embeddings.position_embedding.weight": ((s.side // s.patch) ** 2 + 1, s.tower),
    }  # fmt: skip
    shapes |= affine("model.mm_projector.0", s.hidden, s.tower) | affine("model.mm_projector.2", s.hidden, s.hidden)
    norms = [TOWER + "pre_layrnorm", TOWER + "post_layernorm"]
    for layer in range(s.layers):
        p = f"model.layers.{layer}."
        for n, heads in (("q", s.heads), ("k", s.key_heads), ("v", s.key_heads)):
            for kind in ("", "beacon_"):
                shapes |= affine(f"{p}self_attn.{kind}{n}_proj", heads * s.head, s.hidden)
        shapes[p + "self_attn.o_proj.weight"] = (s.hidden, s.heads * s.head)
        shapes |= {f"{p}mlp.{n}_proj.weight": (s.intermediate, s.hidden) for n in ("gate", "up")}
        shapes[p + "mlp.down_proj.weight"] = (s.hidden, s.intermediate)
        shapes |= {f"{p}{n}_layernorm.weight": (s.hidden,) for n in ("input", "post_attention")}
    for layer in range(s.tower_layers):
        p = f"{TOWER}encoder.layers.{layer}."
        norms += [p + "layer_norm1", p + "layer_norm2"]
        for n in ("q", "k", "v", "out"):
            shapes |= affine(f"{p}self_attn.{n}_proj", s.tower, s.tower)
        shapes |= affine(p + "mlp.fc1", s.tower_mlp, s.tower) | affine(p + "mlp.fc2", s.tower, s.tower_mlp)
    shapes |= {f"{name}.{part}": (s.tower,) for name in norms for part in ("weight", "bias")}
    return drawn(shapes, draw)


def _configs(folder: Path, s: Sizes) -> None:
    model = {
        "hidden_size": s.hidden, "intermediate_size": s.intermediate, "num_hidden_layers": s.layers,
        "num_attention_heads": s.heads, "num_key_value_heads": s.key_heads, "head_dim": s.head,
        "vocab_size": s.vocabulary, "rope_theta": s.theta, "rms_norm_eps": 1e-6, "max_position_embeddings": 512,
        "beacon_window": s.window, "beacon_ratio": [3, 5], "mm_vision_select_layer": s.select, "eos_token_id": [0],
        "mm_spatial_pool_stride": s.pool, "mm_hidden_size": s.tower, "mm_vision_tower": "another",
    }  # fmt: skip
    tower = {
        "hidden_size": s.tower, "intermediate_size": s.tower_mlp, "num_hidden_layers": s.tower_layers,
        "num_attention_heads": s.tower_heads, "image_size": s.side, "patch_size": s.patch, "hidden_act": s.activation,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(model))
    (folder / "clip_vision_config.json").write_text(json.dumps(tower))
