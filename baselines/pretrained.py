"""Load a checkpoint that transformers reads, or say in words what is missing.

transformers itself fills missing weights with noise and warns; here that is an error, as a
model that answers at random looks like a model that cannot find needles.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoModelForImageTextToText,
    AutoProcessor,
)

from niah.adapters.checkpoint import locate
from niah.adapters.config_reader import read_config
from niah.types import UserError

ORIGINAL = {  # types whose weights are written for a repository's own code -> that code
    "llava_qwen": "LLaVA-NeXT's (LongVA, LLaVA-Video)",
    "llava_llama": "VILA's (LongVILA) or LLaVA's",
}
CLASSES = ("AutoModelForImageTextToText", "AutoModelForCausalLM", "AutoModel")  # where remote code may put its model
WRAP = "wrap the original code in an interpreter of its own: docs/wrapping_a_repository.md"


def load_pretrained(
    pretrained: str,
    dtype: str = "auto",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
    device_map: str | None = None,
) -> tuple[Any, Any]:
    """Return (model, processor), on the CPU or spread by `device_map`, a word of transformers.

    Raises UserError where a type, a file, a weight or accelerate is missing.
    """
    if device_map is not None and find_spec("accelerate") is None:
        raise UserError(f"device_map={device_map} needs the package accelerate: pip install accelerate")
    folder = locate(pretrained)
    config = read_config(folder)
    reader = _reader(pretrained, config, trust_remote_code)
    if dtype != "auto" and not isinstance(vars(torch).get(dtype), torch.dtype):
        raise UserError(f"dtype is auto or a type of torch (float32, bfloat16, float16), got {dtype!r}")
    processor = _processor(pretrained, folder, trust_remote_code)
    model, found = reader.from_pretrained(
        folder,
        dtype=dtype,
        attn_implementation=attn_implementation,
        trust_remote_code=trust_remote_code,
        device_map=device_map,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are refused below, by name
    )
    absent = _untied(model, set(found["missing_keys"]))
    misfits = {str(key[0] if isinstance(key, tuple) else key) for key in found["mismatched_keys"]}
    wrong = [f"{what} {_some(sorted(names))}" for what, names in (("lacks", absent), ("misshapes", misfits)) if names]
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
    head, tied = model.get_output_embeddings(), model.config.get_text_config().to_dict().get("tie_word_embeddings")
    if head is None or not tied:
        return absent
    names = {name for name, weight in model.named_parameters() if weight is head.weight}
    if not names & absent:
        return absent
    head.weight = model.get_input_embeddings().weight
    return absent - names


def _reader(pretrained: str, config: dict[str, Any], trust_remote_code: bool) -> Any:
    """Return the class that reads a checkpoint with this config.json."""
    kind, remote = str(config.get("model_type")), config.get("auto_map", {})
    if kind in CONFIG_MAPPING and CONFIG_MAPPING[kind] in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return AutoModelForImageTextToText
    if remote and trust_remote_code:
        name = next((name for name in CLASSES if name in remote), None)
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
    """Return the processor. Raises UserError where its files or its chat template are missing."""
    try:
        processor = AutoProcessor.from_pretrained(folder, trust_remote_code=trust_remote_code)
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
