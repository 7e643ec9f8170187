"""Write a byte-level tokenizer into a tiny checkpoint folder that carries none.

Byte b has id b and specials the ids behind the bytes, or in a vocabulary below 259 the last ones; a byte that
then has no id of its own is read as id 0. No two tokens share an id: which of them it would be decoded to
would differ from process to process.
"""

from __future__ import annotations

import json
from pathlib import Path

SPECIALS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")


def byte_characters() -> list[str]:
    """Return the printable character that stands for each byte in a byte-level tokenizer file."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(others)) for byte in range(256)]


def ids_of(text: str, vocabulary: int, specials: int = len(SPECIALS)) -> list[int]:
    """Return what the tokenizer makes of a text without specials."""
    known = min(256, vocabulary - specials)
    return [byte if byte < known else 0 for byte in text.encode("utf-8")]


def write(folder: Path, vocabulary: int, specials: tuple[str, ...] = SPECIALS) -> None:
    """Write tokenizer.json and tokenizer_config.json; `AutoTokenizer.from_pretrained(folder)` reads them."""
    known = min(256, vocabulary - len(specials))
    characters = byte_characters()[:known]
    ids = {character: byte for byte, character in enumerate(characters)}
    ids.update({special: known + number for number, special in enumerate(specials)})
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": ids[special], "content": special, **flags} for special in specials],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": ids, "merges": [], "byte_fallback": False, "unk_token": characters[0]},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": specials[1], "model_max_length": 1 << 20}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
