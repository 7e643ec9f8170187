"""The question CLIP reads, against the tokenizer that the release's scripts use."""

import open_clip
import pytest
import transformers

from tests.helpers import byte_tokenizer
from vilamp.release.bench.subject import FULL
from vilamp.release.text import ReleaseText

QUESTIONS = [
    "What does the man's friend say?",
    "What’s in “the box” – a café?",  # a cleaner would straighten the quotes
    "Which is it: A &amp; B, or &lt;none&gt;?",  # and read the entities
    "  Two   spaces\nand A Line  ",
    "e\u0301te\u0301 or été, 猫?",
    " ".join(["word"] * 100),  # longer than CLIP reads
]


@pytest.fixture(scope="module")
def theirs():
    own = open_clip.SimpleTokenizer()
    merges = [" ".join(pair) for pair, _ in sorted(own.bpe_ranks.items(), key=lambda item: item[1])]
    names = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
    vocabulary = {names.get(word, word): number for word, number in own.encoder.items()}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[tuple(merge.split(" ")) for merge in merges])


@pytest.mark.parametrize("question", QUESTIONS)
def test_clip_reads_the_ids_of_the_releases_tokenizer(question, theirs, tmp_path):
    byte_tokenizer.write(tmp_path, 320)
    ids = ReleaseText(tmp_path, FULL.clip).query(question)[0].tolist()
    wanted = theirs(question, truncation=True, max_length=77).input_ids
    assert ids[: len(wanted)] == wanted and not any(ids[len(wanted) :])
