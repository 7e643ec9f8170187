"""A LLaMA-VID reference folder of other sizes: random weights and what the slow implementation makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from tests.reference_impl.llama_vid import BERT, WORDS, Sizes, record
from tests.reference_impl.parts import affine, drawn, save


def write_folder(folder: Path, s: Sizes) -> None:
    """Write checkpoint and golden.safetensors; no layout, facts or memory analysis."""
    draw = torch.Generator().manual_seed(s.seed)
    w, tower = ({n: t.double() for n, t in part.items()} for part in (_weights(s, draw), _tower_weights(s, draw)))
    golden = record({**w, **tower}, s, draw)
    checkpoint = folder / "tiny_checkpoint"
    (checkpoint / "bert").mkdir(parents=True)
    save(checkpoint / "model.safetensors", w)
    save(checkpoint / "eva_vit.safetensors", tower)
    save(folder / "golden.safetensors", golden)
    (checkpoint / "bert" / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    _configs(checkpoint, s)


def _weights(s: Sizes, draw: torch.Generator) -> dict[str, Tensor]:
    """Draw every tensor of the checkpoint in the official naming; no rotary frequencies are stored."""
    keys = s.hidden // s.heads * s.key_heads
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (s.vocabulary, s.hidden), "lm_head.weight": (s.vocabulary, s.hidden),
        "model.norm.weight": (s.hidden,), "model.vlm_att_query": (1, s.queries, s.bert),
        BERT + "embeddings.word_embeddings.weight": (len(WORDS) + 1, s.bert),
        BERT + "embeddings.position_embeddings.weight": (s.positions, s.bert),
    }  # fmt: skip
    shapes |= affine("model.vlm_att_projector", s.tower, s.bert)
    shapes |= affine("model.vlm_att_key_projector", s.tower, s.tower)
    shapes |= affine("model.vlm_att_val_projector", s.hidden, s.tower)
    for number, into in ((0, s.tower), (2, s.hidden), (4, s.hidden)):
        shapes |= affine(f"model.mm_projector.{number}", s.hidden, into)
    for name, dim in (("model.vlm_att_ln", s.tower), (BERT + "embeddings.LayerNorm", s.bert)):
        shapes |= {name + ".weight": (dim,), name + ".bias": (dim,)}
    for layer in range(s.layers):
        p = f"model.layers.{layer}."
        shapes |= {f"{p}{n}_layernorm.weight": (s.hidden,) for n in ("input", "post_attention")}
        for n, out in (("q", s.hidden), ("k", keys), ("v", keys), ("o", s.hidden)):
            shapes[f"{p}self_attn.{n}_proj.weight"] = (out, s.hidden)
        shapes |= {f"{p}mlp.{n}_proj.weight": (s.intermediate, s.hidden) for n in ("gate", "up")}
        shapes[p + "mlp.down_proj.weight"] = (s.hidden, s.intermediate)
    for layer in range(s.bert_layers):
        p = f"{BERT}encoder.layer.{layer}."
        for kind, into in (("attention", s.bert), *((("crossattention", s.tower),) if layer % 2 == 0 else ())):
            for n, width in (("query", s.bert), ("key", into), ("value", into)):
                shapes |= affine(f"{p}{kind}.self.{n}", s.bert, width)
            shapes |= affine(f"{p}{kind}.output.dense", s.bert, s.bert)
            shapes |= {f"{p}{kind}.output.LayerNorm.{part}": (s.bert,) for part in ("weight", "bias")}
        for kind in ("", "_query"):
            shapes |= affine(f"{p}intermediate{kind}.dense", s.bert_mlp, s.bert)
            shapes |= affine(f"{p}output{kind}.dense", s.bert, s.bert_mlp)
            shapes |= {f"{p}output{kind}.LayerNorm.{part}": (s.bert,) for part in ("weight", "bias")}
    return drawn(shapes, draw)


def _tower_weights(s: Sizes, draw: torch.Generator) -> dict[str, Tensor]:
    dim, inner = s.tower, int(s.tower * s.ratio)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, dim), "pos_embed": (1, (s.side // s.patch) ** 2 + 1, dim),
        "patch_embed.proj.weight": (dim, 3, s.patch, s.patch), "patch_embed.proj.bias": (dim,),
    }  # fmt: skip
    for block in range(s.tower_blocks):
        p = f"blocks.{block}."
        shapes |= {f"{p}{n}.{part}": (dim,) for n in ("norm1", "norm2") for part in ("weight", "bias")}
        shapes |= {p + "attn.qkv.weight": (3 * dim, dim), p + "attn.q_bias": (dim,), p + "attn.v_bias": (dim,)}
        shapes |= affine(p + "attn.proj", dim, dim) | affine(p + "mlp.fc1", inner, dim)
        shapes |= affine(p + "mlp.fc2", dim, inner)
    return drawn(shapes, draw)


def _configs(checkpoint: Path, s: Sizes) -> None:
    tower = {
        "image_size": s.side, "patch_size": s.patch, "embed_dim": s.tower, "depth": s.tower_blocks,
        "num_heads": s.tower_heads, "mlp_ratio": s.ratio, "layer_norm_eps": 1e-6,
    }  # fmt: skip
    model = {
        "hidden_size": s.hidden, "num_hidden_layers": s.layers, "num_attention_heads": s.heads,
        "num_key_value_heads": s.key_heads, "intermediate_size": s.intermediate, "vocab_size": s.vocabulary,
        "rms_norm_eps": 1e-5, "max_position_embeddings": s.context, "hidden_act": "silu", "rope_scaling": None,
        "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": False, "mm_hidden_size": s.tower,
        "mm_projector_type": "mlp3x_gelu", "bert_type": "qformer_pretrain", "num_query": s.queries,
        "compress_type": "mean", "tiny_vision": tower,
    }  # fmt: skip
    bert = {
        "vocab_size": len(WORDS), "hidden_size": s.bert, "num_hidden_layers": s.bert_layers, "hidden_act": "gelu",
        "num_attention_heads": s.bert_heads, "intermediate_size": s.bert_mlp, "pad_token_id": 0,
        "max_position_embeddings": s.positions, "layer_norm_eps": 1e-12,
    }  # fmt: skip
    scaling = {"rope_scaling": {"type": "linear", "factor": s.factor}}
    (checkpoint / "config.json").write_text(json.dumps(model))
    (checkpoint / "config_long_video.json").write_text(json.dumps({**model, **scaling}))
    (checkpoint / "bert" / "config.json").write_text(json.dumps(bert))
