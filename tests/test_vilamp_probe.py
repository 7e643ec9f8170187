"""The probe reads what compression left of the needle, and nothing else."""

import pytest
import torch

from niah.types import UserError
from vilamp.model import Stream
from vilamp.probe.model import Probe, Remains, load, remains_of, save


@pytest.fixture
def probe():
    torch.manual_seed(0)
    return Probe(hidden=16, dim=8, answers=("left", "right", "3")).eval()


def remains(tokens, seed):
    draw = torch.Generator().manual_seed(seed)
    frames = torch.arange(tokens)
    return Remains(torch.randn(tokens, 16, generator=draw), frames, torch.randn(8, generator=draw))


def test_what_remains_of_a_needle_is_its_frames_tokens_counted_from_its_first_frame():
    stream = Stream(torch.arange(6.0)[:, None].expand(6, 16), torch.tensor([0, 1, 1, 1, 2, 3]))
    found = remains_of(stream, 1, 3, torch.ones(8))
    assert found.tokens[:, 0].tolist() == [1, 2, 3, 4]
    assert found.frames.tolist() == [0, 0, 0, 1]


def test_a_case_is_read_alike_alone_and_beside_a_longer_one(probe):
    short, long = remains(4, 1), remains(9, 2)
    with torch.no_grad():
        torch.testing.assert_close(probe([short, long])[0], probe([short])[0])


def test_options_are_scored_in_their_order(probe):
    with torch.no_grad():
        logits = probe([remains(4, 1)])[0]
        assert probe.score(remains(4, 1), ("3", "left")) == pytest.approx([float(logits[2]), float(logits[0])])


def test_an_option_the_probe_never_learned_is_refused(probe):
    with pytest.raises(UserError, match="knows the answers left, right, 3, not blue"):
        probe.score(remains(4, 1), ("left", "blue"))


def test_a_saved_probe_comes_back_with_its_answers(probe, tmp_path):
    save(probe, tmp_path, "abc")
    again = load(tmp_path, "abc")
    assert again.answers == ("left", "right", "3")
    with torch.no_grad():
        assert torch.equal(again([remains(4, 1)]), probe([remains(4, 1)]))


def test_a_probe_of_other_weights_is_refused(probe, tmp_path):
    save(probe, tmp_path, "abc")
    with pytest.raises(UserError, match="trained on weights abc, these are def"):
        load(tmp_path, "def")


def test_a_checkpoint_without_a_probe_says_how_to_train_one(tmp_path):
    with pytest.raises(UserError, match=r"python -m vilamp\.probe\.train --pretrained"):
        load(tmp_path, "abc")
