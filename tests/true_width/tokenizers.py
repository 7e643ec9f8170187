"""Tokenizers with the files and the number of tokens of the releases' own; what they make of text means nothing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import sentencepiece

from tests.helpers.byte_tokenizer import SPECIALS, byte_characters

QWEN_TOKENS = 151_643  # before the special ones
BERT_WORDS = 30_522


def write_qwen(folder: Path, count: int = QWEN_TOKENS) -> None:
    """Write vocab.json and merges.txt of a byte-level BPE: bytes, all pairs of them, then triples."""
    characters = byte_characters()
    pairs = [(first, second) for first, second in itertools.product(characters, characters)]
    triples = ((first + second, third) for (first, second), third in itertools.product(pairs, characters))
    merges = list(itertools.islice(itertools.chain(pairs, triples), count - len(characters)))
    tokens = [*characters, *(first + second for first, second in merges)]
    ids = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(f"{first} {second}" for first, second in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    order = (SPECIALS[2], *SPECIALS[:2])  # <|endoftext|> comes first, as in Qwen2
    added = {str(count + number): {"content": special, **flags} for number, special in enumerate(order)}
    settings = {
        "tokenizer_class": "Qwen2Tokenizer", "added_tokens_decoder": added, "eos_token": SPECIALS[1],
        "pad_token": SPECIALS[2], "model_max_length": 32768,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def write_llama(folder: Path) -> None:
    """Write tokenizer.model, the only file that LLaMA-VID's release has: sentencepiece with bytes to fall back to."""
    lines = [f"the film shows {number} cats on a mat, and what do they do then?" for number in range(200)]
    (folder / "text.txt").write_text("\n".join(lines), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"), model_prefix=str(folder / "tokenizer"), vocab_size=340, model_type="bpe",
        byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    settings = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def write_bert(file: Path, count: int = BERT_WORDS) -> None:
    """Write BERT's vocab.txt, a word a line."""
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*specials, *letters, *(f"##{letter}" for letter in letters)]
    file.write_text("\n".join([*words, *(f"word{n}" for n in range(count - len(words)))]) + "\n", encoding="utf-8")
