"""Read the language model's tokenizer of a checkpoint folder.

Not through `AutoTokenizer`: it first wants to know the folder's `model_type`, and that
of a published video model ("llava_qwen") is known to nobody but its own code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from niah.adapters.checkpoint import read_config
from niah.types import UserError

FILES = ("tokenizer.json", "vocab.json", "tokenizer.model")


def read_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a folder. Raises UserError where there is none, or of a class `transformers` lacks."""
    import transformers

    if not (folder / "tokenizer_config.json").is_file() or not any((folder / name).is_file() for name in FILES):
        raise UserError(
            f"{folder.name} holds no tokenizer: wanted tokenizer_config.json and one of {', '.join(FILES)}; "
            "a released checkpoint carries them, so copy them from there"
        )
    name = read_config(folder, "tokenizer_config.json").get("tokenizer_class", "PreTrainedTokenizerFast")
    kind = getattr(transformers, str(name), None)
    if kind is None:
        raise UserError(f"tokenizer_config.json of {folder.name} names the class {name!r}, which transformers lacks")
    try:
        return kind.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"the tokenizer files of {folder.name} cannot be read ({error}): copy them again") from error
