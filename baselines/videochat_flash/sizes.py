"""The released 7B model and the settings people run it with, as config.json would say them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from baselines.videochat_flash.config import Dropout

RELEASED: Mapping[str, Any] = {  # res224 differs in mm_vision_tower alone
    "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
    "intermediate_size": 18944, "vocab_size": 152064, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "max_position_embeddings": 32768, "mm_vision_tower": "umt-hd-large", "mm_hidden_size": 1024,
    "mm_projector_type": "tome16_mlp_hd64", "tokenizer_model_max_length": 32768, "mm_llm_compress": False,
}  # fmt: skip
TINY: Mapping[str, Any] = {
    **RELEASED, "hidden_size": 32, "num_hidden_layers": 20, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 56, "vocab_size": 260, "mm_hidden_size": 32,
    "tiny_vision": {"image_size": 96, "embed_dim": 32, "depth": 3, "num_heads": 4},
}  # fmt: skip
CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "7b": RELEASED,
    "7b-224": {**RELEASED, "mm_vision_tower": "umt-large"},
    "tiny": TINY,
}
DROPOUTS: Mapping[str, Dropout] = {
    "card": Dropout("uniform0_attention", (4, 18), (1, 0.75, 0.25)),  # the model card's example
    "wrapper": Dropout("attention", (24,), (1, 0.5)),  # set by the evaluation wrapper, which leaves the switch off
    "code": Dropout("attention", (8, 16, 24), (1, 0.5, 0.25, 0.125)),  # the code's default
}
