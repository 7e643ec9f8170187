"""The probe reads what compression left of the needle, and nothing else."""

import dataclasses

import pytest
import torch

from niah.suite.folder import read_suite
from niah.types import UserError
from tests.helpers.commands import probe as ask
from tests.helpers.commands import probe_train as train
from tests.helpers.small_suite import GREYS, OPTIONS, make_suite
from vilamp import checkpoint, config
from vilamp.model import Stream, Vilamp
from vilamp.train.probe.client import ProbeClient
from vilamp.train.probe.model import NeedleTokens, Probe, load, needle_tokens, save
from vilamp.vocabulary import Vocabulary

SIZES = config.VilampConfig(
    keyframes=2,
    clip=config.Clip(embed_dim=24, vision_layers=1, vision_width=24, text_layers=1, text_width=24, head_width=12),
    vision=config.Vision(hidden_size=24, intermediate_size=24, layers=1, heads=2),
    language=config.Language(hidden_size=16, intermediate_size=16, layers=1, heads=2, key_value_heads=1),
)


@pytest.fixture
def probe():
    torch.manual_seed(0)
    return Probe(hidden=16, dim=8, answers=("left", "right", "3")).eval()


def remains(tokens, seed):
    draw = torch.Generator().manual_seed(seed)
    frames = torch.arange(tokens)
    return NeedleTokens(torch.randn(tokens, 16, generator=draw), frames, torch.randn(8, generator=draw))


def test_what_remains_of_a_needle_is_its_frames_tokens_counted_from_its_first_frame():
    stream = Stream(torch.arange(6.0)[:, None].expand(6, 16), torch.tensor([0, 1, 1, 1, 2, 3]))
    found = needle_tokens(stream, 1, 3, torch.ones(8))
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
    with pytest.raises(UserError, match=r"niah probe_train --pretrained"):
        load(tmp_path, "abc")


@pytest.fixture
def folder_with_probe(tmp_path):
    """A tiny checkpoint with a probe that knows the small suite's options, and has learned nothing."""
    torch.manual_seed(0)
    folder = tmp_path / "tiny"
    checkpoint.save(Vilamp(SIZES, Vocabulary(OPTIONS)), folder)
    save(Probe(16, 24, OPTIONS), folder, checkpoint.load(folder)[1])
    return folder


@pytest.fixture
def generated(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDEONIAH_CACHE", str(tmp_path / "cache"))
    return read_suite(make_suite(tmp_path / "small"))


def test_a_probe_is_asked_of_the_needle_s_tokens_and_says_whose_they_are(folder_with_probe, generated):
    client = ProbeClient(generated, pretrained=str(folder_with_probe))
    (case, *_) = [one for one in generated.cases if one.condition == "full"]
    outcome = client.ask(case)
    assert outcome.status == "ok" and outcome.reply is not None
    assert outcome.reply.text in OPTIONS and len(outcome.reply.option_scores) == len(OPTIONS)
    needle = set(range(case.needles[0].start, case.needles[0].stop))
    whole = len(needle & set(outcome.reply.frames_kept))
    assert outcome.reply.language_tokens == 64 * whole + len(needle) - whole
    settings = outcome.reply.settings
    assert settings["weights"] == checkpoint.load(folder_with_probe)[1] and settings["keyframes"] == 2


def test_a_video_that_cannot_be_read_is_an_error_of_its_case(folder_with_probe, generated, tmp_path):
    client = ProbeClient(generated, pretrained=str(folder_with_probe))
    for name in GREYS:
        (tmp_path / "small" / f"{name}.mp4").unlink()
    outcome = client.ask(generated.cases[0])
    assert outcome.status == "error" and ".mp4" in outcome.detail
    assert "file_to_answer_seconds" in outcome.measured


def test_settings_that_a_probe_has_not_are_refused(folder_with_probe, generated, capsys):
    with pytest.raises(UserError, match="a probe takes pretrained and keyframes, got device"):
        ProbeClient(generated, pretrained=str(folder_with_probe), device="cuda")
    assert ask(["--suite", "smoke", "--decoder", "decord"]) == 2
    assert "a probe reads videos with pyav, got --decoder decord" in capsys.readouterr().err


def test_no_probe_of_vilamp_s_compressor_is_trained_for_another_one(tmp_path, capsys):
    other = dataclasses.replace(SIZES, compression=config.Compression("mean", 2.0))
    checkpoint.save(Vilamp(other, Vocabulary(OPTIONS)), tmp_path)
    assert train(["--pretrained", str(tmp_path)]) == 2
    assert "has the compressor 'mean'" in capsys.readouterr().err
