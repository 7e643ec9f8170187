"""What released rivals tell of their attention is what their own forward pass computes, on the tiny checkpoints."""

import numpy as np
import pytest
import torch

from baselines.llama_vid import adapter as llama_vid
from niah.attention import Attending
from niah.types import Question, UserError
from tests import tiny_llama_vid

QUESTION = Question("What color is the red car?", ("red", "blue", "green", "white"))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The tiny checkpoints with tokenizers."""
    return {"llama_vid": tiny_llama_vid.copy(tmp_path_factory.mktemp("llama_vid") / "checkpoint")}


@pytest.fixture(params=["llama_vid"])
def adapter(request, folders):
    return {"llama_vid": llama_vid}[request.param].load(str(folders[request.param]), max_new_tokens=1)


def test_a_blind_question_has_nothing_to_look_at(adapter):
    assert isinstance(adapter, Attending)
    with pytest.raises(UserError, match="ask about a video"):
        adapter.attentions(tiny_llama_vid.FakeVideo(), QUESTION)


def test_llama_vid_s_rows_are_those_of_an_eager_forward_pass_and_answers_between_do_not_matter(folders):
    adapter = llama_vid.load(str(folders["llama_vid"]), max_new_tokens=1)
    video = tiny_llama_vid.FakeVideo(("h", 0, 9))
    asked = adapter.asker.embed(video, QUESTION)
    language = adapter.model.language
    rotary = adapter.model.rotary
    rotary.positions, rotary.stored = len(asked.embeds), 2 * rotary.exact  # which longer inputs take
    told = adapter.attentions(video, QUESTION)
    adapter.answer(tiny_llama_vid.FakeVideo(("h", 0, 90)), QUESTION)
    rows = list(told.layers)
    language.set_attn_implementation("eager")
    adapter.model.rotary.expect(len(asked.embeds))
    with torch.no_grad():
        whole = language(inputs_embeds=asked.embeds[None], output_attentions=True).attentions
    assert len(rows) == len(whole)
    for found, wanted in zip(rows, whole, strict=True):
        first = asked.first
        torch.testing.assert_close(torch.from_numpy(found), wanted[0, :, first + 18 :, first : first + 18])


def test_llama_vid_s_two_tokens_stand_for_their_frame(folders):
    adapter = llama_vid.load(str(folders["llama_vid"]), max_new_tokens=1)
    told = adapter.attentions(tiny_llama_vid.FakeVideo(("h", 0, 100), fps=25.0), QUESTION)
    assert told.frames.tolist() == [0, 0, 25, 25, 50, 50, 75, 75]
    assert set(told.places.tolist()) == {-1}
    assert told.features.shape == (8, adapter.model.config.language.width)
    assert np.abs(told.features).sum() > 0
