"""Rivals without arguments: the micro model that ships with their compressor, and no other."""

import pytest

from baselines.micro import SCHEMES, is_micro, load_micro
from niah.types import UserError
from vilamp.checkpoint import CHECKPOINTS


@pytest.mark.parametrize("name", ["video_xl", "llama_vid", "videochat_flash"])
def test_a_rival_runs_its_own_micro_model_by_name_and_by_folder(name):
    for pretrained in ("micro", str(CHECKPOINTS / f"micro-{name}")):
        adapter = load_micro(name, pretrained, device="cpu", seed=0)
        assert adapter.settings()["compressor"] == SCHEMES[name]


def test_a_checkpoint_with_another_compressor_is_refused():
    with pytest.raises(UserError, match="'summary', and 'micro-uniform' was trained with 'pooled_frames': leave"):
        load_micro("video_xl", "micro-uniform", device="cpu", seed=0)
    with pytest.raises(UserError, match='was trained with "ViLaMP\'s own"'):
        load_micro("llama_vid", "micro-vilamp", device="cpu", seed=0)


def test_names_that_ship_are_micro_models_and_hub_names_are_not():
    assert is_micro("micro") and is_micro("micro-uniform")
    assert not is_micro("sy1998/Video_XL")
