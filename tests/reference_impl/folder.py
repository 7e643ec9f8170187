"""A reference folder of other sizes, with random weights and what the slow implementation makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.reference_impl.vilamp import Sizes, record


def write_folder(folder: Path, sizes: Sizes) -> None:
    """Write config, weights, inputs and what this implementation makes of them."""
    folder.mkdir(parents=True)
    draw = torch.Generator().manual_seed(sizes.seed)
    weights = _weights(sizes, draw)
    scenes = torch.randn(9, 3, sizes.clip_side, sizes.clip_side, generator=draw)
    place = torch.randint(0, 9, (sizes.frames,), generator=draw)
    inputs = {
        "clip_pixel_values": scenes[place] + 0.3 * torch.randn(sizes.frames, *scenes.shape[1:], generator=draw),
        "siglip_pixel_values": torch.randn(sizes.frames, 3, sizes.side, sizes.side, generator=draw),
        "clip_input_ids": torch.tensor([[3, 17, 40, 5, sizes.clip_vocabulary - 1]]),
        "clip_attention_mask": torch.ones(1, 5, dtype=torch.int64),
        "input_ids": torch.tensor([[9, 8, 7, -200, 6, 5, 100, 200]]),
    }
    save_file(weights, folder / "model.safetensors")
    save_file({k: v.contiguous() for k, v in inputs.items()}, folder / "inputs.safetensors")
    main, about = record(weights, inputs, sizes, sizes.keyframes)
    fewer, about_fewer = record(weights, inputs, sizes, 2)
    save_file(main, folder / "golden_main.safetensors")
    variants = {"inputs_embeds": fewer["inputs_embeds"], "last_logits": fewer["logits"][-1].contiguous()}
    save_file({f"two.{name}": tensor for name, tensor in variants.items()}, folder / "golden_variants.safetensors")
    runs = {"main": {"overrides": {}, **about}, "two": {"overrides": {"max_frame_num": 2}, **about_fewer}}
    (folder / "runs.json").write_text(json.dumps(runs))
    _write_config(folder, sizes)


def _weights(s: Sizes, draw: torch.Generator) -> dict[str, Tensor]:
    """Draw every tensor of the official layout; the two unused ones too."""
    width, clip = s.language[0], "model.frame_selector.model."
    shapes: dict[str, tuple[int, ...]] = {"model.image_newline": (width,), "lm_head.weight": (s.vocabulary, width)}
    shapes |= {"model.embed_tokens.weight": (s.vocabulary, width), "model.norm.weight": (width,)}
    shapes |= {"model.composer_projector.tau": (), clip + "logit_scale": ()}
    for name, out, inward in (
        ("model.mm_projector.0", width, s.vision[0]), ("model.mm_projector.2", width, width),
        ("model.composer_projector.linear_q", width, s.clip_width),
        *((f"model.composer_projector.linear_{n}", width, width) for n in ("k", "iq", "ik")),
    ):  # fmt: skip
        shapes |= {name + ".weight": (out, inward), name + ".bias": (out,)}
    for p, (dim, hidden, blocks, _), patch, tokens, has_class in (
        ("model.vision_tower.vision_tower.vision_model.", s.vision, s.patch, (s.side // s.patch) ** 2, False),
        (clip + "vision_model.", s.clip_vision, s.clip_patch, (s.clip_side // s.clip_patch) ** 2 + 1, True),
    ):
        shapes |= {p + "embeddings.patch_embedding.weight": (dim, 3, patch, patch)}
        shapes |= {p + "embeddings.position_embedding.weight": (tokens, dim), **_pair(p + "post_layernorm", dim)}
        if has_class:
            shapes |= {p + "embeddings.class_embedding": (dim,), **_pair(p + "pre_layrnorm", dim)}
        else:
            shapes |= {p + "embeddings.patch_embedding.bias": (dim,)}
        shapes |= _blocks(p, dim, hidden, blocks)
    text, dim = clip + "text_model.", s.clip_text[0]
    shapes |= {text + "embeddings.token_embedding.weight": (s.clip_vocabulary, dim)}
    shapes |= {text + "embeddings.position_embedding.weight": (s.clip_positions, dim)}
    shapes |= _pair(text + "final_layer_norm", dim) | _blocks(text, dim, *s.clip_text[1:3])
    shapes |= {clip + "visual_projection.weight": (s.clip_width, s.clip_vision[0])}
    shapes |= {clip + "text_projection.weight": (s.clip_width, dim)}
    keys = width // s.language[3] * s.key_heads
    for layer in range(s.language[2]):
        p = f"model.layers.{layer}."
        shapes |= {p + "input_layernorm.weight": (width,), p + "post_attention_layernorm.weight": (width,)}
        for n, out in (("q", width), ("k", keys), ("v", keys)):
            shapes |= {f"{p}self_attn.{n}_proj.weight": (out, width), f"{p}self_attn.{n}_proj.bias": (out,)}
        shapes |= {p + "self_attn.o_proj.weight": (width, width), p + "mlp.down_proj.weight": (width, s.language[1])}
        shapes |= {f"{p}mlp.{n}_proj.weight": (s.language[1], width) for n in ("gate", "up")}
    weights = {}
    for name, shape in shapes.items():
        centre = 1.0 if len(shape) == 1 and name.endswith(".weight") else 0.0
        weights[name] = centre + 0.25 * torch.randn(shape, generator=draw)
    weights["model.composer_projector.tau"] = torch.tensor(0.05)
    return weights


def _pair(name: str, dim: int) -> dict[str, tuple[int, ...]]:
    return {name + ".weight": (dim,), name + ".bias": (dim,)}


def _blocks(p: str, dim: int, hidden: int, blocks: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(blocks):
        at = f"{p}encoder.layers.{layer}."
        shapes |= _pair(at + "layer_norm1", dim) | _pair(at + "layer_norm2", dim)
        for name, out, inward in (
            *((f"self_attn.{n}_proj", dim, dim) for n in ("q", "k", "v", "out")),
            ("mlp.fc1", hidden, dim), ("mlp.fc2", dim, hidden),
        ):  # fmt: skip
            shapes |= {f"{at}{name}.weight": (out, inward), f"{at}{name}.bias": (out,)}
    return shapes


def _write_config(folder: Path, s: Sizes) -> None:
    language = {
        "hidden_size": s.language[0], "intermediate_size": s.language[1], "num_hidden_layers": s.language[2],
        "num_attention_heads": s.language[3], "num_key_value_heads": s.key_heads, "vocab_size": s.vocabulary,
        "rope_theta": s.theta, "rms_norm_eps": 1e-6, "max_position_embeddings": 32768, "f2f_thrd": s.threshold,
        "f2t_thrd": -1, "max_frame_num": s.keyframes, "mm_spatial_pool_mode": "bilinear",
        "rope_scaling": {"type": "linear", "factor": 4.0},
    }  # fmt: skip
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    tower = dict(zip(names, s.vision, strict=True))
    tower |= {"num_hidden_layers_kept": tower.pop("num_hidden_layers"), "image_size": s.side, "patch_size": s.patch}
    vision = dict(zip(names, s.clip_vision, strict=True)) | {"image_size": s.clip_side, "patch_size": s.clip_patch}
    text = dict(zip(names, s.clip_text, strict=True))
    text |= {"vocab_size": s.clip_vocabulary, "max_position_embeddings": s.clip_positions}
    clip = {"projection_dim": s.clip_width, "text_config": text, "vision_config": vision}
    for name, values in (("config", language), ("siglip_tower", tower), ("clip_selector", clip)):
        (folder / f"{name}.json").write_text(json.dumps(values))
