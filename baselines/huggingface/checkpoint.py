"""Load a checkpoint and its processor with transformers, or say by name what is missing.

transformers fills missing weights with noise and warns; here that is an error, as a model that answers at random looks
like a model that cannot find needles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    MODEL_FOR_MULTIMODAL_LM_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoProcessor,
    BitsAndBytesConfig,
)

from niah.adapters.checkpoint import locate
from niah.adapters.config_reader import read_config
from niah.extras import require
from niah.types import UserError

ORIGINAL = {  # types whose weights are written for a repository's own code -> that code
    "llava_qwen": "LLaVA-NeXT's (LongVA, LLaVA-Video)",
    "llava_llama": "VILA's (LongVILA) or LLaVA's",
}
REMOTE_CLASSES = (
    "AutoModelForImageTextToText",
    "AutoModelForCausalLM",
    "AutoModel",
)  # where remote code may put its model
THINKERS = {  # types whose model speaks its answers -> the part of it that writes them
    "qwen2_5_omni": "Qwen2_5OmniThinkerForConditionalGeneration",
    "qwen3_omni_moe": "Qwen3OmniMoeThinkerForConditionalGeneration",
}
QUANTIZATIONS = ("4bit", "8bit")
WRAP = "wrap the original code in an interpreter of its own: docs/wrapping_a_repository.md"


@dataclass(frozen=True)
class Loading:
    """How a checkpoint is loaded.

    Args:
        dtype: "auto", the checkpoint's own, or a dtype of torch.
        attn_implementation: Handed to transformers.
        trust_remote_code: Whether to run Python that comes with the checkpoint.
        device_map: Spreads the model over the GPUs by a rule of transformers; without it the model is on the CPU.
        quantization: "4bit" or "8bit", by bitsandbytes; None for the weights as they are.
        rope: What replaces the language model's rope parameters: rope_type=yarn, factor=4 …
    """

    dtype: str = "auto"
    attn_implementation: str | None = None
    trust_remote_code: bool = False
    device_map: str | None = None
    quantization: str | None = None
    rope: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.dtype != "auto" and not isinstance(vars(torch).get(self.dtype), torch.dtype):
            raise UserError(f"dtype is auto or a type of torch (float32, bfloat16, float16), got {self.dtype!r}")
        if self.device_map is not None:
            require("accelerate", f"device_map={self.device_map}")
        if self.quantization not in (None, *QUANTIZATIONS):
            raise UserError(f"quantization is one of {', '.join(QUANTIZATIONS)}, got {self.quantization!r}")
        if self.quantization:
            require("bitsandbytes", "quantization")


def load_pretrained(pretrained: str, loading: Loading) -> tuple[Any, Any]:
    """Return (model, processor) of a folder or hub name. Raises UserError where a type, file or weight is missing."""
    folder = locate(pretrained)
    config = read_config(folder)
    reader = _reader(pretrained, config, loading.trust_remote_code)
    processor = _processor(pretrained, folder, loading.trust_remote_code)
    changed = {"config": _with_rope(folder, loading)} if loading.rope else {}
    if loading.quantization is not None:
        changed["quantization_config"] = quantization_config(loading.quantization, loading.dtype)
    model, found = reader.from_pretrained(
        folder,
        dtype=loading.dtype,
        attn_implementation=loading.attn_implementation,
        trust_remote_code=loading.trust_remote_code,
        device_map=loading.device_map,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are refused below, by name
        **changed,
    )
    absent = _untied(model, set(found["missing_keys"]))
    mismatched = {str(key[0] if isinstance(key, tuple) else key) for key in found["mismatched_keys"]}
    problems = (("lacks", absent), ("misshapes", mismatched))
    wrong = [f"{what} {_some(sorted(names))}" for what, names in problems if names]
    if wrong:
        raise UserError(
            f"{pretrained} {' and '.join(wrong)}: its weights are of another model than its config.json; "
            "download it again"
        )
    return model, processor


def _untied(model: Any, absent: set[str]) -> set[str]:
    """Return the missing weights less the output embedding, which is tied here if the checkpoint says so.

    transformers 5.0 overlooks it where only the language model's part of config.json says so.
    """
    head = model.get_output_embeddings()
    tied = model.config.get_text_config().to_dict().get("tie_word_embeddings")
    if head is None or not tied:
        return absent
    names = {name for name, weight in model.named_parameters() if weight is head.weight}
    if not names & absent:
        return absent
    head.weight = model.get_input_embeddings().weight
    return absent - names


def quantization_config(quantization: str, dtype: str) -> Any:
    """Return bitsandbytes' settings: 4 bits as NF4 that compute in the dtype, or 8 bits."""
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    compute = torch.bfloat16 if dtype == "auto" else getattr(torch, dtype)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)


def _with_rope(folder: Path, loading: Loading) -> Any:
    """Return a checkpoint's config with other rope parameters, and the positions that they reach.

    Raises UserError for a `factor` without the length it multiplies.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=loading.trust_remote_code)
    text = config.get_text_config()
    rope = {**(text.rope_parameters or {}), **loading.rope}
    if "factor" in loading.rope:
        original = rope.setdefault("original_max_position_embeddings", text.max_position_embeddings)
        if not isinstance(rope["factor"], int | float) or rope["factor"] < 1:
            raise UserError(f"rope.factor is a number from 1 on, got {rope['factor']!r}; fix --model_args")
        rope["factor"] = float(rope["factor"])
        text.max_position_embeddings = int(original * rope["factor"])
    text.rope_parameters = rope
    return config


def _reader(pretrained: str, config: dict[str, Any], trust_remote_code: bool) -> Any:
    """Return the class that reads a checkpoint with this config.json."""
    kind, remote = str(config.get("model_type")), config.get("auto_map", {})
    if kind in THINKERS:
        return getattr(transformers, THINKERS[kind])
    if kind in CONFIG_MAPPING and CONFIG_MAPPING[kind] in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return AutoModelForImageTextToText
    if kind in CONFIG_MAPPING and CONFIG_MAPPING[kind] in MODEL_FOR_MULTIMODAL_LM_MAPPING:  # Phi-4
        return AutoModelForMultimodalLM
    if remote and trust_remote_code:
        name = next((name for name in REMOTE_CLASSES if name in remote), None)
        if name is not None:
            return getattr(transformers, name)
    what = f"{pretrained} is of type {kind!r}, which transformers {transformers.__version__}"
    if remote and not trust_remote_code:
        raise UserError(
            f"{what} reads only by running the Python that comes with it: read that code, then pass "
            f"trust_remote_code=True, or {WRAP}"
        )
    if kind in CONFIG_MAPPING:
        raise UserError(f"{what} knows, but not as a model of images and text; name one that is")
    whose = f": its weights are for {ORIGINAL[kind]} own code" if kind in ORIGINAL else ""
    raise UserError(f"{what} does not know{whose}. Take a checkpoint converted for transformers, or {WRAP}")


def _processor(pretrained: str, folder: Path, trust_remote_code: bool) -> Any:
    """Return the processor. Raises UserError where a package, its files or its chat template are missing."""
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except ImportError as error:  # num2words of SmolVLM
        raise UserError(f"the processor of {pretrained} needs a package that is not installed: {error}") from error
    except (OSError, ValueError) as error:  # transformers' two ways of missing a file
        raise UserError(
            f"{pretrained} has no processor that transformers {transformers.__version__} can make: {error}; the files "
            "preprocessor_config.json (or processor_config.json) and tokenizer.json must lie beside its config.json"
        ) from error
    if not vars(processor).get("chat_template"):
        raise UserError(
            f"{pretrained} has no chat template: put the chat_template.jinja of its instruct version beside config.json"
        )
    return processor


def _some(names: list[str]) -> str:
    """Return a few names and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
