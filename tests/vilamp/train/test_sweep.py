"""A sweep is a run for each setting, and a setting reaches the model."""

import pytest

from niah.types import UserError
from vilamp.adapter import VilampAdapter, load
from vilamp.train.sweep import Sweep


def test_alpha_and_tau_are_crossed_and_k_stands_alone():
    runs = Sweep("out", keyframes=(1, 8), temperatures=(1.0, 0.1), thresholds=(0.5,)).runs()
    assert list(runs) == ["k-1", "k-8", "alpha-1-tau-0.5", "alpha-0.1-tau-0.5"]
    assert runs["k-8"].model_args == {"pretrained": "micro-vilamp", "keyframes": 8}
    assert runs["alpha-0.1-tau-0.5"].model_args == {"pretrained": "micro-vilamp", "temperature": 0.1, "threshold": 0.5}
    assert runs["k-1"].output_path == "out/k-1"


@pytest.mark.parametrize("given", [{}, {"temperatures": (1.0,)}, {"thresholds": (0.5,), "keyframes": (1,)}])
def test_a_sweep_that_is_none_is_refused(given):
    with pytest.raises(UserError, match="a sweep"):
        Sweep("out", **given)


def test_constants_reach_the_compressor_and_the_record():
    adapter = load(keyframes=3, threshold=0.5, temperature=0.1)
    assert isinstance(adapter, VilampAdapter)
    told = adapter.compressor.settings()
    assert (told["keyframes"], told["threshold"], told["temperature"]) == (3, 0.5, 0.1)


@pytest.mark.parametrize("given", [
    {"temperature": 0.0}, {"keyframes": 0}, {"keyframes": 2.5}, {"keyframes": True}, {"threshold": "abc"},
])  # fmt: skip
def test_a_constant_that_cannot_be_is_refused(given):
    with pytest.raises(UserError, match="the constants of micro"):
        load(**given)
