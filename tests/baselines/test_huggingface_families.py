"""docs/models.md against the processors of ten families, built with a byte tokenizer and no weights."""

import re
from pathlib import Path

import pytest
import torch

from baselines.huggingface.chat import Chat
from baselines.huggingface.families import COUNTS, TESTED, _family
from baselines.huggingface.settings import Settings
from tests.helpers import tiny_processors

PAGE = (Path(__file__).parents[2] / "docs" / "models.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_processors.write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def row(model):
    """Return the cells of a class's row."""
    (line,) = re.findall(rf"^\| \**`{model}`\** \| `\w+Processor` \|.*$", PAGE, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("model", TESTED)
@pytest.mark.filterwarnings("ignore")
def test_a_row_says_what_the_family_does(folder, model):
    processor = tiny_processors.processor(model, folder)
    name = type(processor).__name__
    chat = Chat(processor, Settings(), torch.float32)
    _, made_by, times, *sizes = row(model)
    assert (chat.as_video, made_by) == (True, f"`{name}`")
    assert chat.gives_times((64, 64)) == (times != "no")
    assert tuple(sizes[: len(COUNTS)]) == _family(model, name, processor.video_processor).sizes
    assert chat.token_count(range(8), 8, 1.0, (64, 64), "hi") > chat.token_count([], 0, 1.0, (64, 64), "hi")
